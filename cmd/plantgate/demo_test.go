package main

import (
	"bufio"
	"bytes"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemoStops starts the demo beside whatever uses its usual ports, and ends it
// as Ctrl-C does.
func TestDemoStops(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("plantgate", "demo", "--opcua-listen", "127.0.0.1:0")
	cmd.Dir = t.TempDir()
	cmd.Env = append(cmd.Environ(),
		"PLANTGATE_SERVER_LISTEN=127.0.0.1:0", "PLANTGATE_METRICS_LISTEN=", "PLANTGATE_MQTT_BROKER_LISTEN=127.0.0.1:0")
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer deadline.Stop()
	var printed strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		printed.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "/api/v1/equipment") { // the last line
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Error(err)
			}
		}
	}
	err = cmd.Wait()
	if err != nil || !strings.Contains(log.String(), `msg="plantgate stopped"`) {
		t.Errorf("the demo ended with %v:\n%s", err, log.String())
	}
	for _, want := range []string{"live page    https://127.0.0.1:", "API key      ", "MQTT         tcp://127.0.0.1:", "OPC UA       opc.tcp://"} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("it does not print %q:\n%s", want, printed.String())
		}
	}
}
