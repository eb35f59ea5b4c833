//go:build integration

package app_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"plantgate/internal/app/apptest"
	"plantgate/internal/config"
)

// served is what comes of the variables of both servers: their signals as JSON, without
// the variable's name in front ("" is the name itself).
var served = map[string]map[string]string{
	"Boolean":          {"": "true"},
	"SByte":            {"": "-128"},
	"Byte":             {"": "255"},
	"Int16":            {"": "-32768"},
	"UInt16":           {"": "65535"},
	"Int32":            {"": "-2147483648"},
	"UInt32":           {"": "4294967295"},
	"Int64":            {"": "-9223372036854775808"},
	"UInt64":           {"": "18446744073709551615"},
	"Float":            {"": "0.1"},
	"Double":           {"": "5e-324"},
	"NaN":              {"": `"NaN"`},
	"Infinity":         {"": `"Infinity"`},
	"NegativeInfinity": {"": `"-Infinity"`},
	"String":           {"": `"Grüße \"\\\t😀"`},
	"DateTime":         {"": `"2026-11-22T10:15:00.25Z"`},
	"Guid":             {"": `"72962B91-FA75-4AE6-8D28-B404DC7DAF63"`},
	"ByteString":       {"": `"AAH+"`},
	"XmlElement":       {"": `"<a>1</a>"`},
	"NodeId":           {"": `"ns=2;s=a;b"`},
	"ExpandedNodeId":   {"": `"s=x"`}, // node-opcua drops the URI when it keeps the value
	"StatusCode":       {"": "2148139008"},
	"QualifiedName":    {"": `"2:q"`},
	"LocalizedText":    {"": `"Ofen"`},

	"Arrays/Boolean":       {"": "[true,false]"},
	"Arrays/Byte":          {"": "[0,255]"},
	"Arrays/Int64":         {"": "[-9223372036854775808,9223372036854775807]"},
	"Arrays/UInt64":        {"": "[18446744073709551615]"},
	"Arrays/Double":        {"": `[1.5,"NaN","-Infinity"]`},
	"Arrays/String":        {"": `["a","","ö"]`},
	"Arrays/DateTime":      {"": `["2026-01-01T00:00:00Z"]`},
	"Arrays/Guid":          {"": `["00000000-0000-0000-0000-000000000001"]`},
	"Arrays/ByteString":    {"": `["AA==","/w=="]`},
	"Arrays/LocalizedText": {"": `["a"]`},
	"Arrays/Variant":       {"": `[1,"a"]`},
	"Arrays/Empty":         {"": "[]"},
	"Matrix":               {"": "[[1,2,3],[4,5,6]]"},
	"Cube":                 {"": "[[[0,1],[2,3]],[[4,5],[6,7]]]"},

	"Uncertain": {"": "1.5"},
	"Bad":       {"": "null"},
	"BadNull":   {"": "null"},

	"Enum":        {"": "2", ".text": `"Automatic"`},
	"EnumUnknown": {"": "7", ".text": "null"},
	"Enums":       {"": "[1,0]", ".text": `["Manual","Off"]`},
	"ServerState": {"": "4", ".text": `"Shutdown"`},
	"MultiState":  {"": "1", ".text": `"Amber"`},
	"TwoState":    {"": "true", ".text": `"Open"`},
	"Structure": {
		".Serial": "18446744073709551615", ".Name": "null", ".Weight": "0.5", ".At.X": "1", ".At.Y": "-2",
		".Path": `[{"X":0,"Y":"NaN"},{"X":3,"Y":4}]`, ".Mode": "1", ".Mode.text": `"Manual"`, ".Made": `"2026-01-01T00:00:00Z"`,
		".Codes": "[-1,9223372036854775807]", ".Any": `"free"`,
	},
	"Structures":   {"": `[{"X":1,"Y":2},{"X":3,"Y":4}]`},
	"BadStructure": {".X": "null", ".Y": "null"},
	"Abstract":     {".X": "5", ".Y": "6"},
	"Range":        {".Low": "-1.5", ".High": "100.25"},
	"EUInformation": {
		".NamespaceUri": `"http://www.opcfoundation.org/UA/units/un/cefact"`, ".UnitId": "4408652",
		".DisplayName": `"°C"`, ".Description": `"degree Celsius"`,
	},
}

// servedStatus are the status codes that are not good.
var servedStatus = map[string]uint32{
	"Uncertain": 0x40900000, "UncertainLimit": 0x40540501, "Bad": 0x808C0000, "BadNull": 0x808A0000, "BadStructure": 0x80310000,
}

