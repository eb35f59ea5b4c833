package explore

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
	"plantgate/internal/opcua/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const stored = "nsu=" + sim.Namespace + ";s=Objects/MyFolder/MyStoredVariable"

// book is an audit in memory; the store's own is tested by its contract.
type book struct {
	mu      sync.Mutex
	entries []mes.AuditEntry
	keys    map[string]mes.ID
	fault   error
}

func (b *book) BeginAudit(_ context.Context, e mes.AuditEntry, key *mes.Idempotency) (mes.ID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault != nil {
		return mes.ID{}, b.fault
	}
	if key != nil {
		if id, ok := b.keys[key.Key]; ok {
			return id, nil
		}
		b.keys[key.Key] = e.ID
	}
	b.entries = append(b.entries, e)
	return e.ID, nil
}

func (b *book) FinishAudit(_ context.Context, id mes.ID, state mes.AuditState, at time.Time, detail string, result []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.entries {
		if e := &b.entries[i]; e.ID == id {
			e.State, e.FinishedAt, e.Detail, e.Result = state, at, detail, result
		}
	}
	return b.fault
}

func (b *book) AuditEntry(_ context.Context, id mes.ID) (mes.AuditEntry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.entries {
		if e.ID == id {
			return e, nil
		}
	}
	return mes.AuditEntry{}, mes.Errorf(mes.CodeNotFound, "none")
}

func (b *book) MadeByRequest(_ context.Context, key mes.Idempotency, _ time.Time) (mes.ID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.keys[key.Key], nil
}

// last is the newest entry, and how many there are.
func (b *book) last() (mes.AuditEntry, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.entries) == 0 {
		return mes.AuditEntry{}, 0
	}
	return b.entries[len(b.entries)-1], len(b.entries)
}

type fixture struct {
	*Service
	*book
	plant *sim.Server
}

