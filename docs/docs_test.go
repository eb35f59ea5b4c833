//go:build integration

// Package docs_test runs what the documents show: the commands of the README and
// the requests of docs/http, against a demo of the real program.
package docs_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// demo is a running `plantgate demo` in a folder of its own.
type demo struct {
	folder, url, key string
	mqttPort         string
	client           *http.Client
}

var (
	pagePattern = regexp.MustCompile(`live page +(https://\S+)/#key=(\S+)`)
	mqttPattern = regexp.MustCompile(`MQTT +tcp://127\.0\.0\.1:(\d+)`)
)

func startDemo(t *testing.T) demo {
	t.Helper()
	folder := t.TempDir()
	program := filepath.Join(folder, "plantgate")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../cmd/plantgate")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var log bytes.Buffer
	cmd := exec.Command(program, "demo", "--opcua-listen", "127.0.0.1:0")
	cmd.Dir, cmd.Stderr = folder, &log
	cmd.Env = append(os.Environ(), "PLANTGATE_SERVER_LISTEN=127.0.0.1:0", "PLANTGATE_METRICS_LISTEN=", "PLANTGATE_MQTT_BROKER_LISTEN=127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the demo ended with %v:\n%s", err, log.String())
		}
	})
	d := demo{folder: folder}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := pagePattern.FindStringSubmatch(lines.Text()); m != nil {
			d.url, d.key = m[1], m[2]
		}
		if m := mqttPattern.FindStringSubmatch(lines.Text()); m != nil {
			d.mqttPort = m[1]
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if d.url == "" || d.mqttPort == "" {
		t.Fatalf("the demo did not say where it is:\n%s", log.String())
	}
	d.client = trusting(t, filepath.Join(folder, "data/demo/tls/ca.crt"))
	d.awaitDoors(t)
	return d
}

func trusting(t *testing.T, caFile string) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
}

// awaitDoors returns when machines of every door have sent something.
func (d demo) awaitDoors(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		status, body := d.do(t, http.MethodGet, d.url+"/api/v1/equipment", http.Header{"X-Api-Key": {d.key}}, "")
		text := string(body)
		if status == http.StatusOK && strings.Contains(text, `"rest"`) && strings.Contains(text, `"mqtt"`) && strings.Contains(text, `"opcua"`) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after 30 s not every door has data: %s", text)
		}
	}
}

func (d demo) do(t *testing.T, method, url string, header http.Header, body string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := d.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// TestREADME runs the console blocks of the README, of commands.md and of opcua-explore.md in one shell, command by command, and holds
// what they print to what the page shows: the same text, or JSON of the same
// members and types.
func TestREADME(t *testing.T) {
	d := startDemo(t)
	if ran := d.run(t, "../README.md"); ran < 4 {
		t.Errorf("only %d commands were found in the README", ran)
	}
	if ran := d.run(t, "commands.md"); ran < 5 {
		t.Errorf("only %d commands were found in commands.md", ran)
	}
	if ran := d.run(t, "opcua-explore.md"); ran < 3 {
		t.Errorf("only %d commands were found in opcua-explore.md", ran)
	}
}

// run runs the console blocks of a page, and returns how many commands there were. Those
// that only set variables run again before each that follows.
func (d demo) run(t *testing.T, page string) int {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var setup []string
	ran := 0
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for _, step := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			command, want, _ := strings.Cut(step, "\n")
			if strings.HasPrefix(command, "KEY=") || strings.HasPrefix(command, "ID=") {
				setup = append(setup, command)
				continue
			}
			got := d.shell(t, strings.Join(append(setup, command), "\n"))
			ran++
			if !alike(strings.TrimSpace(want), strings.TrimSpace(got)) {
				t.Errorf("$ %s\nprinted\n%s\n%s shows\n%s", command, got, page, want)
			}
		}
	}
	return ran
}

func (d demo) shell(t *testing.T, script string) string {
	t.Helper()
	script = strings.NewReplacer("https://localhost:8443", d.url, "-p 1883", "-p "+d.mqttPort).Replace(script)
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", script)
	cmd.Dir = d.folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v", script, err)
	}
	return string(out)
}

// alike compares two outputs. JSON documents are alike if they have the same
// members, equal but for times and what follows from them, and lists alike first
// elements.
func alike(want, got string) bool {
	if want == got {
		return true
	}
	var w, g any
	if json.Unmarshal([]byte(want), &w) != nil || json.Unmarshal([]byte(got), &g) != nil {
		return false
	}
	return sameShape(w, g)
}

func sameShape(w, g any) bool {
	switch w := w.(type) {
	case map[string]any:
		g, ok := g.(map[string]any)
		if !ok || len(w) != len(g) {
			return false
		}
		for name, value := range w {
			other, ok := g[name]
			if !ok || !volatile[name] && !sameShape(value, other) {
				return false
			}
		}
		return true
	case []any:
		g, ok := g.([]any)
		return ok && (len(w) == 0) == (len(g) == 0) && (len(w) == 0 || sameShape(w[0], g[0]))
	default:
		return reflect.DeepEqual(w, g)
	}
}

// volatile are the members that differ from one moment to the next.
var volatile = map[string]bool{
	"id": true, "created_at": true, "sent_at": true, "acknowledged_at": true, "finished_at": true,
	"received_at": true, "server_timestamp": true, "timestamp": true, "value": true, "record_id": true, "signals": true, "next_cursor": true,
	"audit_id": true, "source_timestamp": true, "old_value": true,
}

// TestRequests sends every request of docs/http and expects success.
func TestRequests(t *testing.T) {
	d := startDemo(t)
	files, err := filepath.Glob("http/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no requests: %v", err)
	}
	sent := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range strings.Split(string(text), "\n### ")[1:] {
			title, request, _ := strings.Cut(section, "\n")
			method, url, header, body := d.parse(t, request)
			status, answer := d.do(t, method, url, header, body)
			sent++
			if status < 200 || status > 299 {
				t.Errorf("%s: %s: %d %s", file, title, status, answer)
			}
		}
	}
	if sent < 10 {
		t.Errorf("only %d requests were found", sent)
	}
}

// parse reads one request of an .http file with its variables filled in.
func (d demo) parse(t *testing.T, request string) (method, url string, header http.Header, body string) {
	t.Helper()
	if strings.Contains(request, "{{item}}") {
		request = strings.ReplaceAll(request, "{{item}}", d.quarantined(t))
	}
	request = strings.NewReplacer("{{host}}", d.url, "{{key}}", d.key).Replace(strings.TrimSpace(request))
	head, body, _ := strings.Cut(request, "\n\n")
	lines := strings.Split(head, "\n")
	method, url, _ = strings.Cut(lines[0], " ")
	header = http.Header{}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		header.Set(name, value)
	}
	return method, url, header, body
}

// quarantined sends a message that lacks its machine and returns the item's id.
func (d demo) quarantined(t *testing.T) string {
	t.Helper()
	header := http.Header{"X-Api-Key": {d.key}, "Content-Type": {"application/json"}}
	status, answer := d.do(t, http.MethodPost, d.url+"/data", header, `[{"DataType":"Production","Payload":{"Value":5}}]`)
	var result struct {
		Items []struct{ ID string }
	}
	if err := json.Unmarshal(answer, &result); err != nil || status != http.StatusMultiStatus || len(result.Items) != 1 {
		t.Fatalf("no item was quarantined: %d %s", status, answer)
	}
	return result.Items[0].ID
}