// servedByPython is what asyncua can serve and node-opcua can't, or serves more exactly.
var servedByPython = map[string]map[string]string{
	"DateTime":       {"": `"2026-11-22T10:15:00.250001Z"`},
	"DateTimeEarly":  {"": `"1605-01-02T03:04:05.000006Z"`},
	"DateTimeLate":   {"": `"2999-12-31T23:59:59.999999Z"`},
	"DateTimeMax":    {"": `"9999-12-31T23:59:59Z"`},
	"ExpandedNodeId": {"": `"svr=1;nsu=urn:other;s=x"`},
	"UncertainLimit": {"": "2.5"},
	"Arrays/Long":    {"": "[" + strings.Repeat("7,", 99_999) + "7]"},
	"Union":          {".Number": "null", ".Text": `"chosen"`},
	"Structure": func() map[string]string {
		s := maps.Clone(served["Structure"])
		s[".Made"] = `"2026-01-01T00:00:00.000001Z"`
		return s
	}(),
}

// TestAllTypesRoundTrip: what servers of other makers serve is what GET /data answers, to
// the last bit and microsecond.
func TestAllTypesRoundTrip(t *testing.T) {
	peers, err := filepath.Abs(filepath.Join("..", "opcua", "testdata", "peers"))
	if err != nil {
		t.Fatal(err)
	}
	python := cmp.Or(os.Getenv("PLANTGATE_TEST_PYTHON"), filepath.Join(peers, "..", "..", "..", "..", ".venv", "bin", "python"))
	at := time.Date(2026, 11, 22, 10, 15, 0, 123_456_000, time.UTC)
	t.Run("asyncua", func(t *testing.T) {
		t.Parallel()
		want := maps.Clone(served)
		maps.Copy(want, servedByPython)
		url := startTypes(t, python, filepath.Join(peers, "asyncua_types_server.py"))
		testLate(t, url)
		testRoundTrip(t, url, want, at, time.Time{})
		testRefused(t, url)
	})
	t.Run("node-opcua", func(t *testing.T) {
		t.Parallel()
		url := startTypes(t, "node", filepath.Join(peers, "node-types-server.js"))
		testRoundTrip(t, url, served, at.Truncate(time.Millisecond), at.Truncate(time.Millisecond))
	})
}

// record is an item of GET /data.
type record struct {
	Timestamp       string                     `json:"timestamp"`
	TimestampOrigin string                     `json:"timestamp_origin"`
	ServerTimestamp string                     `json:"server_timestamp"`
	StatusCode      uint32                     `json:"status_code"`
	Quality         string                     `json:"quality"`
	Signals         map[string]json.RawMessage `json:"signals"`
	Flags           []string                   `json:"flags"`
	Source          struct{ Address string }   `json:"source"`
}

func testRoundTrip(t *testing.T, url string, want map[string]map[string]string, at, serverAt time.Time) {
	var nodes []config.OPCUANode
	for name := range want {
		nodes = append(nodes, config.OPCUANode{NodeID: "ns=1;s=Types/" + name, Signal: name})
	}
	s := apptest.Start(t, func(c *config.Config) {
		c.OPCUA.Connections = []config.OPCUAConnection{{Name: "types", Endpoint: url, Machines: []config.OPCUAMachine{{MachineID: "M1", Nodes: nodes}}}}
	})
	records := map[string][]record{}
	apptest.Eventually(t, "a record of each variable", func() bool {
		clear(records)
		for _, r := range apptest.Get[struct{ Items []record }](s.Client, "/data?machine_id=M1&limit=1000").Items {
			name := r.Source.Address[len("ns=1;s=Types/"):]
			records[name] = append(records[name], r)
		}
		return len(records) == len(want)
	})
	quarantined := apptest.Get[struct{ Items []json.RawMessage }](s.Client, "/api/v1/quarantine").Items
	if len(quarantined) > 0 {
		t.Errorf("%d values are in quarantine: %s", len(quarantined), quarantined[0])
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		list := records[name]
		if len(list) != 1 {
			t.Errorf("%s: %d records", name, len(list))
			continue
		}
		checkRecord(t, name, list[0], want[name], at, serverAt)
	}
}

func checkRecord(t *testing.T, name string, r record, want map[string]string, at, serverAt time.Time) {
	t.Helper()
	got := map[string]string{}
	for signal, value := range r.Signals {
		var text bytes.Buffer
		if err := json.Compact(&text, value); err != nil {
			t.Fatal(err)
		}
		got[signal[len(name):]] = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(text.String())
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s: %v, want %v", name, got, want)
	}
	if r.Timestamp != at.Format(time.RFC3339Nano) || r.TimestampOrigin != "source" {
		t.Errorf("%s: at %s (%s), want %s", name, r.Timestamp, r.TimestampOrigin, at.Format(time.RFC3339Nano))
	}
	// asyncua gives the time of the write as its own.
	server, err := time.Parse(time.RFC3339Nano, r.ServerTimestamp)
	if err != nil || !serverAt.IsZero() && !server.Equal(serverAt) || serverAt.IsZero() && time.Since(server) > time.Hour {
		t.Errorf("%s: server time %q", name, r.ServerTimestamp)
	}
	quality := map[uint32]string{0: "good", 1: "uncertain", 2: "bad"}[servedStatus[name]>>30]
	if r.StatusCode != servedStatus[name] || r.Quality != quality {
		t.Errorf("%s: status %#x (%s), want %#x (%s)", name, r.StatusCode, r.Quality, servedStatus[name], quality)
	}
}

