package app_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"plantgate/api"
	"plantgate/internal/app"
	"plantgate/internal/config"
	"plantgate/internal/mes"
)

// TestSampleOutcomes tries messages that are no machine data.
func TestSampleOutcomes(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.MQTT.Connections = []config.MQTTConnection{{
		Name: "hall", Sparkplug: config.Sparkplug{Enabled: true, HostID: "plantgate", Groups: []string{"g"}, NodeMachine: "{node}", DeviceMachine: "{device}"},
		Subscriptions: []config.Subscription{
			{Topic: "up/{site}/{machine}/replies", Format: config.FormatReply},
			{Topic: "up/{site}/{machine}/data"},
		},
	}}
	const id = "019aab1c-7d20-7c11-9e02-3f5a6b7c8d9e"
	for name, tt := range map[string]struct {
		topic, payload string
		want           []string // parts of the answer
		fault          string
	}{
		"reply": {"up/main/M1/replies", `{"command_id":"` + id + `","status":"failed","message":"no"}`,
			[]string{`"matched":true`, `"outcome":"reply"`, `"reply":{"command_id":"` + id + `","status":"failed","message":"no"}`, `"machine_id":"M1"`}, ""},
		"bad reply": {"up/main/M1/replies", `{"command_id":"` + id + `","status":"done"}`,
			[]string{`"outcome":"quarantined"`, `"pointer":"/status"`}, "1 of 1"},
		"no reply":       {"up/main/M1/replies", `[`, []string{`"outcome":"quarantined"`, "a reply is a JSON object"}, "1 of 1"},
		"Sparkplug":      {"spBv1.0/g/NDATA/n", "x", []string{`"matched":true`, `"outcome":"sparkplug"`, "births are needed"}, ""},
		"own state":      {"spBv1.0/STATE/plantgate", "x", []string{`"matched":true`, `"outcome":"sparkplug"`}, ""},
		"without dot":    {"spBv1/0/g/NDATA/n", "x", []string{`"outcome":"quarantined"`, "mqtt.sparkplug = true"}, "1 of 1"},
		"another group":  {"spBv1.0/h/NDATA/n", "x", []string{`"matched":false`}, "quarantine"},
		"data":           {"up/main/M1/data", `{"x":1}`, []string{`"outcome":"stored"`}, ""},
		"in part":        {"up/main/M1/data", `[{"x":1},{"timestamp":"?"}]`, []string{`"outcome":"stored"`, `"outcome":"quarantined"`}, "1 of 2"},
		"no wildcard":    {"up/+/M1/data", `{"x":1}`, nil, "topic"},
		"no wildcard #":  {"up/#", `{"x":1}`, nil, "topic"},
		"not subscribed": {"up", `{"x":1}`, []string{`"matched":false`}, "quarantine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outcome, err := app.TestMessage(t.Context(), cfg, "hall", api.SampleMessage{Topic: tt.topic, Payload: []byte(tt.payload), ReceivedAt: time.Now()})
			if tt.want == nil {
				if mes.ErrorCode(err) != mes.CodeInvalid {
					t.Errorf("wildcards: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			body, err := json.Marshal(api.NewSampleBody(outcome))
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(tt.want, func(part string) bool { return !strings.Contains(string(body), part) }) {
				t.Errorf("%s\nlacks some of %q", body, tt.want)
			}
			fault := outcome.Fault()
			if (fault == nil) != (tt.fault == "") || fault != nil && !strings.Contains(fault.Error(), tt.fault) {
				t.Errorf("fault %v, want %q", fault, tt.fault)
			}
		})
	}
}
