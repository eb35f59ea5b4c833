package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

var (
	at     = time.Date(2026, 11, 27, 7, 13, 24, 326_000_000, time.UTC)
	errAny = errors.New("cut")
)

func number(n uint32) *ua.NodeID { return ua.NewNumericNodeID(0, n) }

// told is the fields of an alarm, as a server sends them.
func told() []*ua.Variant {
	v := make([]*ua.Variant, allFields)
	for i := range v {
		v[i] = &ua.Variant{}
	}
	set := func(p place, x any) { v[p] = ua.MustVariant(x) }
	set(eventID, []byte{1, 2, 3})
	set(eventType, number(id.ExclusiveLimitAlarmType))
	set(sourceNode, ua.NewStringNodeID(2, "Tank1"))
	set(sourceName, "Tank1")
	set(eventTime, at)
	set(receiveTime, at.Add(time.Second))
	set(message, ua.NewLocalizedText("too full"))
	set(severity, uint16(700))
	set(conditionID, ua.NewStringNodeID(2, "Tank1/Alarm"))
	set(conditionName, "Level")
	set(branchID, ua.NewTwoByteNodeID(0))
	set(retain, true)
	set(enabled, true)
	set(quality, ua.StatusUncertain)
	set(comment, ua.NewLocalizedText(""))
	set(acked, false)
	set(active, true)
	v[confirmed] = ua.MustVariant(ua.StatusBadNodeIDUnknown) // it has none
	return v
}

func context1() Context {
	return Context{
		Connection: "press", Notifier: "i=2253", SiteID: "main", MachineID: "M1",
		Namespaces: []string{"", "urn:own", "urn:plant"}, TypeName: "ExclusiveLimitAlarmType", ReceivedAt: at.Add(time.Minute),
	}
}

func TestRecord(t *testing.T) {
	t.Parallel()
	e, err := Parse(told())
	if err != nil {
		t.Fatal(err)
	}
	r := e.Record(context1())
	want := map[string]mes.Value{
		"event.EventId": mes.String("AQID"), "event.EventType": mes.String("i=9341"),
		"event.EventType.BrowseName": mes.String("ExclusiveLimitAlarmType"),
		"event.SourceNode":           mes.String("nsu=urn:plant;s=Tank1"), "event.SourceName": mes.String("Tank1"),
		"event.Message": mes.String("too full"), "event.Severity": mes.Int(700),
		"event.ConditionId": mes.String("nsu=urn:plant;s=Tank1/Alarm"), "event.ConditionName": mes.String("Level"),
		"event.Retain": mes.Bool(true), "event.EnabledState.Id": mes.Bool(true), "event.AckedState.Id": mes.Bool(false),
		"event.ActiveState.Id": mes.Bool(true), "event.Quality": mes.Uint(uint64(ua.StatusUncertain)), "event.Comment": mes.String(""),
	}
	got := map[string]mes.Value{}
	for i, s := range r.Signals {
		got[s.Name] = s.Value
		if i > 0 && r.Signals[i-1].Name >= s.Name {
			t.Errorf("%s stands before %s", r.Signals[i-1].Name, s.Name)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("signals are\n%v, want\n%v", got, want)
	}
	if r.DataType != mes.Event || !r.Time.Equal(at) || r.TimeOrigin != mes.TimeSource || !r.ServerTime.Equal(at.Add(time.Second)) {
		t.Errorf("%s at %s (%s), server time %s", r.DataType, r.Time, r.TimeOrigin, r.ServerTime)
	}
	if fault := r.Validate(); fault != nil {
		t.Errorf("the record is not valid: %v", fault)
	}
}

// An event that a refresh tells again, with another time of receipt, is the same record;
// another state of the condition is another.
func TestIdentity(t *testing.T) {
	t.Parallel()
	record := func(change func([]*ua.Variant), c Context) mes.Record {
		v := told()
		change(v)
		e, err := Parse(v)
		if err != nil {
			t.Fatal(err)
		}
		r := e.Record(c)
		r.Identify(mes.ID{})
		return r
	}
	first := record(func([]*ua.Variant) {}, context1())
	later := context1()
	later.ReceivedAt = at.Add(time.Hour)
	later.Namespaces = []string{"", "urn:own", "urn:plant", "urn:more"}
	again := record(func(v []*ua.Variant) { v[receiveTime] = ua.MustVariant(at.Add(time.Hour)) }, later)
	if first.ID != again.ID {
		t.Error("an event that is told again is another record")
	}
	for name, change := range map[string]func([]*ua.Variant){
		"event id": func(v []*ua.Variant) { v[eventID] = ua.MustVariant([]byte{9}) },
		"acked":    func(v []*ua.Variant) { v[acked] = ua.MustVariant(true) },
		"time":     func(v []*ua.Variant) { v[eventTime] = ua.MustVariant(at.Add(time.Microsecond)) },
	} {
		if record(change, context1()).ID == first.ID {
			t.Errorf("with another %s it is the same record", name)
		}
	}
}

func TestQuarantine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(v []*ua.Variant) []*ua.Variant
		want   string
	}{
		"a severity that is text": {func(v []*ua.Variant) []*ua.Variant { v[severity] = ua.MustVariant("high"); return v }, "field Severity can't be a string"},
		"a severity too high":     {func(v []*ua.Variant) []*ua.Variant { v[severity] = ua.MustVariant(int32(70000)); return v }, "70000 is no severity"},
		"a severity that is true": {func(v []*ua.Variant) []*ua.Variant { v[severity] = ua.MustVariant(true); return v }, "field Severity can't be a bool"},
		"a state that is text":    {func(v []*ua.Variant) []*ua.Variant { v[active] = ua.MustVariant(ua.NewLocalizedText("on")); return v }, "field ActiveState.Id can't be a *ua.LocalizedText"},
		"an array":                {func(v []*ua.Variant) []*ua.Variant { v[message] = ua.MustVariant([]string{"a"}); return v }, "field Message can't be a []string"},
		"no UTF-8":                {func(v []*ua.Variant) []*ua.Variant { v[sourceName] = ua.MustVariant("\xff"); return v }, "not UTF-8"},
		"fields missing":          {func(v []*ua.Variant) []*ua.Variant { return v[:5] }, "5 fields"},
		"no type":                 {func(v []*ua.Variant) []*ua.Variant { v[eventType] = nil; return v }, "every event has a type"},
	} {
		values := c.change(told())
		e, err := Parse(values)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
			continue
		}
		r := e.Faulty(context1(), values, err)
		if r.Fault == nil || len(r.Signals) > 0 || !json.Valid(r.Payload) || !strings.Contains(string(r.Payload), "EventId") {
			t.Errorf("%s: the record is %+v, %s", name, r, r.Payload)
		}
	}
}

