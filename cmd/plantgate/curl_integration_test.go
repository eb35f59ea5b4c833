//go:build integration

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestCurl trusts the CA that the server printed, as the first lines of the
// README do, and is refused without it.
func TestCurl(t *testing.T) {
	t.Parallel()
	server := start(t, t.TempDir())
	if filepath.Base(server.CAFile) != "ca.crt" {
		t.Errorf("the CA is said to be %s", server.CAFile)
	}
	curl := func(args ...string) (string, error) {
		args = append([]string{
			"--silent", "--show-error", "--write-out", " %{http_code} %{http_version}",
			"-H", "x-api-key: " + bootstrapKey, "-H", "Content-Type: application/json",
			"-d", `{"machine_id":"M001","timestamp":"2026-11-22T10:15:00","temperature":72.31,"status":"Running"}`,
			server.URL + "/data",
		}, args...)
		out, err := exec.Command("curl", args...).CombinedOutput()
		return string(out), err
	}
	for _, want := range []string{" 201 2", " 200 1.1"} {
		version := map[string]string{" 201 2": "--http2", " 200 1.1": "--http1.1"}[want]
		if out, err := curl("--cacert", server.CAFile, version); err != nil || !strings.HasSuffix(out, want) {
			t.Errorf("curl %s: %v\n%s", version, err, out)
		}
	}
	if out, err := curl(); err == nil {
		t.Errorf("curl trusts the server without its CA: %s", out)
	}
	stop(t, server, syscall.SIGTERM)
}
