package main

import (
	"net/http"
	"syscall"
	"testing"
	"time"
)

// TestKillFirstStart kills the very first start, which makes store, CA and
// certificate, at different steps. The next start must go on from whatever is
// there.
func TestKillFirstStart(t *testing.T) {
	t.Parallel()
	for step := range 16 {
		folder := t.TempDir()
		server := launch(t, folder)
		time.Sleep(time.Duration(step) * 4 * time.Millisecond) // another step each time
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		again := start(t, folder)
		body := `{"machine_id":"M001","timestamp":"2026-11-22T10:15:00","temperature":72.31}`
		if status, answer, err := request(again, http.MethodPost, "/data", bootstrapKey, body); err != nil || status != http.StatusCreated {
			t.Errorf("killed after %d ms: status %d, %v: %s", step*4, status, err, answer)
		}
		stop(t, again, syscall.SIGTERM)
	}
}
