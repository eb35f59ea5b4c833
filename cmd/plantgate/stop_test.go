package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"plantgate/internal/crashtest"
)

// start runs the server in the folder until the end of the test.
func start(t *testing.T, folder string, env ...string) *crashtest.Process {
	t.Helper()
	p := launch(t, folder, env...)
	if err := p.Ready(); err != nil {
		t.Fatal(err)
	}
	return p
}

// launch does not wait until the server listens.
func launch(t *testing.T, folder string, env ...string) *crashtest.Process {
	t.Helper()
	program, err := exec.LookPath("plantgate")
	if err != nil {
		t.Fatal(err)
	}
	p, err := crashtest.Program{
		Path: program, Folder: folder, Args: []string{"serve"},
		Env: append([]string{
			"PLANTGATE_SERVER_LISTEN=127.0.0.1:0", "PLANTGATE_METRICS_LISTEN=", "PLANTGATE_API_KEY=" + bootstrapKey,
		}, env...),
	}.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func stop(t *testing.T, p *crashtest.Process, signal os.Signal) {
	t.Helper()
	code, err := p.Stop(signal)
	if err != nil {
		t.Fatal(err)
	}
	if code != exitOK {
		t.Fatalf("exit code %d:\n%s", code, p.Stderr())
	}
}

// posters post numbered records until the server answers no more.
type posters struct {
	mu    sync.Mutex
	acked map[string]int // number of each record by its id
	sent  int
	// enough is closed when so many were acknowledged that a stop is in the
	// middle of traffic.
	enough chan struct{}
	all    sync.WaitGroup
}

// enoughRecords are acknowledged before the server is stopped.
const enoughRecords = 200

func runPosters(t *testing.T, server *crashtest.Process) *posters {
	t.Helper()
	p := &posters{acked: make(map[string]int), enough: make(chan struct{})}
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	for range 4 {
		p.all.Go(func() {
			for p.post(t, client, server.URL) {
			}
		})
	}
	return p
}

// post tells whether the server took the record; when it does not, it is
// stopping, and says so or is gone.
func (p *posters) post(t *testing.T, client *http.Client, url string) bool {
	p.mu.Lock()
	p.sent++
	n := p.sent
	p.mu.Unlock()
	body := fmt.Sprintf(`{"machine_id":"M001","timestamp":"2026-11-22T10:15:00.%06d","n":%d}`, n, n)
	req, err := http.NewRequest(http.MethodPost, url+"/data", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("x-api-key", bootstrapKey)
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var answer struct{ ID string }
	switch err := json.NewDecoder(resp.Body).Decode(&answer); {
	case err != nil:
		return false // cut short is not acknowledged
	case resp.StatusCode == http.StatusServiceUnavailable:
		return false
	case resp.StatusCode != http.StatusCreated:
		t.Errorf("record %d: %s", n, resp.Status)
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acked[answer.ID] = n
	if len(p.acked) == enoughRecords {
		close(p.enough)
	}
	return true
}

// verify looks for every acknowledged record.
func (p *posters) verify(t *testing.T, server *crashtest.Process) {
	t.Helper()
	for id, n := range p.acked {
		status, body, err := request(server, http.MethodGet, "/data/"+id, bootstrapKey, "")
		if err != nil || status != http.StatusOK || !strings.Contains(body, fmt.Sprintf(`"n":%d`, n)) {
			t.Fatalf("record %d of %d: status %d, %v: %s", n, len(p.acked), status, err, body)
		}
	}
}

// TestStopInTraffic stops the server by each signal while records come in, and
// looks for every acknowledged one after the next start.
func TestStopInTraffic(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			server := start(t, folder)
			p := runPosters(t, server)
			<-p.enough
			stop(t, server, signal)
			p.all.Wait()
			if !strings.Contains(server.Stderr(), `msg="plantgate stopped"`) {
				t.Errorf("no word of a clean stop:\n%s", server.Stderr())
			}

			again := start(t, folder)
			p.verify(t, again)
			stop(t, again, signal)
			t.Logf("%d of %d records acknowledged, all there", len(p.acked), p.sent)
		})
	}
}

// TestStopWhileStarting sends the signal before the server listens: that is a
// clean stop too, at whatever step of the start it comes.
func TestStopWhileStarting(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for wait := range 8 {
		server := launch(t, folder)
		time.Sleep(time.Duration(wait) * 10 * time.Millisecond) // another step each time
		code, err := server.Stop(syscall.SIGTERM)
		if err != nil {
			t.Fatal(err)
		}
		// Before the program has asked for signals, the system ends it.
		if code != exitOK && code != -1 {
			t.Errorf("after %d0 ms exit code %d:\n%s", wait, code, server.Stderr())
		}
	}
}
