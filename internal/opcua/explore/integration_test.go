//go:build integration

package explore

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/trust"
)

// startPeer starts a server of another maker, and returns its endpoint and the prefix of
// its node ids.
func startPeer(t *testing.T, name string) (endpoint, prefix string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	_ = l.Close()
	dir, err := filepath.Abs(filepath.Join("..", "testdata", "peers"))
	if err != nil {
		t.Fatal(err)
	}
	command := []string{"node", filepath.Join(dir, "explore-server.js"), port, t.TempDir()}
	if name == "asyncua" {
		python := os.Getenv("PLANTGATE_TEST_PYTHON")
		if python == "" {
			python = filepath.Join(dir, "..", "..", "..", "..", ".venv", "bin", "python")
		}
		command = []string{python, filepath.Join(dir, "explore_server.py"), port}
	}
	peer := exec.Command(command[0], command[1:]...)
	out, err := peer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	peer.Stderr = os.Stderr
	if err := peer.Start(); err != nil {
		t.Fatalf("%s: %v; `make peers` installs it", name, err)
	}
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if lines.Text() == "READY" {
				close(ready)
			}
		}
		_ = peer.Wait()
	}()
	t.Cleanup(func() {
		_ = peer.Process.Kill()
		<-ended
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatalf("%s ended before it was ready", name)
	case <-time.After(2 * time.Minute):
		t.Fatalf("%s is not ready after two minutes", name)
	}
	prefix = "ns=1;s="
	if name == "asyncua" {
		prefix = "nsu=urn:explore%3B100%25;s="
	}
	return "opc.tcp://127.0.0.1:" + port, prefix
}

// written is what each type takes, as JSON, and what it reads back as.
func writes() [][3]string {
	return [][3]string{
		{"Boolean", "true", "true"},
		{"SByte", "-128", "-128"},
		{"Byte", "255", "255"},
		{"Int16", "-32768", "-32768"},
		{"UInt16", "65535", "65535"},
		{"Int32", "-2147483648", "-2147483648"},
		{"UInt32", "4294967295", "4294967295"},
		{"Int64", "-9223372036854775807", "-9223372036854775807"},
		{"UInt64", "18446744073709551615", "18446744073709551615"},
		{"Float", "0.1", "0.1"},
		{"Double", `"-Infinity"`, "-Infinity"},
		{"String", `"Grüße"`, "Grüße"},
		{"DateTime", `"2026-11-22T10:15:00.25Z"`, "2026-11-22T10:15:00.25Z"},
		{"Guid", `"72962b91-fa75-4ae6-8d28-b404dc7daf63"`, "72962B91-FA75-4AE6-8D28-B404DC7DAF63"},
		{"ByteString", `"AAH+"`, "AAH+"},
		{"XmlElement", `"<b/>"`, "<b/>"},
		{"NodeId", `"i=2258"`, "i=2258"},
		{"StatusCode", "2147549184", "2147549184"},
		{"QualifiedName", `"1:Name"`, "1:Name"},
		{"LocalizedText", `{"locale":"de","text":"Ofen"}`, "Ofen"},
		{"Int32Array", "[3,-4,5]", "[3,-4,5]"},
		{"StringArray", `["a","ü"]`, `["a","ü"]`},
		{"ByteArray", "[0,255]", "[0,255]"},
		{"Matrix", "[[5,6],[7,8.5]]", "[[5,6],[7,8.5]]"},
		{"Number", "9", "9"},
		{"Mode", `"Manual"`, "1"},
		{"Level", `"high"`, "20"},
	}
}

func TestPeers(t *testing.T) {
	t.Parallel()
	for name, many := range map[string]int{"node-opcua": 3000, "asyncua": 1500} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint, prefix := startPeer(t, name)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			s, err := Open(ctx, config.OPCUAConnection{Endpoint: endpoint}, link.Deps{Folder: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			at := func(name string) string { return prefix + "Explore/" + name }
			writesOfEveryType(ctx, t, s, at)
			refusals(ctx, t, s, at)
			methods(ctx, t, s, prefix)
			pages(ctx, t, s, prefix+"Explore/Many", many)
			browsePasted(ctx, t, s, endpoint, prefix+"Explore")
			if name == "node-opcua" {
				approved(ctx, t, endpoint, at("Int32"))
			}
		})
	}
}