// Where a server knows only base fields, the rest is missing, not wrong.
func TestBaseFields(t *testing.T) {
	t.Parallel()
	e, err := Parse(told()[:baseFields])
	if err != nil || e.ConditionID != nil || e.Message == nil {
		t.Errorf("%+v, %v", e, err)
	}
	asked := Filter{BaseOnly: true, Everything: true}.EventFilter()
	if len(asked.SelectClauses) != int(baseFields) || len(asked.WhereClause.Elements) != 0 {
		t.Errorf("asked for %d fields, with %d conditions", len(asked.SelectClauses), len(asked.WhereClause.Elements))
	}
}

func TestKind(t *testing.T) {
	t.Parallel()
	for n, want := range map[uint32]Kind{2787: RefreshStart, 2788: RefreshEnd, 2789: RefreshRequired, 3035: Overflow, 2915: Ordinary} {
		if got := (&Event{Type: number(n)}).Kind(); got != want {
			t.Errorf("i=%d is %d, want %d", n, got, want)
		}
		if got := (&Event{Type: ua.NewNumericNodeID(1, n)}).Kind(); got != Ordinary {
			t.Errorf("ns=1;i=%d is %d", n, got)
		}
	}
}

// holds evaluates a filter as OPC 10000-4, 7.7.3 says, for a type without subtypes.
func holds(t *testing.T, elements []*ua.ContentFilterElement, i int, of *ua.NodeID, severe uint16) bool {
	t.Helper()
	operand := func(k int) bool {
		o, ok := elements[i].FilterOperands[k].Value.(*ua.ElementOperand)
		if !ok || int(o.Index) <= i || int(o.Index) >= len(elements) {
			t.Fatalf("element %d refers to %v", i, elements[i].FilterOperands[k].Value)
		}
		return holds(t, elements, int(o.Index), of, severe)
	}
	literal := func(k int) any { return elements[i].FilterOperands[k].Value.(*ua.LiteralOperand).Value.Value() }
	switch op := elements[i].FilterOperator; op {
	case ua.FilterOperatorAnd:
		return operand(0) && operand(1)
	case ua.FilterOperatorOr:
		return operand(0) || operand(1)
	case ua.FilterOperatorOfType:
		return literal(0).(*ua.NodeID).String() == of.String()
	case ua.FilterOperatorGreaterThanOrEqual:
		return severe >= literal(1).(uint16)
	default:
		t.Fatalf("operator %v", op)
		return false
	}
}

