//go:build integration

package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"plantgate/internal/app/apptest"
	"plantgate/internal/auth"
	"plantgate/internal/mes"
)

// python is the interpreter with the packages of scripts/python/requirements.txt.
func python(t *testing.T) string {
	t.Helper()
	path := os.Getenv("PLANTGATE_TEST_PYTHON")
	if path == "" {
		path = filepath.Join("..", "..", ".venv", "bin", "python")
	}
	if out, err := exec.CommandContext(t.Context(), path, "-c", "import requests, paho.mqtt, asyncua").CombinedOutput(); err != nil {
		t.Fatalf("this test needs Python with scripts/python/requirements.txt, at .venv/bin/python or in PLANTGATE_TEST_PYTHON: %v\n%s", err, out)
	}
	return path
}

// output runs a program and returns what it prints. It fails the test unless the
// program ends with 0.
func output(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), apptest.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", name, err, out, errors.String())
	}
	return string(out)
}

// The request of contract 1 as scripts send it, apart from host and verify.
const contract1Python = `
import sys, json, requests
url, key, ca, timestamp, form = sys.argv[1:]
headers = {"x-api-key": key}
payload = {"machine_id": "M001", "timestamp": timestamp, "temperature": 72.31, "status": "Running"}
if form == "json":
    r = requests.post(url + "/data", json=payload, headers=headers, verify=ca)
else:
    r = requests.post(url + "/data", data=json.dumps(payload), headers=headers, verify=ca)
print(r.status_code, r.json()["id"])
`

func TestContract1Scripts(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	interpreter := python(t)
	first, second := repeatedHour(t, location(t, "America/New_York"))
	recent := time.Now().Add(-time.Minute).Truncate(time.Second)
	for _, c := range []struct {
		name, site, zone string
		local, want      time.Time
		flag             string
	}{
		{"UTC", "main", "UTC", recent, recent, ""},
		{"Kolkata", "pune", "Asia/Kolkata", recent, recent, ""},
		{"New York", "york", "America/New_York", recent, recent, ""},
		{"New York, in the hour that occurs twice", "york", "America/New_York", first, second, "repeated_hour"},
	} {
		client := s.As(auth.NewKey{Name: c.name, Scopes: []mes.KeyScope{mes.ScopeDataRead, mes.ScopeDataWrite}, Limit: mes.Scope{Sites: []string{c.site}}})
		timestamp := c.local.In(location(t, c.zone)).Format(wall)
		run := func(form string) (status, id string) {
			t.Helper()
			status, id, _ = strings.Cut(strings.TrimSpace(output(t, nil, interpreter, "-c", contract1Python, s.URL, client.Key, s.CAFile, timestamp, form)), " ")
			return status, id
		}
		status, id := run("json")
		if status != "201" {
			t.Errorf("%s: requests got %s", c.name, status)
		}
		r := apptest.Get[apptest.Record](client, "/data/"+id)
		if !r.Timestamp.Equal(c.want) || string(r.Signals["temperature"]) != "72.31" || r.Status != "Running" || r.SiteID != c.site || c.flag != "" && !slices.Contains(r.Flags, c.flag) {
			t.Errorf("%s: %s came back as %+v, want %s", c.name, timestamp, r, c.want)
		}
		if again, same := run("text"); again != "200" || same != id {
			t.Errorf("%s: the same as text, without a Content-Type, got %s %s", c.name, again, same)
		}
		body := fmt.Sprintf(`{"machine_id":"M001","timestamp":%q,"temperature":72.31,"status":"Idle"}`, timestamp)
		answer := output(t, nil, "curl", "-sS", "--cacert", s.CAFile, "-w", " %{http_code}", "-X", "POST", s.URL+"/data",
			"-H", "x-api-key: "+client.Key, "-H", "Content-Type: application/json", "-d", body)
		text, status, _ := strings.Cut(answer, "}\n ")
		var stored apptest.Stored
		if err := json.Unmarshal([]byte(text+"}"), &stored); err != nil || status != "201" || !stored.Timestamp.Equal(c.want) {
			t.Errorf("%s: curl got %s (%v)", c.name, answer, err)
		}
	}
}

