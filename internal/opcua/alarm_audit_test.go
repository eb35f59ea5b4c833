package opcua

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/alarm"
	"plantgate/internal/opcua/opcuatest"
	"plantgate/internal/opcua/sim"
)

// auditBook is an audit in memory; the store's own is tested by its contract.
type auditBook struct {
	mu      sync.Mutex
	entries []mes.AuditEntry
	fault   error
}

func (b *auditBook) BeginAudit(_ context.Context, e mes.AuditEntry, _ *mes.Idempotency) (mes.ID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault == nil {
		b.entries = append(b.entries, e)
	}
	return e.ID, b.fault
}

func (b *auditBook) FinishAudit(_ context.Context, id mes.ID, state mes.AuditState, at time.Time, detail string, result []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.entries {
		if e := &b.entries[i]; e.ID == id {
			e.State, e.FinishedAt, e.Detail, e.Result = state, at, detail, result
		}
	}
	return b.fault
}

// states are those of the entries of an action, in their order.
func (b *auditBook) states(action string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var states []string
	for _, e := range b.entries {
		if e.Action == action {
			states = append(states, string(e.State))
		}
	}
	return strings.Join(states, " ")
}

// Whatever comes of an action on an alarm, the audit says so; without an audit nothing is
// tried.
func TestActionsOnAlarmsAreAudited(t *testing.T) {
	t.Parallel()
	book := &auditBook{}
	cfg := plantConfig("opc.tcp://127.0.0.1:1")
	cfg.Machines[0].Events = []config.OPCUAEvents{{}}
	a, err := newAdapter(cfg, Deps{SiteID: "main", Audit: book}, quick())
	if err != nil {
		t.Fatal(err)
	}
	client, err := opcua.NewClient(cfg.Endpoint) // without a session: no answer comes
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	tell := func() {
		a.alarms.attach(client)
		a.alarms.table.Begin(0)
		a.alarms.table.Told(0, &alarm.Event{ID: []byte{1}, ConditionID: ua.NewStringNodeID(1, "Hot"), Retain: &yes, Active: &yes},
			alarm.Context{SiteID: "main", MachineID: "M001", Namespaces: []string{"", "urn:plant"}})
	}
	const hot = "nsu=urn:plant;s=Hot"
	step := func(name string, r mes.AlarmRequest, code mes.Code, state mes.AuditState, detail string) {
		t.Helper()
		r.Action, r.EventID, r.By, r.Comment = mes.AlarmAcknowledge, "AQ==", "key-1", "seen"
		n := len(book.entries)
		if err := a.ActOnAlarm(t.Context(), r); mes.ErrorCode(err) != code || !strings.Contains(err.Error(), detail) {
			t.Errorf("%s: %v, want %s", name, err, code)
		}
		if len(book.entries) != n+1 {
			t.Fatalf("%s: %d entries", name, len(book.entries)-n)
		}
		e := book.entries[n]
		if e.State != state || e.Action != "opcua.alarm.acknowledge" || e.CreatedBy != "key-1" || e.Reason != "seen" || e.Connection != "sim" ||
			e.FinishedAt.IsZero() || !strings.Contains(e.Detail, detail) || !strings.Contains(string(e.Request), r.ConditionID) {
			t.Errorf("%s: %+v %s", name, e, e.Request)
		}
	}
	step("no session", mes.AlarmRequest{ConditionID: hot}, mes.CodeUnavailable, mes.AuditFailed, "not known")
	tell()
	step("not allowed", mes.AlarmRequest{ConditionID: hot}, mes.CodeForbidden, mes.AuditRefused, "acknowledge: true")
	a.cfg.Acknowledge = true
	step("no such alarm", mes.AlarmRequest{ConditionID: "i=1"}, mes.CodeNotFound, mes.AuditRefused, "no present alarm")
	step("another's alarm", mes.AlarmRequest{ConditionID: hot, Scope: mes.Scope{Machines: []string{"M2"}}}, mes.CodeNotFound, mes.AuditRefused, "no present alarm")
	step("no answer", mes.AlarmRequest{ConditionID: hot}, mes.CodeUnavailable, mes.AuditPartial, "it may have done it")
	var before struct{ Before map[string]any }
	if err := json.Unmarshal(book.entries[4].Result, &before); err != nil || before.Before["event_id"] != "AQ==" || before.Before["active"] != true {
		t.Errorf("the state before is %s, %v", book.entries[4].Result, err)
	}
	book.fault = errors.New("away")
	if err := a.ActOnAlarm(t.Context(), mes.AlarmRequest{Action: mes.AlarmAcknowledge, ConditionID: hot, EventID: "AQ=="}); !errors.Is(err, book.fault) {
		t.Errorf("without an audit: %v", err)
	}
	a.deps.Audit = nil
	if err := a.ActOnAlarm(t.Context(), mes.AlarmRequest{Action: mes.AlarmAcknowledge, ConditionID: hot, EventID: "AQ=="}); mes.ErrorCode(err) != mes.CodeUnavailable {
		t.Errorf("where none is kept: %v", err)
	}
}

// A server that ends sessions when it is asked for events, or for the alarms that there
// are, keeps no value from coming.
func TestEventsKeepNoValuesFromComing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refuse func(*sim.Server)
		state  mes.AdapterState
		reason string
	}{
		"no events": {(*sim.Server).RefuseEvents, mes.AdapterDegraded, endedByEvents},
		"no calls":  {(*sim.Server).RefuseCalls, mes.AdapterRunning, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plant, err := sim.Start(t.Context(), "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = plant.Close() })
			c.refuse(plant)
			cfg := plantConfig(plant.URL())
			cfg.Machines[0].Events = []config.OPCUAEvents{{}}
			to := opcuatest.NewIngester()
			a := running(t, cfg, to, quick())
			steady(t, a)
			inState(t, a, c.state, c.reason)
			plant.Write(4711)
			to.Wait(t, limit, "a value after the sessions that ended", func(records []mes.Record) bool {
				for i := range records {
					if textOfSignal(&records[i], "MyStoredVariable") == "4711" {
						return true
					}
				}
				return false
			})
		})
	}
}

// steady waits until the adapter has not connected anew for two seconds.
func steady(t *testing.T, a *Adapter) {
	t.Helper()
	since, n := time.Now(), int64(-1)
	for end := time.Now().Add(limit); time.Since(since) < 2*time.Second; time.Sleep(20 * time.Millisecond) {
		if s := a.Status(); s.Reconnects != n || s.State == mes.AdapterConnecting || s.State == mes.AdapterBackingOff {
			since, n = time.Now(), s.Reconnects
		}
		if time.Now().After(end) {
			t.Fatalf("after %d reconnects: %+v", n, a.Status())
		}
	}
}

func TestEventTrouble(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var e eventTrouble
	e.note(true, true, now) // a simpler form is to be tried
	e.note(true, false, now)
	if e.isBarred(now) {
		t.Error("barred after one session")
	}
	e.note(true, false, now)
	if !e.isBarred(now) || e.isBarred(now.Add(eventsBarred)) {
		t.Error("not barred after two sessions, or for ever")
	}
	if e.note(false, false, now); e.isBarred(now) {
		t.Error("barred after one that went on")
	}
}

// textOfSignal is the signal of a record as text, "" if there is none.
func textOfSignal(r *mes.Record, signal string) string {
	for _, s := range r.Signals {
		if s.Name == signal {
			return s.Value.Text()
		}
	}
	return ""
}
