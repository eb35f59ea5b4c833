package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"plantgate/api"
	"plantgate/internal/app"
	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// TestMappingExamples reads each message of mapping.md by its subscription, and holds the
// records to what the document shows.
func TestMappingExamples(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```\n```message\n(.*?)\n(.*?)\n```\n```records\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(examples) != strings.Count(string(text), "```yaml") || len(examples) < 6 {
		t.Fatalf("%d examples were found", len(examples))
	}
	for _, e := range examples {
		subscription, topic, payload, want := e[1], e[2], e[3], e[4]
		t.Run(strings.ReplaceAll(topic, "/", "_"), func(t *testing.T) {
			t.Parallel()
			got := tryMessage(t, subscription, topic, payload)
			if got != want {
				t.Errorf("%s\nbecomes\n%s\nthe document shows\n%s", payload, got, want)
			}
		})
	}
}

func tryMessage(t *testing.T, subscription, topic, payload string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "p.yaml")
	indented := "    " + strings.ReplaceAll(strings.TrimSuffix(subscription, "\n"), "\n", "\n    ")
	yaml := "mqtt:\n  connections:\n  - name: plant\n    url: mqtt://127.0.0.1:1883\n    subscriptions:\n" + indented + "\n"
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(file, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, yaml)
	}
	at := time.Date(2026, 11, 22, 10, 16, 0, 0, time.UTC)
	outcome, err := app.TestMessage(t.Context(), cfg, "plant", api.SampleMessage{Topic: topic, Payload: []byte(payload), ReceivedAt: at})
	if err != nil || !outcome.Matched {
		t.Fatalf("matched: %v, %v", outcome.Matched, err)
	}
	var b strings.Builder
	for i := range outcome.Records {
		b.WriteString(line(&outcome.Records[i]) + "\n")
	}
	return b.String()
}

// line is a record in words.
func line(r *ingest.Previewed) string {
	if r.Fault != nil {
		return "fault: " + r.Fault.Error()
	}
	words := []string{r.SiteID + "~" + r.MachineID, "receipt"}
	if r.TimeOrigin == mes.TimeSource {
		words[1] = r.Time.Format(time.RFC3339Nano)
	}
	if r.Status != "" {
		words = append(words, string(r.Status))
	}
	if quality := r.StatusCode.Severity(); quality != "good" {
		words = append(words, quality)
	}
	words[len(words)-1] += ":"
	for _, s := range r.Signals {
		words = append(words, strings.TrimSpace(fmt.Sprintf("%s=%s %s", s.Name, s.Value.AppendJSON(nil), s.Unit)))
	}
	return strings.Join(words, " ")
}
