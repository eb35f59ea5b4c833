package opcua

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
)

// gapsOf are the gap records of each machine, and what they name, by reason.
func gapsOf(records []mes.Record) map[string]map[string]string {
	found := map[string]map[string]string{}
	for _, r := range records {
		if r.DataType != mes.Event {
			continue
		}
		m := found[r.MachineID]
		if m == nil {
			m = map[string]string{}
			found[r.MachineID] = m
		}
		var reason, names string
		for _, s := range r.Signals {
			switch s.Name {
			case mes.SignalGapReason:
				reason = s.Value.Text()
			case mes.SignalGapSignals:
				names = s.Value.Text()
			}
		}
		m[reason] += names
	}
	return found
}

func hasGaps(n int) func([]mes.Record) bool {
	return func(records []mes.Record) bool { return len(gapsOf(records)) >= n }
}

func gapTiming() timing {
	tm := quick()
	tm.cursors, tm.look, tm.firsts = 200*time.Millisecond, 20*time.Millisecond, 2*time.Second
	return tm
}

// TestGapRecords: without a history, an interruption makes one record of each machine,
// which names what may have changed.
func TestGapRecords(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	proxy := opcuatest.NewProxy(t, server.Addr())
	cfg := plantConfig(proxy.URL())
	cfg.Machines[0].Nodes[1].History = "off"
	cfg.QueueSize = 1 // the subscription is taken up, and has forgotten what changed twice
	to := opcuatest.NewIngester()
	a := running(t, cfg, to, gapTiming())
	stored(t, to, 29)
	proxy.BlackHole()
	inState(t, a, mes.AdapterBackingOff, "")
	time.Sleep(time.Second)
	if got := gapsOf(to.Records()); len(got) != 0 {
		t.Errorf("gap records before the end: %v", got)
	}
	proxy.Resume()
	to.Wait(t, limit, "gap record of each machine", hasGaps(2))
	time.Sleep(200 * time.Millisecond)
	got := gapsOf(to.Records())
	want := map[string]map[string]string{
		"M001":     {string(reasonHistoryOff): `["MySynchronousVariable"]`},
		"PRESS-01": {string(reasonNoHistory): got["PRESS-01"][string(reasonNoHistory)]},
	}
	delete(got["M001"], string(reasonNoHistory)) // the asynchronous variable, if it changed
	if !maps.EqualFunc(got, want, maps.Equal) || !strings.Contains(got["PRESS-01"][string(reasonNoHistory)], "Force") {
		t.Errorf("the gap records are %v, want %v", got, want)
	}
	if s := a.Status(); s.GapsOpen != 0 || s.Gaps < 2 || s.Backfilled != 0 {
		t.Errorf("status %+v", s)
	}
}

// TestGapOfRestart: a stop of plantgate is an interruption, the first start of all is none.
func TestGapOfRestart(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	to, kept := opcuatest.NewIngester(), opcuatest.NewCursors()
	a, stop := stoppable(t, plantConfig(server.URL()), to, kept, gapTiming())
	stored(t, to, 29)
	inState(t, a, mes.AdapterRunning, "")
	time.Sleep(500 * time.Millisecond)
	stop()
	stopped := time.Now()
	if got := gapsOf(to.Records()); len(got) != 0 {
		t.Errorf("gap records of the first start: %v", got)
	}
	time.Sleep(1500 * time.Millisecond)
	stoppable(t, plantConfig(server.URL()), to, kept, gapTiming())
	to.Wait(t, limit, "gap record of each machine", hasGaps(2))
	for _, r := range to.Records() {
		if r.DataType != mes.Event {
			continue
		}
		from, err := time.Parse(time.RFC3339Nano, r.Signals[2].Value.Text())
		if err != nil || from.Sub(stopped).Abs() > time.Second || r.Time.Sub(from) < time.Second {
			t.Errorf("the gap of %s is from %v to %v, stopped at %v", r.MachineID, from, r.Time, stopped)
		}
		if strings.Contains(r.Signals[4].Value.Text(), "MyStoredVariable") {
			t.Errorf("the gap names %s", r.Signals[4].Value.Text())
		}
	}
}

// TestGapRecordIsCanonical: the same gap is the same record, and a long list of signals is
// cut.
func TestGapRecordIsCanonical(t *testing.T) {
	t.Parallel()
	i := interval{track: new(track), gap: mes.OPCUAGap{From: at(1), To: at(2), Since: at(3)}, until: at(4)}
	var losses []loss
	for n := range maxSignalsNamed + 1 {
		one := *oneBinding()
		one.signal = fmt.Sprintf("s%03d", n)
		i.node = &one
		losses = append(losses, lost(i, reasonNoHistory))
	}
	first := gapEntries(losses, at(100))
	slices.Reverse(losses)
	second := gapEntries(losses, at(200))
	if len(first) != 1 || len(second) != 1 || len(first[0].closes) != len(losses) {
		t.Fatalf("%d records", len(first))
	}
	a, b := first[0].record, second[0].record
	a.Identify(mes.NewID())
	b.Identify(mes.NewID())
	if a.ID != b.ID {
		t.Error("the same gap has two ids")
	}
	if err := a.Validate(); err != nil {
		t.Error(err)
	}
	if !slices.IsSortedFunc(a.Signals, func(x, y mes.Signal) int { return strings.Compare(x.Name, y.Name) }) {
		t.Errorf("the signals are %v", a.Signals)
	}
	if got := strings.Count(a.Signals[4].Value.Text(), "s"); got != maxSignalsNamed || a.Signals[1].Value != mes.Int(maxSignalsNamed+1) {
		t.Errorf("%d signals are named, %s counted", got, a.Signals[1].Value.Text())
	}
	if !a.Time.Equal(at(4)) || a.Signals[2].Value.Text() != at(3).Format(time.RFC3339Nano) {
		t.Errorf("from %s to %v", a.Signals[2].Value.Text(), a.Time)
	}
}