func setup(t *testing.T, endpoint string) *fixture {
	t.Helper()
	f := &fixture{book: &book{keys: map[string]mes.ID{}}}
	if endpoint == "" {
		var err error
		if f.plant, err = sim.Start(t.Context(), "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.plant.Close() })
		endpoint = f.plant.URL()
	}
	c := config.OPCUAConnection{
		Name: "press", Endpoint: endpoint, Machines: []config.OPCUAMachine{{MachineID: "M1"}},
		Writable: []config.OPCUAWritable{{Node: "ns=1;s=Objects/MyFolder/MyStoredVariable", MachineID: "M1"}, {Node: "nsu=" + sim.Namespace + ";s=Plant/PRESS-01/State"}},
		Callable: []config.OPCUACallable{{Object: sim.Folder, Method: "nsu=" + sim.Namespace + ";s=Objects/MyFolder/SetStored", MachineID: "M1"}},
	}
	f.Service = New([]config.OPCUAConnection{c}, Deps{Audit: f.book, SiteID: "main"})
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) write(t *testing.T, caller mes.UACaller, nodeAndJSON ...string) (mes.UAAction[mes.UAWritten], error) {
	t.Helper()
	var items []mes.UAWrite
	for i := 0; i < len(nodeAndJSON); i += 2 {
		items = append(items, mes.UAWrite{Node: nodeAndJSON[i], Value: mes.RawJSON(nodeAndJSON[i+1])})
	}
	return f.Write(t.Context(), "press", items, caller)
}

func TestBrowsePages(t *testing.T) {
	t.Parallel()
	f := setup(t, "")
	const press = "nsu=" + sim.Namespace + ";s=Plant/PRESS-01"
	whole, err := f.Browse(t.Context(), "press", press, nil, 100, mes.Scope{})
	if err != nil || len(whole) != 6 || whole[0].NodeID != press+"/State" || whole[0].DataType != "Int32" || whole[0].Class != "Variable" {
		t.Fatalf("%d nodes, %v: %+v", len(whole), err, whole)
	}
	var after *mes.UAPlace
	for i := 0; i < 6; i += 2 {
		part, err := f.Browse(t.Context(), "press", press, after, 2, mes.Scope{})
		if err != nil || len(part) != 2 || part[0].NodeID != whole[i].NodeID || part[1].NodeID != whole[i+1].NodeID {
			t.Fatalf("page at %d: %v %+v", i, err, part)
		}
		after = &part[1].Place
	}
	if rest, err := f.Browse(t.Context(), "press", press, after, 2, mes.Scope{}); err != nil || len(rest) != 0 {
		t.Errorf("after the end: %v %+v", err, rest)
	}
	// A place is found although the list has moved, and told to be gone if it is.
	moved := mes.UAPlace{Index: 0, Node: whole[3].Place.Node}
	if rest, err := f.Browse(t.Context(), "press", press, &moved, 9, mes.Scope{}); err != nil || len(rest) != 2 {
		t.Errorf("a list that has moved: %v %+v", err, rest)
	}
	gone := mes.UAPlace{Index: 1, Node: []byte("gone")}
	for name, c := range map[string]struct {
		node  string
		after *mes.UAPlace
		scope mes.Scope
		want  mes.Code
	}{
		"gone":          {press, &gone, mes.Scope{}, mes.CodeConflict},
		"unknown":       {"ns=1;s=Nothing", nil, mes.Scope{}, mes.CodeNotFound},
		"no namespace":  {"nsu=urn:gone;s=x", nil, mes.Scope{}, mes.CodeNotFound},
		"no node id":    {"x", nil, mes.Scope{}, mes.CodeInvalid},
		"other machine": {press, nil, mes.Scope{Machines: []string{"M2"}}, mes.CodeForbidden},
	} {
		if _, err := f.Browse(t.Context(), "press", c.node, c.after, 10, c.scope); mes.ErrorCode(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.Browse(t.Context(), "oven", "", nil, 10, mes.Scope{}); mes.ErrorCode(err) != mes.CodeNotFound {
		t.Errorf("no such connection: %v", err)
	}
}

func TestReadOfService(t *testing.T) {
	t.Parallel()
	f := setup(t, "")
	values, err := f.Read(t.Context(), "press", []mes.UARead{
		{Node: stored}, {Node: "ns=1;s=Nothing"}, {Node: stored, Attribute: "BrowseName"}, {Node: "nsu=urn:gone;s=x"}, {Node: stored, Attribute: "nodeclass"},
	}, mes.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range values {
		got = append(got, v.Status.Name+" "+v.Value.Text())
	}
	if want := "Good 29, BadNodeIdUnknown , Good 0:MyStoredVariable, BadNodeIdUnknown , Good Variable"; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %q", strings.Join(got, ", "), want)
	}
	if v := values[0]; v.SourceTime.IsZero() || v.SourceTime.Nanosecond()%1000 != 0 || v.ServerTime.IsZero() || v.DataType != "Int32" {
		t.Errorf("times %s, %s of %s", v.SourceTime, v.ServerTime, v.DataType)
	}
	_, err = f.Read(t.Context(), "press", []mes.UARead{{Node: "x"}, {Node: stored, Attribute: "Colour"}}, mes.Scope{})
	if err == nil || !strings.Contains(err.Error(), "/items/0/node") || !strings.Contains(err.Error(), "/items/1/attribute") {
		t.Errorf("faults: %v", err)
	}
}

// A write is on disk before it is tried, has its old value, and is made once for each key.
func TestWriteIsAudited(t *testing.T) {
	t.Parallel()
	f := setup(t, "")
	caller := mes.UACaller{KeyID: "key", Reason: "order 4711", Key: &mes.Idempotency{Key: "k"}}
	done, err := f.write(t, caller, stored, "31")
	if err != nil || !done.Complete || len(done.Items) != 1 || done.Items[0].Outcome != mes.UADone || done.Items[0].OldValue.Text() != "29" || done.Items[0].DataType != "Int32" {
		t.Fatalf("%+v, %v", done, err)
	}
	e, n := f.last()
	if n != 1 || e.ID != done.AuditID || e.State != mes.AuditDone || e.CreatedBy != "key" || e.Reason != "order 4711" || e.Connection != "press" ||
		!strings.Contains(string(e.Request), `"value":31`) || !strings.Contains(string(e.Result), `"old_value":29`) {
		t.Errorf("audit of %d: %+v %s %s", n, e, e.Request, e.Result)
	}
	f.plant.Write(50)
	again, err := f.write(t, caller, stored, "31")
	if err != nil || again.AuditID != done.AuditID || again.Items[0].OldValue.Text() != "29" || !again.Complete {
		t.Errorf("again: %+v, %v", again, err)
	}
	if v := f.value(t); v != "50" {
		t.Errorf("the value is %s: the retry was written", v)
	}
	// A request whose end is not known is not repeated.
	f.entries[0].State = mes.AuditPending
	if _, err := f.write(t, caller, stored, "31"); mes.ErrorCode(err) != mes.CodeConflict || f.value(t) != "50" {
		t.Errorf("pending: %v", err)
	}
	// The plant takes no other value for the state: the server's own refusal.
	mixed, err := f.write(t, mes.UACaller{KeyID: "key"}, stored, "32", "ns=1;s=Plant/PRESS-01/State", "2")
	if err != nil || mixed.Complete || mixed.Items[0].Outcome != mes.UADone || mixed.Items[1].Outcome != mes.UARefused || mixed.Items[1].Name != "BadNotWritable" {
		t.Errorf("mixed: %+v, %v", mixed, err)
	}
	if e, _ := f.last(); e.State != mes.AuditPartial {
		t.Errorf("state %s", e.State)
	}
}

// TestScopeOfConnection: a key that is bound sees a server only where all machines behind it
// are within what it is bound to; those that are discovered are not known.
func TestScopeOfConnection(t *testing.T) {
	t.Parallel()
	m1 := config.OPCUAMachine{MachineID: "M1"}
	tells := config.OPCUAMachine{MachineID: "M1", Events: []config.OPCUAEvents{{Sources: []config.OPCUAEventSource{{Source: "Tank", MachineID: "M2"}}}}}
	bound := mes.Scope{Machines: []string{"M1"}}
	for name, tc := range map[string]struct {
		machines []config.OPCUAMachine
		discover []string
		scope    mes.Scope
		want     bool
	}{
		"its machine":               {[]config.OPCUAMachine{m1}, nil, bound, true},
		"another machine":           {[]config.OPCUAMachine{m1, {MachineID: "M2"}}, nil, bound, false},
		"another by pattern":        {[]config.OPCUAMachine{{MachineID: "{machine}"}}, nil, bound, false},
		"another's events":          {[]config.OPCUAMachine{tells}, nil, bound, false},
		"discovered":                {nil, []string{config.DiscoverMachinery}, bound, false},
		"discovered beside its":     {[]config.OPCUAMachine{m1}, []string{config.DiscoverMachinery}, bound, false},
		"discovered at its site":    {nil, []string{config.DiscoverMachinery}, mes.Scope{Sites: []string{"main"}}, true},
		"discovered at another":     {nil, []string{config.DiscoverMachinery}, mes.Scope{Sites: []string{"other"}}, false},
		"discovered, not bound":     {nil, []string{config.DiscoverMachinery}, mes.Scope{}, true},
		"all of them, not bound":    {[]config.OPCUAMachine{tells}, nil, mes.Scope{}, true},
		"its site, all of them":     {[]config.OPCUAMachine{tells}, nil, mes.Scope{Sites: []string{"main"}}, true},
		"another site, all of them": {[]config.OPCUAMachine{tells}, nil, mes.Scope{Sites: []string{"other"}}, false},
	} {
		s := New([]config.OPCUAConnection{{Name: "press", Machines: tc.machines, Discover: tc.discover}}, Deps{SiteID: "main"})
		_, err := s.connection("press", tc.scope)
		if got := err == nil; got != tc.want || err != nil && mes.ErrorCode(err) != mes.CodeForbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func (f *fixture) value(t *testing.T) string {
	t.Helper()
	values, err := f.Read(t.Context(), "press", []mes.UARead{{Node: stored}}, mes.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	return values[0].Value.Text()
}

// What may not be written, or does not fit, changes nothing, not even what may.
func TestRefusedWritesAreAudited(t *testing.T) {
	t.Parallel()
	f := setup(t, "")
	m1 := mes.UACaller{KeyID: "key", Scope: mes.Scope{Sites: []string{"main"}, Machines: []string{"M1"}}}
	m2 := mes.UACaller{KeyID: "key", Scope: mes.Scope{Machines: []string{"M2"}}}
	for name, c := range map[string]struct {
		caller mes.UACaller
		items  []string
		code   mes.Code
		state  mes.AuditState
		want   string
	}{
		"not listed":     {mes.UACaller{}, []string{stored, "1", "ns=1;s=Plant/PRESS-01/Force", "1"}, mes.CodeForbidden, mes.AuditRefused, "/items/1/node"},
		"not there":      {mes.UACaller{}, []string{"ns=7;s=x", "1"}, mes.CodeForbidden, mes.AuditRefused, "/items/0/node"},
		"other machine":  {m2, []string{stored, "1"}, mes.CodeForbidden, mes.AuditRefused, "M1"},
		"nobody's":       {m1, []string{"ns=1;s=Plant/PRESS-01/State", "1"}, mes.CodeForbidden, mes.AuditRefused, "machine_id"},
		"does not fit":   {mes.UACaller{}, []string{stored, "1", "ns=1;s=Plant/PRESS-01/State", "1.5"}, mes.CodeInvalid, mes.AuditRefused, "/items/1/value: expected Int32"},
		"wrong type":     {mes.UACaller{}, []string{stored, `"1"`}, mes.CodeInvalid, mes.AuditRefused, `not "1"`},
		"array for none": {mes.UACaller{}, []string{stored, "{}"}, mes.CodeInvalid, mes.AuditRefused, "an object"},
	} {
		_, before := f.last()
		_, err := f.write(t, c.caller, c.items...)
		if mes.ErrorCode(err) != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if e, n := f.last(); n != before+1 || e.State != c.state || !strings.Contains(e.Detail, c.want) || e.Request == nil || e.FinishedAt.IsZero() {
			t.Errorf("%s: audit of %d: %+v", name, n, e)
		}
	}
	if v := f.value(t); v != "29" {
		t.Errorf("the value is %s", v)
	}
	if _, err := f.write(t, m1, stored, "30"); err != nil {
		t.Errorf("its own machine: %v", err)
	}
	// Also where the connection has other machines, which it may not see.
	f.connections["press"].cfg.Machines = append(f.connections["press"].cfg.Machines, config.OPCUAMachine{MachineID: "M2"})
	if _, err := f.write(t, m1, stored, "30"); err != nil {
		t.Errorf("its own of two machines: %v", err)
	}
	// Without an audit nothing is written.
	f.mu.Lock()
	f.fault = mes.Errorf(mes.CodeUnavailable, "the database is away")
	f.mu.Unlock()
	if _, err := f.write(t, mes.UACaller{}, stored, "33"); mes.ErrorCode(err) != mes.CodeUnavailable || f.value(t) != "30" {
		t.Errorf("without an audit: %v, the value is %s", err, f.value(t))
	}
	f.Refused(t.Context(), mes.AuditOPCUACall, "no such", mes.UACaller{KeyID: "k"}, errors.New("no scope")) // only the log has it
}

func TestCallIsAudited(t *testing.T) {
	t.Parallel()
	f := setup(t, "")
	call := func(method string, arguments ...string) (mes.UAAction[mes.UACalled], error) {
		c := mes.UACall{Object: sim.Folder, Method: method}
		for _, a := range arguments {
			c.Arguments = append(c.Arguments, mes.RawJSON(a))
		}
		return f.Call(t.Context(), "press", []mes.UACall{c}, mes.UACaller{KeyID: "key"})
	}
	done, err := call(sim.SetStored, "77")
	if err != nil || !done.Complete || len(done.Items[0].Outputs) != 1 || done.Items[0].Outputs[0].Name != "Previous" || done.Items[0].Outputs[0].Value.Text() != "29" {
		t.Fatalf("%+v, %v", done, err)
	}
	if e, n := f.last(); n != 1 || e.State != mes.AuditDone || e.Action != mes.AuditOPCUACall || !strings.Contains(string(e.Result), "Previous") {
		t.Errorf("audit of %d: %+v", n, e)
	}
	for name, c := range map[string]struct {
		method    string
		arguments []string
		code      mes.Code
		want      string
	}{
		"not listed": {sim.Folder, []string{"1"}, mes.CodeForbidden, "callable"},
		"too few":    {sim.SetStored, nil, mes.CodeInvalid, "the method takes one argument, Value (Int32), not 0"},
		"wrong":      {sim.SetStored, []string{"1.5"}, mes.CodeInvalid, "argument Value: expected Int32"},
	} {
		if _, err := call(c.method, c.arguments...); mes.ErrorCode(err) != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if e, _ := f.last(); e.State != mes.AuditRefused {
			t.Errorf("%s: %+v", name, e)
		}
	}
	other := []mes.UACall{{Object: "ns=1;s=Plant/PRESS-01", Method: sim.SetStored, Arguments: []mes.RawJSON{mes.RawJSON("78")}}}
	if _, err := f.Call(t.Context(), "press", other, mes.UACaller{KeyID: "key"}); mes.ErrorCode(err) != mes.CodeForbidden {
		t.Errorf("the method of another object: %v", err)
	}
	if v := f.value(t); v != "77" {
		t.Errorf("the value is %s", v)
	}
}

// All requests share one session, which ends when nobody wants it.
func TestSessionIsShared(t *testing.T) {
	t.Parallel()
	f := setup(t, "")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { f.value(t) })
	}
	all.Wait()
	c := f.connections["press"]
	s := c.session
	if s == nil || s.users != 0 {
		t.Fatalf("session %v", s)
	}
	c.reap(time.Now().Add(idleFor / 2))
	f.value(t)
	if c.session != s {
		t.Error("another session was opened")
	}
	c.reap(time.Now().Add(2 * idleFor))
	if c.session != nil {
		t.Error("the session is kept")
	}
	f.value(t)
}

// A request that was given up ends the session, also for the next one: its answer may come
// yet, and strict servers miss its number.
func TestSessionAfterARequestWasGivenUp(t *testing.T) {
	t.Parallel()
	f := setup(t, "")
	f.value(t)
	c := f.connections["press"]
	before := c.session
	ctx, cancel := context.WithCancel(t.Context())
	err := c.use(ctx, func(s *Session) error {
		cancel()
		_, err := s.Read(ctx, []mes.UARead{{Node: stored}})
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if f.value(t); c.session == before {
		t.Error("the session is kept")
	}
}

// A session that died is opened anew, without the caller seeing it; a server that is away
// is told, and not asked by every request.
func TestSessionAfterARestart(t *testing.T) {
	t.Parallel()
	plant, err := sim.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := opcuatest.NewProxy(t, plant.Addr())
	f := setup(t, proxy.URL())
	f.value(t)
	proxy.Cut()
	if v := f.value(t); v != "29" {
		t.Errorf("after a cut %s", v)
	}
	caller := mes.UACaller{KeyID: "key", Key: &mes.Idempotency{Key: "k"}}
	done, err := f.write(t, caller, stored, "31")
	if err != nil {
		t.Fatal(err)
	}
	_ = plant.Close()
	proxy.Cut()
	proxyAway := func() error {
		_, err := f.Read(t.Context(), "press", []mes.UARead{{Node: stored}}, mes.Scope{})
		return err
	}
	first := proxyAway()
	if mes.ErrorCode(first) != mes.CodeUnavailable {
		t.Errorf("away: %v", first)
	}
	c := f.connections["press"]
	c.mu.Lock()
	c.until = time.Now().Add(time.Hour) // however slow this machine is
	c.mu.Unlock()
	if err := proxyAway(); err != first { //nolint:errorlint // the very same: nobody was asked
		t.Errorf("asked again: %v", err)
	}
	if again, err := f.write(t, caller, stored, "31"); err != nil || again.AuditID != done.AuditID {
		t.Errorf("a retry of what was done: %+v, %v", again, err)
	}
	if _, err := f.write(t, mes.UACaller{}, stored, "1"); mes.ErrorCode(err) != mes.CodeUnavailable {
		t.Errorf("a write: %v", err)
	}
	if e, _ := f.last(); e.State != mes.AuditFailed {
		t.Errorf("audit %+v", e)
	}
}

// A write that no answer comes for is unknown: neither done nor to be tried again blindly.
func TestWriteWithoutAnswer(t *testing.T) {
	t.Parallel()
	outcome, s, _ := failed(context.DeadlineExceeded)
	if outcome != mes.UAUnknown || s.Name != "BadTimeout" {
		t.Errorf("%s %s", outcome, s.Name)
	}
	for code, want := range map[uint32]mes.UAOutcome{
		0x80740000: mes.UARefused, // BadTypeMismatch
		0x800A0000: mes.UAUnknown, // BadTimeout
		0x80020000: mes.UAUnknown, // BadInternalError of the whole call
		0x80100000: mes.UARefused, // BadTooManyOperations
	} {
		if got, _, _ := failed(uaCode(code)); got != want {
			t.Errorf("%08X: %s, want %s", code, got, want)
		}
	}
}

func TestResultsAreRestored(t *testing.T) {
	t.Parallel()
	old := mes.Int(1 << 62)
	items := []mes.UAWritten{{Node: stored, Outcome: mes.UADone, UAStatus: mes.UAStatus{Name: "Good"}, OldValue: &old}}
	var back struct{ Items []mes.UAWritten }
	if err := json.Unmarshal(itemsJSON(items), &back); err != nil || back.Items[0].OldValue.Text() != "4611686018427387904" || back.Items[0].Name != "Good" {
		t.Errorf("%v: %+v", err, back)
	}
}
