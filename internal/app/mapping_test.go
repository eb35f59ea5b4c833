package app_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"plantgate/internal/app/apptest"
	"plantgate/internal/config"
	"plantgate/internal/ingest/mapping"
)

// sample is what the tests look at in the answer to a message that is tried.
type sample struct {
	Matched bool
	Binding struct {
		Index    int
		Captures map[string]string
	}
	Records []struct {
		Outcome, ID       string
		MachineID         string `json:"machine_id"`
		RegistersMachine  bool   `json:"registers_machine"`
		Reason            struct{ Errors []struct{ Pointer string } }
		Signals           []struct{ Name, Unit string }
		Timestamp, Status string
	}
}

func try(t *testing.T, s *apptest.Server, topic, payload string) sample {
	t.Helper()
	body, err := json.Marshal(map[string]any{"topic": topic, "payload": payload})
	if err != nil {
		t.Fatal(err)
	}
	answer := s.Client.Do(http.MethodPost, "/api/v1/adapters/mqtt/broker/test", string(body))
	if answer.Status != http.StatusOK {
		t.Fatalf("%d: %s", answer.Status, answer.Body)
	}
	var got sample
	if err := json.Unmarshal(answer.Body, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// withMappings adds subscriptions of every mapped format to the own broker.
func withMappings(c *config.Config) {
	c.MQTT.Broker.Subscriptions = append(c.MQTT.Broker.Subscriptions,
		config.Subscription{
			Topic: "cells/{line}/{machine}/report", Format: config.FormatJSON, TimeFormat: mapping.TimeUnixMillis, StatusMap: map[string]string{"1": "Running"},
			Units: map[string]string{"pressure": "bar"}, Constants: map[string]any{"line": "{line}"},
			JSON: &mapping.JSONSpec{
				Members: mapping.Members{Time: "/ts", Status: "/state", Optional: []string{"status"}},
				Signals: []mapping.SignalSpec{{Name: "temperature", Pointer: "/v/t", Scale: "0.1", Offset: "-40"}},
				Each:    []mapping.EachSpec{{Path: "/m", Members: mapping.Members{Optional: []string{"path"}}, Signals: []mapping.SignalSpec{{NamePointer: "/n", Pointer: "/v", QualityPointer: "/q"}}}},
			},
		},
		config.Subscription{Topic: "logger/{machine}/csv", Format: config.FormatCSV, CSV: &mapping.CSVSpec{Separator: ";", Columns: []string{"ts", "x"}, Members: mapping.Members{Time: "ts"}}},
		config.Subscription{Topic: "sensors/{machine}/{signal}", Format: config.FormatNumber},
		config.Subscription{Topic: "recipes/{machine}", Format: config.FormatText, Signal: "recipe"},
	)
}

// Payloads of somebody else's making, published to the real broker, are what a trial said
// they would be.
func TestMappedPayloads(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t, withMappings)
	const topic = "cells/l2/M31/report"
	const payload = `{"ts":1762152323966,"state":1,"v":{"t":2215},"m":[{"n":"pressure","v":3.5},{"n":"flow","v":7,"q":"bad"}]}`
	tried := try(t, s, topic, payload)
	if !tried.Matched || tried.Binding.Captures["line"] != "l2" || len(tried.Records) != 2 || !tried.Records[0].RegistersMachine {
		t.Fatalf("tried: %+v", tried)
	}
	if got := apptest.Get[apptest.Page[apptest.Record]](s.Client, "/data?machine_id=M31").Items; len(got) != 0 {
		t.Fatalf("a trial stored %+v", got)
	}
	client := publisher(t, s.BrokerURL, "mapped")
	finished(t, client.Publish(topic, 1, false, payload))
	finished(t, client.Publish(topic, 1, false, payload)) // the same message is the same records
	finished(t, client.Publish("logger/M32/csv", 1, false, "2025-11-03T06:45:23Z;1\n2025-11-03T06:45:24Z;2\nbad\n"))
	finished(t, client.Publish("sensors/M33/pressure", 1, false, "4.5"))
	finished(t, client.Publish("recipes/M33", 1, false, "Bolt M8"))

	got := recordsOf(t, s.Client, "M31", 2)
	at := time.UnixMilli(1762152323966)
	for i, want := range []struct{ id, status, quality string }{{tried.Records[0].ID, "Running", "good"}, {tried.Records[1].ID, "", "bad"}} {
		found := false
		for _, r := range got {
			found = found || r.ID == want.id && r.Status == want.status && r.Quality == want.quality && r.Timestamp.Equal(at)
		}
		if !found {
			t.Errorf("record %d, %+v, is not among %+v", i, want, got)
		}
	}
	latest := latestOf(s.Client, "M31")
	for signal, want := range map[string]string{"temperature": "181.5", "pressure": "3.5", "flow": "7", "line": `"l2"`} {
		if string(latest[signal].Value) != want {
			t.Errorf("%s is %s, want %s", signal, latest[signal].Value, want)
		}
	}
	if lines := recordsOf(t, s.Client, "M32", 2); string(lines[1].Signals["x"]) != "2" {
		t.Errorf("the lines became %+v", lines)
	}
	values := recordsOf(t, s.Client, "M33", 2)
	if string(values[0].Signals["pressure"]) != "4.5" || string(values[1].Signals["recipe"]) != `"Bolt M8"` {
		t.Errorf("the values became %+v", values)
	}
	if other := try(t, s, "nowhere", "x"); other.Matched || len(other.Records) != 0 {
		t.Errorf("no subscription: %+v", other)
	}
}

// A message that a wrong mapping sent to quarantine is replayed by the corrected one,
// after a restart with the new configuration.
func TestReplayAfterTheMappingIsCorrected(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t, func(c *config.Config) {
		withMappings(c)
		list := c.MQTT.Broker.Subscriptions
		list[len(list)-4].JSON.Time = "/time"
	})
	client := publisher(t, s.BrokerURL, "corrected")
	finished(t, client.Publish("cells/l2/M41/report", 1, false, `{"ts":1762152323966,"v":{"t":2215}}`))
	items := apptest.Get[apptest.Page[struct{ ID string }]](s.Client, "/api/v1/quarantine?state=open").Items
	if len(items) != 1 {
		t.Fatalf("%d items in quarantine", len(items))
	}
	replay := func() apptest.Answer {
		return s.Client.Do(http.MethodPost, "/api/v1/quarantine/"+items[0].ID+"/replay", "")
	}
	if a := replay(); a.Status != http.StatusUnprocessableEntity || !strings.Contains(string(a.Body), "/time") {
		t.Errorf("with the wrong mapping: %d %s", a.Status, a.Body)
	}
	client.Disconnect(100)
	s.Stop()
	list := s.Config.MQTT.Broker.Subscriptions
	list[len(list)-4].JSON.Time = "/ts"
	s.Restart()
	if a := replay(); a.Status != http.StatusOK {
		t.Fatalf("with the corrected mapping: %d %s", a.Status, a.Body)
	}
	if got := recordsOf(t, s.Client, "M41", 1)[0]; string(got.Signals["temperature"]) != "181.5" || !got.Timestamp.Equal(time.UnixMilli(1762152323966)) {
		t.Errorf("replayed as %+v", got)
	}
}
