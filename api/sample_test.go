package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"plantgate/api"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// sampled answers for one connection, with what it was asked.
type sampled struct {
	asked   api.SampleMessage
	outcome api.SampleOutcome
}

func (s *sampled) test(_ context.Context, connection string, m api.SampleMessage) (api.SampleOutcome, error) {
	if connection != "plant 1" {
		return api.SampleOutcome{}, mes.Errorf(mes.CodeNotFound, "there is no MQTT connection %q", connection)
	}
	s.asked = m
	return s.outcome, nil
}

const samplePath = "/api/v1/adapters/mqtt/plant%201/test"

func TestSample(t *testing.T) {
	t.Parallel()
	sequence := int64(7)
	at := time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)
	tester := &sampled{outcome: api.SampleOutcome{
		Matched: true, Index: 2, Topic: "p/{machine}", Filter: "p/+", Format: "json", Captures: map[string]string{"machine": "M1"},
		Records: []ingest.Previewed{
			{Record: mes.Record{
				ID: mes.NewID(), SiteID: "main", MachineID: "M1", DataType: mes.Telemetry, Time: at, TimeOrigin: mes.TimeSource, Status: mes.Running,
				StatusCode: 0x80000000, MessageID: "a", Sequence: &sequence, Flags: []mes.Flag{mes.FlagRetained},
				Signals: []mes.Signal{{Name: "n"}, {Name: "x", Value: mes.Float(0.3, 64), Unit: "m"}, {Name: "z", Value: mes.Array("[1]")}},
			}, HasID: true, Registers: true},
			{Record: mes.Record{ID: mes.NewID(), SiteID: "main", MachineID: "M1", DataType: mes.Telemetry, Time: at, TimeOrigin: mes.TimeReceipt, Signals: []mes.Signal{{Name: "x", Value: mes.Bool(true)}}}},
			{Record: mes.Record{SiteID: "main", Fault: mes.Invalid([]mes.FieldError{{Pointer: "/x", Detail: "is required"}})}},
		},
	}}
	f := setup(t, func(f *fixture) { f.deps.Samples = tester.test })
	r := f.do(call{method: "POST", path: samplePath, body: `{"topic":"p/M1","payload":"{}","retained":true,"received_at":"2026-11-22T15:45:00+05:30"}`}).want(http.StatusOK)
	if tester.asked.Topic != "p/M1" || string(tester.asked.Payload) != "{}" || !tester.asked.Retained || !tester.asked.ReceivedAt.Equal(at) {
		t.Errorf("asked for %+v", tester.asked)
	}
	got := into[object](r)
	binding := got["binding"].(object)
	if got["matched"] != true || binding["filter"] != "p/+" || binding["captures"].(object)["machine"] != "M1" {
		t.Errorf("the subscription: %s", r.body)
	}
	records := got["records"].([]any)
	first, second, third := records[0].(object), records[1].(object), records[2].(object)
	if first["outcome"] != "stored" || first["id"] != tester.outcome.Records[0].ID.String() || first["quality"] != "bad" || first["registers_machine"] != true || first["timestamp"] != "2026-11-22T10:15:00Z" {
		t.Errorf("the first record: %v", first)
	}
	if _, has := second["id"]; has || second["timestamp_origin"] != "receipt" {
		t.Errorf("the second record: %v", second)
	}
	if third["outcome"] != "quarantined" || !strings.Contains(string(r.body), `"pointer":"/x"`) {
		t.Errorf("the third record: %v", third)
	}

	tester.outcome = api.SampleOutcome{Index: -1}
	r = f.do(call{method: "POST", path: samplePath, body: `{"topic":"q","payload_base64":"/w=="}`}).want(http.StatusOK)
	if string(r.body) != `{"matched":false,"records":[]}`+"\n" || string(tester.asked.Payload) != "\xff" || time.Since(tester.asked.ReceivedAt) > time.Minute {
		t.Errorf("no subscription: %s, asked for %+v", r.body, tester.asked)
	}
}

func TestSampleRefusals(t *testing.T) {
	t.Parallel()
	tester := &sampled{outcome: api.SampleOutcome{Matched: true, Captures: map[string]string{}, Records: []ingest.Previewed{{Record: mes.Record{SiteID: "main", MachineID: "M2", TimeOrigin: mes.TimeReceipt, DataType: mes.Telemetry}}}}}
	f := setup(t, func(f *fixture) { f.deps.Samples = tester.test })
	for body, pointer := range map[string]string{
		`{}`: "/topic", `{"topic":"a"}`: "/payload", `{"topic":"a","payload":"x","payload_base64":"eA=="}`: "/payload_base64",
		`{"topic":"a","payload_base64":"§"}`: "/payload_base64", `{"topic":"a","payload":"x","qos":1}`: "/qos", `{"topic":"a","payload":5}`: "/payload",
	} {
		r := f.do(call{method: "POST", path: samplePath, body: body, invalid: true}).want(http.StatusUnprocessableEntity)
		if !strings.Contains(string(r.body), `"pointer":"`+pointer+`"`) {
			t.Errorf("%s: %s does not name %s", body, r.body, pointer)
		}
	}
	f.do(call{method: "POST", path: "/api/v1/adapters/mqtt/none/test", body: `{"topic":"a","payload":"x"}`}).want(http.StatusNotFound)
	f.do(call{method: "POST", path: samplePath, body: `{"topic":"a","payload":"x"}`, key: f.key(mes.Scope{}, mes.ScopeDataWrite)}).want(http.StatusForbidden)
	f.do(call{method: "POST", path: samplePath, body: `{"topic":"a","payload":"x"}`, key: f.key(mes.Scope{}, mes.ScopeAdaptersRead)}).want(http.StatusOK)
	bound := f.key(mes.Scope{Sites: []string{"main"}, Machines: []string{"M1"}}, mes.ScopeAdaptersRead)
	f.do(call{method: "POST", path: samplePath, body: `{"topic":"a","payload":"x"}`, key: bound}).want(http.StatusForbidden)
	without := setup(t)
	without.do(call{method: "POST", path: samplePath, body: `{"topic":"a","payload":"x"}`}).want(http.StatusNotFound)
}
