//go:build integration

package crashtest

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// What the check of the order of system calls sends.
const (
	orderConnections = 8
	orderRecords     = 25 // a connection
)

// orderMessage is a text that is in the frame as it is in the request.
func orderMessage(connection, n int) string { return fmt.Sprintf("order-%d-%d.", connection, n) }

// TestAnswerComesAfterTheSync watches the system calls of the program: no answer
// that a record is stored is written before the log was synced with the record in
// it. Programs that answer before must be found.
func TestAnswerComesAfterTheSync(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		changes []edit
		found   bool
	}{
		"as it is":                    {nil, false},
		"acknowledged before it":      {[]edit{ackFirst}, true},
		"acknowledged without a sync": {[]edit{{"internal/wal/append.go", "	return f.Datasync()\n", "	return nil\n"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := traceIntake(t, build(t, test.changes...))
			early := earlyAnswers(t, calls)
			if found := len(early) > 0; found != test.found {
				t.Errorf("%d of %d answers came too early: %s", len(early), orderConnections*orderRecords, some(early))
			}
			t.Logf("%d of %d answers came before the sync of their record: %s", len(early), orderConnections*orderRecords, some(early))
		})
	}
}

// traceIntake runs a program under strace while records are posted to it, and
// returns its system calls.
func traceIntake(t *testing.T, binary string) []systemCall {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("this test needs strace: apt-get install strace")
	}
	folder, address := t.TempDir(), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	configuration := fmt.Sprintf(`
server: {listen: %q, allow_plaintext: true, tls: {mode: "off"}}
auth: {bootstrap_key: %s}
metrics: {listen: ""}
log: {level: warn}
`, address, apiKey)
	file, trace := filepath.Join(folder, "plantgate.yaml"), filepath.Join(folder, "trace")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	// With -D the process that is started is the server, and strace its grandchild.
	process, err := Program{Path: strace, Folder: folder, Args: []string{
		"-D", "-f", "-ttt", "-y", "-s", "65536", "-o", trace, "-e", "signal=none",
		"-e", "trace=fdatasync,fsync,pwrite64,write,sendto,read", binary, "serve", "--config", file,
	}}.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Kill() })
	awaitHTTP(t, "http://"+address)
	var senders sync.WaitGroup
	for i := range orderConnections {
		senders.Go(func() { postInOrder(t, "http://"+address+"/data", i) })
	}
	senders.Wait()
	if code, err := process.Stop(os.Interrupt); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v:\n%s", code, err, process.Stderr())
	}
	return readTrace(t, trace)
}

func awaitHTTP(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(retryPause) {
		resp, err := http.Get(url + "/")
		if err == nil {
			_ = resp.Body.Close()
			http.DefaultClient.CloseIdleConnections()
			return
		}
	}
	t.Fatal("the server does not listen")
}

// postInOrder posts records one after the other over a connection of its own.
func postInOrder(t *testing.T, url string, connection int) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: startTimeout}
	defer client.CloseIdleConnections()
	for n := range orderRecords {
		body := fmt.Sprintf(`{"machine_id":"M%d","message_id":%q,"n":%d}`, connection, orderMessage(connection, n), n)
		req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("X-Api-Key", apiKey)
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			t.Errorf("answer %s to %s", resp.Status, body)
		}
	}
}

// earlyAnswers returns the messages whose answer began before a sync of the log
// had ended that began after the write of the frame had ended.
func earlyAnswers(t *testing.T, calls []systemCall) (early []string) {
	t.Helper()
	for connection := range orderConnections {
		for n := range orderRecords {
			message := orderMessage(connection, n)
			request := find(calls, func(c systemCall) bool {
				return c.name == "read" && c.isSocket() && strings.Contains(c.text, message)
			})
			if request == nil {
				t.Fatalf("no request with %s was seen", message)
			}
			answer := find(calls, func(c systemCall) bool {
				return (c.name == "write" || c.name == "sendto") && c.file == request.file && c.begun > request.ended &&
					strings.Contains(c.text, `"HTTP/1.1 201 `)
			})
			if answer == nil {
				t.Fatalf("no answer to %s was seen", message)
			}
			frame := find(calls, func(c systemCall) bool {
				return (c.name == "pwrite64" || c.name == "write") && isArrivalLog(c.file) && strings.Contains(c.text, message)
			})
			if frame == nil {
				t.Fatalf("no frame with %s was seen", message)
			}
			sync := find(calls, func(c systemCall) bool {
				return (c.name == "fdatasync" || c.name == "fsync") && c.descriptor() == frame.descriptor() && isArrivalLog(c.file) &&
					c.begun > frame.ended && c.ended < answer.begun && c.result == "0"
			})
			if sync == nil {
				early = append(early, message)
			}
		}
	}
	return early
}

func isArrivalLog(file string) bool { return strings.Contains(file, "plantgate.log.d/") }

func find(calls []systemCall, is func(systemCall) bool) *systemCall {
	for i := range calls {
		if is(calls[i]) {
			return &calls[i]
		}
	}
	return nil
}
