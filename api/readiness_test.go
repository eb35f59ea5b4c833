package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"plantgate/api"
	"plantgate/internal/mes"
)

// TestReadinessPolicy: what a connection that is down makes of the server is configured.
func TestReadinessPolicy(t *testing.T) {
	t.Parallel()
	required := map[api.AdapterKey]bool{{Door: mes.DoorMQTT, Name: "plant"}: true}
	for name, c := range map[string]struct {
		policy api.ReadinessPolicy
		state  mes.AdapterState
		want   string
		status int
	}{
		"by default down is degraded":      {api.ReadinessPolicy{}, mes.AdapterBackingOff, "degraded", 200},
		"by default refused is degraded":   {api.ReadinessPolicy{}, mes.AdapterRefused, "degraded", 200},
		"another server's is no fault":     {api.ReadinessPolicy{Fail: true}, mes.AdapterStandby, "ready", 200},
		"ignored":                          {api.ReadinessPolicy{Ignore: true}, mes.AdapterBackingOff, "ready", 200},
		"fail":                             {api.ReadinessPolicy{Fail: true}, mes.AdapterBackingOff, "unready", 503},
		"fail while it connects":           {api.ReadinessPolicy{Fail: true}, mes.AdapterConnecting, "unready", 503},
		"fail does not mean degraded":      {api.ReadinessPolicy{Fail: true}, mes.AdapterDegraded, "degraded", 200},
		"required":                         {api.ReadinessPolicy{Required: required}, mes.AdapterRefused, "unready", 503},
		"required though the rest ignored": {api.ReadinessPolicy{Ignore: true, Required: required}, mes.AdapterRefused, "unready", 503},
		"required and up":                  {api.ReadinessPolicy{Required: required}, mes.AdapterRunning, "ready", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, func(f *fixture) {
				f.settings.Readiness = c.policy
				f.adapters = []mes.AdapterStatus{
					{Door: mes.DoorMQTT, Name: "plant", State: c.state},
					{Door: mes.DoorOPCUA, Name: "plant", State: mes.AdapterRunning},
				}
			})
			r := f.do(call{path: "/readyz", key: "-"}).want(c.status)
			got := into[object](r)
			if got["status"] != c.want {
				t.Errorf("%s", r.body)
			}
			mine := got["adapters"].([]any)[0].(object)
			needed := c.policy.Fail || c.policy.Required != nil
			if mine["state"] != string(c.state) || (mine["required"] == true) != needed {
				t.Errorf("%s", r.body)
			}
			other := got["adapters"].([]any)[1].(object)
			if (other["required"] == true) != c.policy.Fail {
				t.Errorf("of the other door: %s", r.body)
			}
		})
	}
}

// TestAdaptersTellWhatComes: figures of the connection and of each subscription.
func TestAdaptersTellWhatComes(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(-time.Minute)
	flow := mes.Flow{Received: 7, Quarantined: 2, InHand: 3, Rate: 1.23456, LastMessage: at, Lag: mes.Lag{Last: 41 * time.Millisecond, P99: 120 * time.Millisecond, Count: 5}}
	f := setup(t, func(f *fixture) {
		f.adapters = []mes.AdapterStatus{{
			Door: mes.DoorMQTT, Name: "plant", State: mes.AdapterRunning, Since: at, Flow: flow,
			Reconnects: 1, Repeated: 4, Doubtful: 5, SessionsLost: 6, Backfilled: 7, Gaps: 8, GapsOpen: 9,
			Sessions: 10, SessionsUp: 11, Nodes: 12, NodesBad: 13,
			Certificates: []mes.CertificateEnd{{Use: mes.CertificateOfClient, NotAfter: time.Now().Add(-36 * time.Hour)}},
			Bindings:     []mes.BindingStatus{{Name: "plant/{machine}/#", State: mes.BindingLimited, Since: at, Flow: flow}, {Name: "quiet", State: mes.BindingWaiting, Since: at}},
		}}
	})
	r := f.get("/api/v1/adapters").want(http.StatusOK)
	a := into[object](r)["items"].([]any)[0].(object)
	bindings := a["bindings"].([]any)
	for _, of := range []object{a, bindings[0].(object)} {
		lag := of["lag"].(object)
		got := fmt.Sprintf("%v %v %v %v %v %v", of["received"], of["quarantined"], of["in_hand"], of["rate"], lag["last_seconds"], lag["p99_seconds"])
		if got != "7 2 3 1.235 0.041 0.12" || of["last_message"] == nil {
			t.Errorf("%s in %s", got, r.body)
		}
		if age, err := of["last_message_age_seconds"].(json.Number).Float64(); err != nil || age < 59 || age > 120 {
			t.Errorf("the newest message is %v s old", age)
		}
	}
	if got := fmt.Sprintf("%v %v %v %v", a["sessions"], a["sessions_up"], a["nodes"], a["nodes_bad"]); got != "10 11 12 13" {
		t.Errorf("sessions and nodes are %s", got)
	}
	if got := fmt.Sprintf("%v %v %v %v %v %v %v", a["reconnects"], a["repeated"], a["doubtful"], a["sessions_lost"], a["backfilled"], a["gaps"], a["gaps_open"]); got != "1 4 5 6 7 8 9" {
		t.Errorf("%s in %s", got, r.body)
	}
	if end := a["certificates"].([]any)[0].(object); end["use"] != "client" || fmt.Sprint(end["days_left"]) != "-2" || end["not_after"] == nil {
		t.Errorf("%s", r.body)
	}
	b, quiet := bindings[0].(object), bindings[1].(object)
	if b["name"] != "plant/{machine}/#" || b["state"] != "limited" || b["since"] == nil {
		t.Errorf("%s", r.body)
	}
	if quiet["lag"] != nil || quiet["last_message_age_seconds"] != nil {
		t.Errorf("of a quiet one: %s", r.body)
	}
}
