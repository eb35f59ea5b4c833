package mqtt_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/ingest/mapping"
	"plantgate/internal/mqtt"
)

func mappingDecoder(t *testing.T) ingest.Decoder {
	t.Helper()
	sites, err := ingest.NewSites("main", map[string]string{"main": "UTC", "pune": "Asia/Kolkata"})
	if err != nil {
		t.Fatal(err)
	}
	return ingest.NewDecoder(ingest.Limits{MaxRecord: 4096, MaxBatch: 100, MaxDepth: 8}, sites)
}

// The levels of a topic reach names, constants and records; what the message says comes
// before the topic, and that before the subscription.
func TestBindingsWithMappings(t *testing.T) {
	t.Parallel()
	bindings, err := mqtt.NewBindings("plant", []config.Subscription{
		{Topic: "v/{site}/{area}/{line}/{machine}/{signal}", Format: config.FormatNumber, SiteID: "main", MachineID: "configured", Scale: "0.1", Constants: map[string]any{"where": "{area}/{line}"}, DataType: "Event"},
		{Topic: "j/{machine}", Format: config.FormatJSON, JSON: &mapping.JSONSpec{Members: mapping.Members{Machine: "/m", Optional: []string{"machine"}}, Signals: []mapping.SignalSpec{{Name: "x", Pointer: "/x"}}}},
		{Topic: "f/{machine}", Units: map[string]string{"x": "m"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	received := time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)
	match, records := bindings.Try(mappingDecoder(t), mqtt.Message{Topic: "v/pune/a{line}/l2/M1/speed", Payload: []byte("15"), ReceivedAt: received})
	want := mqtt.Match{
		Index: 0, Topic: "v/{site}/{area}/{line}/{machine}/{signal}", Filter: "v/+/+/+/+/+", Format: "number",
		Captures: map[string]string{"site": "pune", "area": "a{line}", "line": "l2", "machine": "M1", "signal": "speed"},
	}
	if diff := cmp.Diff(want, match); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r := records[0]
	if r.Fault != nil || r.SiteID != "pune" || r.MachineID != "M1" || r.DataType != "Event" || len(r.Signals) != 2 ||
		r.Signals[0].Name != "speed" || r.Signals[0].Value.Text() != "1.5" || r.Signals[1].Value.Text() != "a{line}/l2" {
		t.Errorf("became %+v", r)
	}
	for payload, machine := range map[string]string{`{"x":1}`: "M1", `{"x":1,"m":"M2"}`: "M2"} {
		if _, records := bindings.Try(mappingDecoder(t), mqtt.Message{Topic: "j/M1", Payload: []byte(payload), ReceivedAt: received}); records[0].MachineID != machine {
			t.Errorf("%s is of %q, want %s", payload, records[0].MachineID, machine)
		}
	}
	if _, records := bindings.Try(mappingDecoder(t), mqtt.Message{Topic: "f/M1", Payload: []byte(`{"x":1}`), ReceivedAt: received}); records[0].Signals[0].Unit != "m" {
		t.Errorf("a built-in format has no unit: %+v", records[0])
	}
	if match, records := bindings.Try(mappingDecoder(t), mqtt.Message{Topic: "none", Payload: []byte("1"), ReceivedAt: received}); match.Index != -1 || records[0].Fault == nil {
		t.Errorf("no subscription: %+v, %+v", match, records)
	}
}

// For a replay a level that is no id is left to whoever corrects the message.
func TestSourceOfATopic(t *testing.T) {
	t.Parallel()
	bindings, err := mqtt.NewBindings("plant", []config.Subscription{{Topic: "j/{machine}", Format: config.FormatText, Signal: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if src, ok := bindings.Source("j/M1"); !ok || src.MachineID != "M1" || src.Mapping == nil || src.Origin.Format != "text" {
		t.Errorf("got %+v, %v", src, ok)
	}
	if src, ok := bindings.Source("j/a~b"); !ok || src.MachineID != "" || src.Mapping == nil {
		t.Errorf("got %+v, %v", src, ok)
	}
	if _, ok := bindings.Source("k"); ok {
		t.Error("a topic without a subscription has a source")
	}
}

func TestNewBindingsNameFaultsOfMappings(t *testing.T) {
	t.Parallel()
	_, err := mqtt.NewBindings("plant", []config.Subscription{{Topic: "a", Format: config.FormatJSON}, {Topic: "b", Scale: "x"}})
	if err == nil || !strings.Contains(err.Error(), "/json: is required") || !strings.Contains(err.Error(), "only for the format number") {
		t.Errorf("got %v", err)
	}
}