func writesOfEveryType(ctx context.Context, t *testing.T, s *Session, at func(string) string) {
	var items []mes.UAWrite
	var reads []mes.UARead
	for _, w := range writes() {
		items = append(items, mes.UAWrite{Node: at(w[0]), Value: mes.RawJSON(w[1])})
		reads = append(reads, mes.UARead{Node: at(w[0])})
	}
	results, err := s.Write(ctx, items, jsonValues(items))
	if err != nil {
		t.Fatal(err)
	}
	values, err := s.Read(ctx, reads)
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range writes() {
		if results[i].Outcome != mes.UADone || values[i].Value.Text() != w[2] || values[i].Status.Name != "Good" {
			t.Errorf("%s: wrote %s, read %s %s, want %s (%+v)", w[0], w[1], values[i].Status.Name, values[i].Value.Text(), w[2], results[i])
		}
	}
}

func refusals(ctx context.Context, t *testing.T, s *Session, at func(string) string) {
	items := []mes.UAWrite{
		{Node: at("ReadOnly"), Value: mes.RawJSON("1")}, {Node: at("Denied"), Value: mes.RawJSON("1")}, {Node: at("Nothing"), Value: mes.RawJSON("1")},
	}
	results, err := s.Write(ctx, items, jsonValues(items))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"BadNotWritable BadUserAccessDenied", "BadUserAccessDenied", "BadNodeIdUnknown"} {
		if r := results[i]; r.Outcome != mes.UARefused || !strings.Contains(want, r.Name) {
			t.Errorf("%s: %s %s", items[i].Node, r.Outcome, r.Name)
		}
	}
	if results[1].OldValue == nil || results[1].OldValue.Text() != "5" {
		t.Errorf("the old value is %v", results[1].OldValue)
	}
	for name, value := range map[string]string{"Mode": `"Nope"`, "Level": "11", "Byte": "256", "Int32Array": "1", "Matrix": "[1]", "Number": `"x"`} {
		bad := []mes.UAWrite{{Node: at(name), Value: mes.RawJSON(value)}}
		if results, err := s.Write(ctx, bad, jsonValues(bad)); mes.ErrorCode(err) != mes.CodeInvalid {
			t.Errorf("%s takes %s: %v %v", name, value, results, err)
		}
	}
}

func methods(ctx context.Context, t *testing.T, s *Session, prefix string) {
	call := func(method string, arguments ...string) (mes.UACalled, error) {
		var values []Value
		for _, a := range arguments {
			values = append(values, fromJSON([]byte(a)))
		}
		return s.Call(ctx, mes.UACall{Object: prefix + "Explore", Method: prefix + "Explore/" + method}, values)
	}
	r, err := call("Sum", "9007199254740993", "[1,2]")
	if err != nil || r.Outcome != mes.UADone || len(r.Outputs) != 2 || r.Outputs[0].Value.Text() != "27021597764222979" ||
		r.Outputs[0].Name != "sum" || r.Outputs[1].Value.Text() != "2 values" {
		t.Errorf("Sum: %+v, %v", r, err)
	}
	if _, err := call("Sum", "1"); err == nil || !strings.Contains(err.Error(), "2 arguments, factor (Int64), values (Int32[])") {
		t.Errorf("too few: %v", err)
	}
	if _, err := call("Sum", "1", `["x"]`); err == nil || !strings.Contains(err.Error(), "argument values: element [0]: expected Int32") {
		t.Errorf("a wrong one: %v", err)
	}
	if r, err := call("Reset"); err != nil || r.Outcome != mes.UARefused || r.Name != "BadInvalidState" {
		t.Errorf("Reset: %+v, %v", r, err)
	}
	if r, err := call("Nothing"); err != nil || r.Outcome != mes.UARefused {
		t.Errorf("no method: %+v, %v", r, err)
	}
}