// TestLookBack: what is older than history is read back is lost, and only that.
func TestLookBack(t *testing.T) {
	t.Parallel()
	a, err := newAdapter(plantConfig("opc.tcp://127.0.0.1:1"), Deps{
		Ingester: opcuatest.NewIngester(), Now: func() time.Time { return at(0) }, Retention: time.Hour,
	}, quick())
	if err != nil {
		t.Fatal(err)
	}
	b := &backFill{session: &session{lane: a.newLane(0)}}
	place := ua.NewNumericNodeID(1, 1)
	history := *oneBinding()
	history.history = true
	of := func(node binding, from, to, since int) interval {
		return interval{track: new(track), node: &node, place: place, until: at(0),
			gap: mes.OPCUAGap{From: at(from), To: at(to), Since: at(since)}}
	}
	unknown := of(history, -9000, -5, 0)
	unknown.gap.Since = time.Time{}
	untimed := of(history, -10, -5, -9)
	untimed.untimed = true
	for name, tc := range map[string]struct {
		i      interval
		left   bool
		reason reason
		to     time.Time
	}{
		"near":                    {of(history, -10, -5, -9), true, "", time.Time{}},
		"quiet for long":          {of(history, -9000, -5, -9), true, "", time.Time{}},
		"begins too early":        {of(history, -9000, -5, -8000), false, reasonTooOld, at(-3564)},
		"since it knows not when": {unknown, false, reasonTooOld, at(-3564)},
		"too old":                 {of(history, -9000, -4000, -8000), false, reasonTooOld, at(0)},
		"off":                     {of(*oneBinding(), -10, -5, -9), false, reasonHistoryOff, at(0)},
		"no time":                 {untimed, false, reasonNoSourceTime, at(0)},
	} {
		left, losses := b.eligible([]interval{tc.i})
		if tc.left != (len(left) == 1) || tc.left == (len(losses) == 1) {
			t.Errorf("%s: %d are left, %d lost", name, len(left), len(losses))
			continue
		}
		if !tc.left && (losses[0].reason != tc.reason || !losses[0].to.Equal(tc.to)) {
			t.Errorf("%s: lost is %s to %v", name, losses[0].reason, losses[0].to)
		}
	}
	// What is left of a gap whose beginning is lost is read, once that is recorded.
	c := a.cursors
	tr := c.follow(&history)
	c.interrupt(tr, place, time.Time{})
	c.widen(tr, at(-9000), at(-5), at(-8000), at(0), false)
	_, losses := b.eligible(c.due([]*track{tr}, false))
	c.settled(gapEntries(losses, at(0)))
	if left, losses := b.eligible(c.due([]*track{tr}, false)); len(left) != 1 || len(losses) != 0 || !tr.gap.From.Equal(at(-3564)) {
		t.Errorf("left is %v, lost %v", left, losses)
	}
}

// TestSameValueByEveryWay: what a notification, a notification again and a history say of a
// value is one record, and one item of quarantine.
func TestSameValueByEveryWay(t *testing.T) {
	t.Parallel()
	for _, base := range []ua.StatusCode{ua.StatusOK, ua.StatusUncertainLastUsableValue, ua.StatusBadSensorFailure} {
		ids := map[mes.ID]bool{}
		items := map[mes.ID]bool{}
		for _, bits := range []ua.StatusCode{0, 0x400, 0x480, 0x401, 0x402, 0x404, 0x408, 0x410, 0x41F, 0x49F, 0x4000, 0x8000, 0xC480} {
			for _, server := range []time.Time{{}, at(3), at(4)} {
				dv := dataValue(int32(1))
				dv.Status, dv.SourceTimestamp, dv.ServerTimestamp = base|bits, at(1).Add(100*time.Nanosecond), server
				dv.UpdateMask()
				r := oneBinding().record(dv, nil, time.Now())
				r.Identify(mes.NewID())
				ids[r.ID], items[r.QuarantineID] = true, true
				if r.HasFlag(mes.FlagSemanticsChanged) != (bits&0x4000 != 0) || r.HasFlag(mes.FlagStructureChanged) != (bits&0x8000 != 0) {
					t.Errorf("bits %x: flags %v", uint32(bits), r.Flags)
				}
			}
		}
		if len(ids) != 1 || len(items) != 1 || items[mes.ID{}] {
			t.Errorf("status %x: %d ids, %d items of quarantine", uint32(base), len(ids), len(items))
		}
	}
	// The limits of a value are its own (OPC 10000-4, 7.39.1).
	dv := dataValue(int32(1))
	dv.Status = 0x500
	dv.UpdateMask()
	if r := oneBinding().record(dv, nil, time.Now()); r.StatusCode != 0x500 {
		t.Errorf("status %x, want 500", uint32(r.StatusCode))
	}
}
