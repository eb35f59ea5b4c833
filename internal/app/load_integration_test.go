//go:build integration

package app_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"plantgate/internal/app/apptest"
)

// k6 is what `make peers` builds.
func k6(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("..", "..", ".tools", "bin", "k6-*"))
	if err != nil || len(found) == 0 {
		t.Fatal("this test needs k6 at .tools/bin/k6-VERSION: run `make peers`")
	}
	return found[len(found)-1]
}

// The load test for k6, as users run it: by its thresholds every answer is a 201,
// and what it counts as stored is stored.
func TestLoadScript(t *testing.T) {
	program := k6(t)
	for name, env := range map[string][]string{
		"closed":          {},
		"open":            {"RATE=50"},
		"open by batches": {"RATE=5", "BATCH=100"},
	} {
		t.Run(name, func(t *testing.T) {
			s := apptest.StartProcess(t, "")
			summary := filepath.Join(t.TempDir(), "summary.json")
			output(t, append(env, "BASE_URL="+s.URL, "API_KEY="+s.Key, "SSL_CERT_FILE="+s.CAFile, "DURATION=2s", "CLIENTS=4", "MACHINES=10", "P99=20000"),
				program, "run", "--no-usage-report", "--quiet", "--summary-export", summary, filepath.Join("..", "..", "scripts", "load", "plantgate.js"))
			text, err := os.ReadFile(summary)
			if err != nil {
				t.Fatal(err)
			}
			var report struct {
				Metrics struct {
					Created struct{ Count float64 } `json:"plantgate_created"`
				}
			}
			if err := json.Unmarshal(text, &report); err != nil {
				t.Fatal(err)
			}
			stored := s.Metric(`plantgate_ingest_records_total{outcome="created"}`)
			if stored == 0 || stored != report.Metrics.Created.Count {
				t.Errorf("%g records are stored, k6 counted %g", stored, report.Metrics.Created.Count)
			}
		})
	}
}
