package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMQTTTest tells by its exit code whether all of a message would be taken.
func TestMQTTTest(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "plantgate.yaml")
	text := "mqtt:\n  connections:\n  - name: hall\n    url: mqtt://127.0.0.1:1883\n    subscriptions:\n" +
		"    - topic: up/{machine}/data\n    - topic: up/{machine}/replies\n      format: reply\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		topic, message string
		code           int
		out, fault     string
	}{
		"stored":     {"up/M1/data", `{"x":1}`, exitOK, `"outcome": "stored"`, ""},
		"reply":      {"up/M1/replies", `{"command_id":"019aab1c-7d20-7c11-9e02-3f5a6b7c8d9e","status":"completed"}`, exitOK, `"outcome": "reply"`, ""},
		"quarantine": {"up/M1/data", `{"timestamp":"?"}`, exitFailed, `"outcome": "quarantined"`, "1 of 1 record would go to quarantine"},
		"no topic":   {"up/M1/other", `{"x":1}`, exitFailed, `"matched": false`, "would go to quarantine"},
		"wildcard":   {"up/+/data", `{"x":1}`, exitUsage, "", "wildcard"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			e := &env{ctx: t.Context(), stdin: strings.NewReader(tt.message), stdout: &stdout, stderr: &stderr}
			code := run(e, []string{"mqtt", "test", "--config", file, "hall", tt.topic})
			if code != tt.code || !strings.Contains(stdout.String(), tt.out) || !strings.Contains(stderr.String(), tt.fault) || tt.fault == "" && stderr.Len() > 0 {
				t.Errorf("exit code %d: %s%s", code, &stdout, &stderr)
			}
		})
	}
}