// testLate: a value of a type that was not known when its variable was subscribed to is
// read once the type was asked for.
func testLate(t *testing.T, url string) {
	s := apptest.Start(t, func(c *config.Config) {
		c.OPCUA.Connections = []config.OPCUAConnection{{Name: "types", Endpoint: url, Machines: []config.OPCUAMachine{
			{MachineID: "M1", Nodes: []config.OPCUANode{{NodeID: "ns=1;s=Types/Late"}}}}}}
	})
	apptest.Eventually(t, "the late value", func() bool {
		items := apptest.Get[struct{ Items []record }](s.Client, "/data?machine_id=M1&order=asc").Items
		return slices.ContainsFunc(items, func(r record) bool { return string(r.Signals["Late.Z"]) == "7.5" })
	})
	if q := apptest.Get[struct{ Items []json.RawMessage }](s.Client, "/api/v1/quarantine").Items; len(q) > 0 {
		t.Errorf("in quarantine: %s", q)
	}
}

// testRefused: a structure that nobody explains, a value at which the library gives up and
// times that are too far ahead go to quarantine, with the bytes where there are any; a time
// that is a little ahead is stored and flagged.
func testRefused(t *testing.T, url string) {
	var nodes []config.OPCUANode
	for _, name := range []string{"Refused/Unknown", "Refused/EmptyMatrix", "Ahead/Far", "Ahead/Near", "Ahead/BeyondLibrary"} {
		nodes = append(nodes, config.OPCUANode{NodeID: "ns=1;s=Types/" + name, Signal: name})
	}
	s := apptest.Start(t, func(c *config.Config) {
		c.OPCUA.Connections = []config.OPCUAConnection{{Name: "types", Endpoint: url, Machines: []config.OPCUAMachine{{MachineID: "M1", Nodes: nodes}}}}
	})
	type item struct {
		ID     string
		Source struct{ Address string }
		Reason struct{ Detail string }
	}
	var items []item
	var stored []record
	apptest.Eventually(t, "what is refused in quarantine, and the rest stored", func() bool {
		items = apptest.Get[struct{ Items []item }](s.Client, "/api/v1/quarantine").Items
		stored = apptest.Get[struct{ Items []record }](s.Client, "/data?machine_id=M1").Items
		return len(items) >= 4 && len(stored) >= 1
	})
	if len(stored) != 1 || stored[0].Source.Address != "ns=1;s=Types/Ahead/Near" || !slices.Contains(stored[0].Flags, "ahead") {
		t.Errorf("stored: %+v", stored)
	}
	want := map[string]string{
		"ns=1;s=Types/Refused/Unknown":     base64.StdEncoding.EncodeToString([]byte("\x16\x01\x01\x0f\x27\x01\x03\x00\x00\x00\x01\x02\xfe")),
		"ns=1;s=Types/Refused/EmptyMatrix": "can't be decoded",
		"ns=1;s=Types/Ahead/Far":           `"value":1`,
		"ns=1;s=Types/Ahead/BeyondLibrary": "2600-01-01T00:00:00Z",
	}
	for _, i := range items {
		raw := string(s.Do(http.MethodGet, "/api/v1/quarantine/"+i.ID, "").Body)
		if part, ok := want[i.Source.Address]; !ok || !strings.Contains(strings.ReplaceAll(raw, `\"`, `"`), part) {
			t.Errorf("%s is kept as %s, want %s in it", i.Source.Address, raw, part)
		}
		delete(want, i.Source.Address)
	}
	if len(want) > 0 {
		t.Errorf("not in quarantine: %v", want)
	}
}

// startTypes starts a server in a process of its own and returns its endpoint.
func startTypes(t *testing.T, program, script string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	c := exec.Command(program, script, strconv.Itoa(port), t.TempDir())
	c.Stderr = t.Output()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatalf("the server can't be started (see .ci for what it needs): %v", err)
	}
	ready := make(chan bool, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if lines.Text() == "READY" {
				ready <- true
			}
		}
		_ = c.Wait()
	}()
	t.Cleanup(func() {
		_ = c.Process.Kill()
		<-ended
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatalf("%s ended before it was ready", script)
	case <-time.After(time.Minute):
		t.Fatalf("%s is not ready after a minute", script)
	}
	return fmt.Sprintf("opc.tcp://127.0.0.1:%d", port)
}