// pages browses many children page by page: each comes once, in order, more often than
// the server has continuation points.
func pages(ctx context.Context, t *testing.T, s *Session, node string, many int) {
	start, err := s.Node(node)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var after *mes.UAPlace
	for {
		children, more, err := s.Children(ctx, start, after, 700)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range children {
			if want := fmt.Sprintf("V%d", len(seen)); n.BrowseName != want || n.DataType != "Int32" {
				t.Fatalf("child %s of %s, want %s", n.BrowseName, n.DataType, want)
			}
			seen[n.NodeID] = true
		}
		if !more {
			break
		}
		after = &children[len(children)-1].Place
		if len(seen)%2100 == 0 { // as if the session had ended meanwhile
			s.mu.Lock()
			clear(s.listings)
			s.mu.Unlock()
		}
	}
	if len(seen) != many {
		t.Errorf("%d children, want %d", len(seen), many)
	}
	s.most = 1000
	for range 5 { // what is cut off gives its continuation point back
		if _, _, err := s.Children(ctx, start, nil, 1); mes.ErrorCode(err) != mes.CodeTooLarge {
			t.Fatalf("a listing that is cut off: %v", err)
		}
	}
	s.most = maxChildren
	if _, _, err := s.Children(ctx, start, nil, 1); err != nil {
		t.Errorf("after listings that were cut off: %v", err)
	}
}

// browsePasted: what browse prints is a configuration.
func browsePasted(ctx context.Context, t *testing.T, s *Session, endpoint, node string) {
	start, err := s.Node(node)
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.Tree(ctx, start, 1, 1000, true)
	if err != nil || len(found) != len(writes())+5 {
		t.Fatalf("%d nodes, %v", len(found), err)
	}
	checkPaste(t, config.OPCUAConnection{Name: "peer", Endpoint: endpoint}, found, len(writes())+2)
}

// notes are those of a connection, in memory.
type notes map[string][]byte

func (n notes) ConnectionNotes(_ context.Context, _, prefix string) (map[string][]byte, error) {
	found := maps.Clone(n)
	maps.DeleteFunc(found, func(name string, _ []byte) bool { return !strings.HasPrefix(name, prefix) })
	return found, nil
}

func (n notes) PutConnectionNote(_ context.Context, _, name string, note []byte) error {
	n[name] = note
	return nil
}

// approved: a server is trusted as the subscription of the connection trusts it.
func approved(ctx context.Context, t *testing.T, endpoint, node string) {
	cfg := config.OPCUAConnection{
		Name: "peer", Endpoint: endpoint, SecurityPolicy: config.PolicyBasic256Sha256, SecurityMode: config.ModeSignAndEncrypt,
	}
	registry := trust.NewRegistry(notes{}, time.Now)
	deps := Deps{Folder: t.TempDir(), Judge: &trust.Judge{Folder: t.TempDir(), Registry: registry, Now: time.Now}}
	read := func() ([]mes.UAValue, error) {
		s := New([]config.OPCUAConnection{cfg}, deps)
		defer s.connections["peer"].close()
		return s.Read(ctx, "peer", []mes.UARead{{Node: node}}, mes.Scope{})
	}
	if _, err := read(); mes.ErrorCode(err) != mes.CodeUnavailable || !strings.Contains(err.Error(), "/approve") {
		t.Fatalf("a server that nobody knows: %v", err)
	}
	list, err := registry.List(ctx, "peer")
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := registry.Decide(ctx, "peer", list[0].Thumbprint, mes.CertificateApproved, "test"); err != nil {
		t.Fatal(err)
	}
	if values, err := read(); err != nil || values[0].Status.Name != "Good" {
		t.Errorf("a server that was approved: %+v, %v", values, err)
	}
}