func TestWhere(t *testing.T) {
	t.Parallel()
	a, b, c := number(2915), number(2130), number(2041)
	for _, one := range []struct {
		filter Filter
		of     *ua.NodeID
		severe uint16
		want   bool
	}{
		{Filter{Types: []*ua.NodeID{a, b}}, a, 1, true},
		{Filter{Types: []*ua.NodeID{a, b}}, b, 1, true},
		{Filter{Types: []*ua.NodeID{a, b}}, c, 1000, false},
		{Filter{Types: []*ua.NodeID{a}, MinSeverity: 500}, a, 499, false},
		{Filter{Types: []*ua.NodeID{a}, MinSeverity: 500}, a, 500, true},
		{Filter{Types: []*ua.NodeID{a}, MinSeverity: 500}, b, 500, false},
		{Filter{MinSeverity: 500}, c, 500, true},
		{Filter{MinSeverity: 500}, c, 499, false},
		{Filter{MinSeverity: 500}, number(2782), 1, true},
		{Filter{Types: []*ua.NodeID{a}, MinSeverity: 500}, number(2787), 0, true},
		{Filter{Types: []*ua.NodeID{a}, MinSeverity: 500}, number(3035), 0, true},
	} {
		elements := one.filter.EventFilter().WhereClause.Elements
		if got := holds(t, elements, 0, one.of, one.severe); got != one.want {
			t.Errorf("%+v of %s with %d: %t", one.filter, one.of, one.severe, got)
		}
	}
	if n := len(Filter{MinSeverity: 1}.EventFilter().WhereClause.Elements); n != 0 {
		t.Errorf("a severity that all have makes %d conditions", n)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	table := NewTable()
	tell := func(condition string, retains bool) {
		v := told()
		v[conditionID], v[retain] = ua.MustVariant(ua.NewStringNodeID(2, condition)), ua.MustVariant(retains)
		e, err := Parse(v)
		if err != nil {
			t.Fatal(err)
		}
		table.Told(0, e, context1())
	}
	is := func(complete bool, want ...string) {
		t.Helper()
		all := table.Present()
		var got []string
		for _, a := range all.Items {
			got = append(got, strings.TrimPrefix(a.ConditionID, "nsu=urn:plant;s="))
		}
		if !reflect.DeepEqual(got, want) || all.Complete != complete {
			t.Errorf("present are %v (complete %t), want %v", got, all.Complete, want)
		}
	}
	is(false)
	tell("before", true) // of no session
	is(false)
	table.Begin(0)
	tell("a", true)
	is(false, "a")
	table.RefreshStarted(0)
	tell("b", true)
	is(false, "a", "b")
	table.RefreshEnded(0, at)
	is(true, "b")
	tell("c", true)
	tell("b", false)
	is(true, "c")
	table.RefreshEnded(0, at) // of another's refresh
	is(true, "c")
	if e, _ := Parse(told()); table.Knows(0, e, context1()) {
		t.Error("knows an alarm that was not told")
	}
	if node, found := table.Find("nsu=urn:plant;s=c"); node == nil || len(found) != 1 {
		t.Errorf("found %v, %v", node, found)
	}
	table.Begin(1)
	is(false, "c")
	table.Begin(0)
	is(false)
}

// caller answers with a code or an error.
type caller struct {
	code ua.StatusCode
	err  error
	req  *ua.CallMethodRequest
}

func (c *caller) Call(_ context.Context, req *ua.CallMethodRequest) (*ua.CallMethodResult, error) {
	c.req = req
	return &ua.CallMethodResult{StatusCode: c.code}, c.err
}

func TestAct(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		caller caller
		code   mes.Code
		text   string
	}{
		{caller{}, "", ""},
		{caller{code: ua.StatusBadConditionBranchAlreadyAcked}, mes.CodeConflict, "acknowledged already"},
		{caller{code: ua.StatusBadConditionBranchAlreadyConfirmed}, mes.CodeConflict, "confirmed already"},
		{caller{code: ua.StatusBadEventIDUnknown}, mes.CodeConflict, "another state"},
		{caller{code: ua.StatusBadUserAccessDenied}, mes.CodeForbidden, "rights"},
		{caller{code: ua.StatusBadNodeIDUnknown}, mes.CodeNotFound, "no such condition"},
		{caller{code: ua.StatusBadMethodInvalid}, mes.CodeConflict, "no method to acknowledge"},
		{caller{code: ua.StatusBadOutOfMemory}, mes.CodeConflict, "has not done it"},
		{caller{err: ua.StatusBadUserAccessDenied}, mes.CodeForbidden, "rights"},
		{caller{err: ua.StatusBadTimeout}, mes.CodeInternal, ""},
		{caller{err: errAny}, mes.CodeInternal, ""},
	} {
		err := Act(t.Context(), &c.caller, mes.AlarmAcknowledge, number(7), []byte{1}, "seen")
		if mes.ErrorCode(err) != c.code || c.text != "" && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%v, %v: %v", c.caller.code, c.caller.err, err)
		}
		if c.caller.req.MethodID.IntID() != id.AcknowledgeableConditionType_Acknowledge || len(c.caller.req.InputArguments) != 2 {
			t.Errorf("called %v", c.caller.req)
		}
	}
}

// What has no room is told: the list is not complete.
func TestTableIsFull(t *testing.T) {
	t.Parallel()
	table := NewTable()
	table.Begin(0)
	table.RefreshStarted(0)
	yes := true
	for i := range maxAlarms + 1 {
		table.Told(0, &Event{ID: []byte{1}, ConditionID: number(uint32(i + 1)), Retain: &yes}, context1())
	}
	table.RefreshEnded(0, at)
	if all := table.Present(); len(all.Items) != maxAlarms || all.Complete || !all.RefreshedAt.IsZero() {
		t.Errorf("%d alarms, complete %t at %s", len(all.Items), all.Complete, all.RefreshedAt)
	}
}