// The scripts of this repository, with nothing but their documented environment.
func TestEdgeScripts(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	interpreter := python(t)
	rest := []string{"EDGE_URL=" + s.URL, "EDGE_API_KEY=" + s.Key, "EDGE_CACERT=" + s.CAFile}
	scripts := filepath.Join("..", "..", "scripts")

	var stored apptest.Stored
	out := output(t, rest, filepath.Join(scripts, "post.sh"), "--machine", "SH-1", "--status", "Running", "temperature=72.31", "tool=T12")
	if err := json.Unmarshal([]byte(out), &stored); err != nil || stored.Status != "created" {
		t.Errorf("post.sh printed %s (%v)", out, err)
	}
	r := recordsOf(t, s.Client, "SH-1", 1)[0]
	if string(r.Signals["temperature"]) != "72.31" || string(r.Signals["tool"]) != `"T12"` || r.Status != "Running" || r.TimestampOrigin != "source" {
		t.Errorf("post.sh stored %+v", r)
	}

	out = output(t, rest, interpreter, filepath.Join(scripts, "python", "post.py"), "--machine", "PY-1", "temperature=1.5", "ok=true")
	if err := json.Unmarshal([]byte(out), &stored); err != nil || stored.Status != "created" {
		t.Errorf("post.py printed %s (%v)", out, err)
	}
	if r := recordsOf(t, s.Client, "PY-1", 1)[0]; string(r.Signals["temperature"]) != "1.5" || string(r.Signals["ok"]) != "true" {
		t.Errorf("post.py stored %+v", r)
	}

	publish := []string{filepath.Join(scripts, "python", "publish.py"), "--machine", "M3", "--value", "42.31"}
	output(t, mqttEnvironment(t, s), interpreter, append(publish, "--unit", "pcs", "--qos", "1")...)
	output(t, mqttEnvironment(t, s), interpreter, append(publish, "--qos", "0")...)
	for i, r := range recordsOf(t, s.Client, "M3", 2) {
		if string(r.Signals["production.value"]) != "42.31" || r.Units["production.value"] != []string{"pcs", ""}[i] || r.Source.Door != "mqtt" {
			t.Errorf("publish.py stored %+v", r)
		}
	}
	output(t, mqttEnvironment(t, s), interpreter, append(publish, "--topic", "opc_data/all_variables", "--message", `{"timestamp":"2025-11-03 06:45:23","variables":{"A":1,"B":null}}`)...)
	if r := recordsOf(t, s.Client, "OPC-BRIDGE", 1)[0]; !r.Timestamp.Equal(time.Date(2025, 11, 3, 6, 45, 23, 0, time.UTC)) || string(r.Signals["B"]) != "null" {
		t.Errorf("the snapshot became %+v", r)
	}
}

func mqttEnvironment(t *testing.T, s *apptest.Server) []string {
	t.Helper()
	u, err := url.Parse(s.BrokerURL)
	if err != nil {
		t.Fatal(err)
	}
	return []string{
		"EDGE_MQTT_HOST=" + u.Hostname(), "EDGE_MQTT_PORT=" + u.Port(),
		"EDGE_MQTT_USERNAME=" + apptest.MQTTUser, "EDGE_MQTT_PASSWORD=" + apptest.MQTTPassword,
	}
}

// The bridge reads the simulated OPC UA server, and what it publishes is stored
// with the source times of the server.
func TestBridgeScript(t *testing.T) {
	t.Parallel()
	plc := simulated(t)
	s := apptest.Start(t, subscribed(plc.URL()))
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, python(t), filepath.Join("..", "..", "scripts", "python", "opcua_bridge.py"), "--endpoint", plc.URL())
	cmd.Env = append(os.Environ(), mqttEnvironment(t, s)...)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Log(log.String())
		}
	})
	bridged := func(value string) *apptest.Latest {
		if s.Do(http.MethodGet, "/api/v1/equipment/OPC-BRIDGE/latest", "").Status != http.StatusOK {
			return nil
		}
		if l := latestOf(s.Client, "OPC-BRIDGE")["MyStoredVariable"]; string(l.Value) == value {
			return &l
		}
		return nil
	}
	apptest.Eventually(t, "the first value of the bridge", func() bool { return bridged("29") != nil })
	// A snapshot bears one time, that of the newest change in it: another variable may
	// have changed in the same moment, and then a further value tells.
	var direct apptest.Latest
	var through *apptest.Latest
	for n := 77; n < 82; n++ {
		value := strconv.Itoa(n)
		plc.Write(int32(n))
		apptest.Eventually(t, "the written value through the bridge", func() bool { return bridged(value) != nil })
		apptest.Eventually(t, "the written value by OPC UA", func() bool {
			return string(latestOf(s.Client, "OPC-1")["MyStoredVariable"].Value) == value
		})
		direct, through = latestOf(s.Client, "OPC-1")["MyStoredVariable"], bridged(value)
		if through != nil && through.Timestamp.Equal(direct.Timestamp) {
			return
		}
	}
	t.Errorf("the bridge says %+v, the server %+v", through, direct)
}
