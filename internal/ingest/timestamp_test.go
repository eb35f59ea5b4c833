package ingest

import (
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

func TestParseTimestamp(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`"2026-11-22T10:15:00"`:                 "2026-11-22T09:15:00Z",
		`"2026-11-22 10:15:00"`:                 "2026-11-22T09:15:00Z",
		`"2026-11-22t10:15:00z"`:                "2026-11-22T10:15:00Z",
		`"2026-11-22T10:15:00.9999999"`:         "2026-11-22T09:15:00.999999Z",
		`"2026-11-22T10:15:00,5"`:               "2026-11-22T09:15:00.5Z",
		`"2026-11-22T10:15:00+0530"`:            "2026-11-22T04:45:00Z",
		`"2026-11-22T10:15:00 +05:30"`:          "2026-11-22T04:45:00Z",
		`"2026-11-22T10:15:00-08"`:              "2026-11-22T18:15:00Z",
		`"2026-11-22 10:15:00 UTC"`:             "2026-11-22T10:15:00Z",
		`"  2026-07-22T10:15:00 "`:              "2026-07-22T08:15:00Z",
		`"2026-11-22T10:15:00.123456789+01:00"`: "2026-11-22T09:15:00.123456Z",
		`1763806500`:                            "2025-11-22T10:15:00Z",
		`1.7638065e9`:                           "2025-11-22T10:15:00Z",
		`1763806500123`:                         "2025-11-22T10:15:00.123Z",
		`1763806500123456`:                      "2025-11-22T10:15:00.123456Z",
	} {
		n, fault := parseJSON([]byte(text), 2)
		if fault != nil {
			t.Fatal(fault)
		}
		got, err := parseTimestamp(n, berlin, time.Now())
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got.time.Format(time.RFC3339Nano) != want {
			t.Errorf("%s: got %s, want %s", text, got.time.Format(time.RFC3339Nano), want)
		}
	}
	for _, text := range []string{
		`"yesterday"`, `""`, `"2026-11-22"`, `"2026-13-01T00:00:00Z"`, `"2026-02-29T00:00:00Z"`, `"2026-11-22T25:00:00"`,
		`"2026-11-22T10:15:60Z"`, `"22.11.2026 10:15:00"`, `-5`, `0`, `1e18`, `true`, `[]`, `{}`, `"` + strings.Repeat("2", 5000) + `"`,
	} {
		n, fault := parseJSON([]byte(text), 2)
		if fault != nil {
			t.Fatal(fault)
		}
		if got, err := parseTimestamp(n, berlin, time.Now()); err == nil {
			t.Errorf("%s became %s", text, got.time)
		}
	}
}

// TestLocalTimesAgreeWithTheZone walks every half hour of a year in zones with
// unusual rules: each instant's wall clock must resolve to that instant, or be
// told as one of two.
func TestLocalTimesAgreeWithTheZone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca", "Pacific/Chatham"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		repeated := 0
		for at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() == 2026; at = at.Add(30 * time.Minute) {
			local := at.In(zone)
			wall := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), 0, 0, time.UTC)
			got, err := resolveLocal(wall, zone, at)
			if err != nil {
				t.Fatalf("%s %s: %v", name, local, err)
			}
			if !got.time.Equal(at) {
				t.Fatalf("%s %s: got %s", name, local, got.time)
			}
			if !got.alt.IsZero() {
				repeated++
				if shown := got.alt.In(zone).Format(localLayout); shown != local.Format(localLayout) {
					t.Fatalf("%s: the other reading shows %s, not %s", name, shown, local)
				}
			}
		}
		if (name == "Asia/Kolkata") != (repeated == 0) {
			t.Errorf("%s: %d repeated half hours", name, repeated)
		}
	}
}

func FuzzParseTimestamp(f *testing.F) {
	for _, s := range []string{"2026-11-22T10:15:00", "2026-11-22 10:15:00.5+01:00", "None", "1763806500"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, kind := range []jsontext.Kind{'"', '0'} {
			_, _ = parseTimestamp(node{kind: kind, text: s}, time.UTC, time.Now()) // must not panic
		}
	})
}
