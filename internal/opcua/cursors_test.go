package opcua

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
)

var day = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// following is what a test of cursors has: one node, and a clock that is an hour ahead of
// the source's.
type following struct {
	*cursors
	t    *testing.T
	kept *opcuatest.Cursors
	node *binding
	of   *track
}

func follows(t *testing.T, kept *opcuatest.Cursors) *following {
	t.Helper()
	f := &following{t: t, kept: kept, node: oneBinding()}
	f.cursors = newCursors("line1", kept, slog.New(slog.DiscardHandler), quick())
	f.of = f.follow(f.node)
	f.of.place = ua.NewNumericNodeID(1, 1)
	return f
}

func (f *following) load() *following {
	f.t.Helper()
	if !f.cursors.load(f.t.Context()) {
		f.t.Fatal("the cursors are not loaded")
	}
	return f
}

const clockAhead = time.Hour

func at(seconds int) time.Time { return day.Add(time.Duration(seconds) * time.Second) }

// comes has a value come by the source's time; it is stored when the result is called.
func (f *following) comes(seconds int, flags ...mes.Flag) (stored func()) {
	f.t.Helper()
	dv := dataValue(int32(seconds))
	dv.SourceTimestamp = at(seconds)
	dv.UpdateMask()
	now := at(seconds).Add(clockAhead)
	r := f.node.record(dv, nil, now)
	r.Flags = append(r.Flags, flags...)
	e := entry{record: r, track: f.of, at: f.arrived(f.of, &r, now)}
	return func() { f.settled([]entry{e}) }
}

func (f *following) interrupted(seconds int) {
	f.interrupt(f.of, ua.NewNumericNodeID(1, 1), at(seconds).Add(clockAhead))
}

func (f *following) keeps() *following {
	f.t.Helper()
	if err := f.flush(f.t.Context(), time.Second); err != nil {
		f.t.Fatal(err)
	}
	return f
}

func (f *following) expectGap(what string, from, to, since int) {
	f.t.Helper()
	want := mes.OPCUAGap{From: at(from), To: at(to), Since: at(since).Add(clockAhead)}
	if got := f.of.gap; got != want {
		f.t.Errorf("%s: the gap is %v, want %v", what, got, want)
	}
	if open, _, _ := f.counts(); open != 1 {
		f.t.Errorf("%s: %d gaps are open", what, open)
	}
}

func (f *following) expectNone(what string) {
	f.t.Helper()
	if open, _, _ := f.counts(); f.of.open() || open != 0 {
		f.t.Errorf("%s: there is a gap %v, %d are open", what, f.of.gap, open)
	}
}

// expectKept compares what the store has of the node.
func (f *following) expectKept(what string, want mes.OPCUACursor) {
	f.t.Helper()
	want.Node = f.of.id
	kept := slices.DeleteFunc(f.kept.Kept(), func(c mes.OPCUACursor) bool { return c.Node == connectionID })
	if len(kept) != 1 || kept[0] != want {
		f.t.Errorf("%s: the store keeps %v, want %v", what, kept, want)
	}
}

func TestGapOfInterruption(t *testing.T) {
	t.Parallel()
	f := follows(t, opcuatest.NewCursors()).load()
	f.interrupted(0)
	f.comes(1)()
	f.expectNone("the first values of all")
	f.comes(5)()
	f.interrupted(6)
	f.comes(5)()
	f.expectNone("the value that was there")
	f.keeps().expectKept("no gap", mes.OPCUACursor{At: at(5)})

	// The gap is kept before a later cursor is, and with it.
	f.interrupted(7)
	f.interrupted(8) // the first end counts
	store := f.comes(60)
	f.expectGap("an interruption", 5, 60, 7)
	gap := mes.OPCUAGap{From: at(5), To: at(60), Since: at(7).Add(clockAhead)}
	f.keeps().expectKept("what came is not stored", mes.OPCUACursor{At: at(5), Gap: gap})
	store()
	f.comes(61)()
	f.keeps().expectKept("what came is stored", mes.OPCUACursor{At: at(61), Gap: gap})

	// Another before it is filled makes it larger.
	f.interrupted(62)
	f.comes(90)()
	f.expectGap("another interruption", 5, 90, 7)

	// A process that knows nothing else has it, and what it missed itself.
	g := follows(t, f.keeps().kept.Copy()).load()
	g.expectGap("the next process", 5, 90, 7)
	g.interrupt(g.of, nil, time.Time{})
	g.comes(95)()
	g.expectGap("the next process, its first value", 5, 95, 7)
}

func TestGapIsFilled(t *testing.T) {
	t.Parallel()
	f := follows(t, opcuatest.NewCursors()).load()
	f.comes(5)()
	f.interrupted(6)
	f.comes(60)()
	i := f.due([]*track{f.of}, false)[0]
	read := func(seconds int, progress bool) {
		f.settled([]entry{{kind: entryHistory, track: f.of, at: at(seconds), generation: i.generation, progress: progress, receipt: mes.ReceiptCreated}})
	}
	read(10, false)
	f.expectGap("a value, and it is not known what is before it", 5, 60, 6)
	read(20, true)
	read(15, true) // some servers give a value twice
	f.expectGap("a value with all before it", 20, 60, 6)
	f.keeps().expectKept("in the middle", mes.OPCUACursor{At: at(60), Gap: mes.OPCUAGap{From: at(20), To: at(60), Since: at(6).Add(clockAhead)}})

	// What goes missing meanwhile is not closed with it.
	f.interrupted(70)
	f.comes(80)()
	f.settled([]entry{{kind: entryClose, closes: []done{{interval: i, to: i.gap.To}}}})
	f.expectGap("the first part", 60, 80, 6)
	i = f.due([]*track{f.of}, false)[0]
	f.settled([]entry{{kind: entryClose, closes: []done{{interval: i, to: i.gap.To}}}})
	f.expectNone("all of it")
	f.keeps().expectKept("all of it", mes.OPCUACursor{At: at(80)})
	if _, filled, _ := f.counts(); filled != 3 {
		t.Errorf("%d values are counted", filled)
	}
}

// TestClockOfSourceGoesBack: what changed meanwhile bears a time after the last value, or
// before the first by the new clock.
func TestClockOfSourceGoesBack(t *testing.T) {
	t.Parallel()
	f := follows(t, opcuatest.NewCursors()).load()
	f.comes(3600)()
	i := at(3601).Add(clockAhead)
	f.interrupt(f.of, f.of.place, i)
	dv := dataValue(int32(1))
	dv.SourceTimestamp = at(30)
	dv.UpdateMask()
	r := f.node.record(dv, nil, i)
	f.arrived(f.of, &r, i.Add(10*time.Second))
	want := mes.OPCUAGap{From: at(20), To: at(3610), Since: i}
	if f.of.gap != want {
		t.Errorf("the gap is %v, want %v", f.of.gap, want)
	}
	// A gap that grows backwards is not closed by what was read of it before.
	before := f.due([]*track{f.of}, true)[0]
	f.interrupt(f.of, f.of.place, i)
	dv.SourceTimestamp = at(-100)
	r = f.node.record(dv, nil, i)
	f.arrived(f.of, &r, i.Add(10*time.Second))
	f.settled([]entry{{kind: entryClose, closes: []done{{interval: before, to: at(1 << 20)}}}})
	if !f.of.open() {
		t.Error("it is closed")
	}
}

// TestStoreIsAway: nothing is kept before the store has said what it has, and what was
// missed is known then.
func TestStoreIsAway(t *testing.T) {
	t.Parallel()
	before := follows(t, opcuatest.NewCursors()).load()
	before.comes(5)()
	before.settled([]entry{{kind: entryHeard, at: at(6).Add(clockAhead)}})
	kept := before.keeps().kept

	f := follows(t, kept)
	kept.Fail(errors.New("away"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if f.cursors.load(ctx) {
		t.Fatal("they are loaded")
	}
	f.interrupt(f.of, nil, time.Time{})
	f.comes(60)()
	f.comes(61)()
	f.interrupted(62)
	f.comes(70)()
	kept.Fail(nil)
	f.keeps().expectKept("not loaded", mes.OPCUACursor{At: at(5)})
	f.load()
	f.expectGap("loaded", 5, 70, 6)
	f.keeps().expectKept("loaded", mes.OPCUACursor{At: at(70), Gap: mes.OPCUAGap{From: at(5), To: at(70), Since: at(6).Add(clockAhead)}})

	// A failure forgets nothing.
	f.comes(80)()
	kept.Fail(errors.New("away"))
	if f.flush(t.Context(), time.Second) == nil {
		t.Fatal("no error")
	}
	kept.Fail(nil)
	f.keeps()
	if c := f.kept.Kept(); !slices.ContainsFunc(c, func(c mes.OPCUACursor) bool { return c.At.Equal(at(80)) }) {
		t.Errorf("the store keeps %v", c)
	}
}

func TestOverflowIsAGap(t *testing.T) {
	t.Parallel()
	f := follows(t, opcuatest.NewCursors()).load()
	f.comes(1, mes.FlagOverflow)()
	f.expectNone("a first value")
	f.comes(5, mes.FlagOverflow)()
	f.expectGap("an overflow", 1, 5, 1)
	if len(f.due([]*track{f.of}, false)) != 0 || len(f.due([]*track{f.of}, true)) != 1 {
		t.Error("overflows are not due when they are wanted, and only then")
	}
	if l := lost(f.of.interval(), reasonNoHistory); l.reason != reasonOverflow {
		t.Errorf("the reason is %s", l.reason)
	}
	f.interrupted(6)
	f.comes(9)()
	if len(f.due([]*track{f.of}, false)) != 1 {
		t.Error("an interruption after an overflow is not due")
	}
}

// TestWhatSaysNothing: that a node is not there is no value, and makes no gap by itself.
func TestWhatSaysNothing(t *testing.T) {
	t.Parallel()
	f := follows(t, opcuatest.NewCursors()).load()
	f.comes(5)()
	f.interrupted(6)
	gone := &ua.DataValue{Status: ua.StatusBadNodeIDUnknown, SourceTimestamp: at(7)}
	gone.UpdateMask()
	r := f.node.record(gone, nil, at(7))
	if !f.arrived(f.of, &r, at(7)).IsZero() {
		t.Error("a node that is not there counts as a value")
	}
	f.expectNone("gone")
	f.comes(60)()
	f.expectGap("back", 5, 60, 6)
}

// TestGapWaitsForItsNode: of a node that a new session has not found nothing is read: what
// has its id now may be another.
func TestGapWaitsForItsNode(t *testing.T) {
	t.Parallel()
	f := follows(t, opcuatest.NewCursors()).load()
	f.comes(5)()
	f.interrupted(6)
	f.comes(60)()
	f.interrupt(f.of, nil, at(70))
	if list := f.due([]*track{f.of}, true); len(list) != 0 {
		t.Errorf("due are %v", list)
	}
	f.interrupted(71)
	if list := f.due([]*track{f.of}, true); len(list) != 1 {
		t.Errorf("due are %v", list)
	}
}

// TestUntimed: of a node without a time of its source every interruption is a gap, since
// an equal value may have changed in between.
func TestUntimed(t *testing.T) {
	t.Parallel()
	f := follows(t, opcuatest.NewCursors()).load()
	for i := range 2 {
		r := f.node.record(dataValue(int32(1)), nil, at(i))
		f.interrupted(i)
		e := entry{record: r, track: f.of, at: f.arrived(f.of, &r, at(i))}
		f.settled([]entry{e})
	}
	list := f.due([]*track{f.of}, false)
	if len(list) != 1 || !list[0].untimed {
		t.Errorf("due are %v", list)
	}
}

// TestHeardIsOfAllSessions: the connection was last heard of when its most silent session
// was.
func TestHeardIsOfAllSessions(t *testing.T) {
	t.Parallel()
	f := follows(t, opcuatest.NewCursors()).load()
	f.lanes(3)
	heard := func(lane, seconds int) { f.settled([]entry{{kind: entryHeard, lane: lane, at: at(seconds)}}) }
	heard(0, 10)
	heard(1, 5)
	if list, _ := f.changed(); len(list) != 0 {
		t.Errorf("kept is %v, and one session was never heard of", list)
	}
	heard(2, 20)
	heard(9, 1) // of a session that is no more
	if list, _ := f.changed(); len(list) != 1 || list[0].Node != connectionID || !list[0].At.Equal(at(5)) {
		t.Errorf("kept is %v, want 5 s", list)
	}
	f.lanes(1)
	if list, _ := f.changed(); len(list) != 1 || !list[0].At.Equal(at(10)) {
		t.Errorf("kept is %v, want 10 s", list)
	}
}

// TestNodeHasAnotherID: a node is followed by what its values are of; where it is found
// with another id, or by another object, its values go on, and what is missing is read from
// where it is now.
func TestNodeHasAnotherID(t *testing.T) {
	t.Parallel()
	f := follows(t, opcuatest.NewCursors()).load()
	f.comes(5)()
	f.keeps()
	moved := *f.node
	moved.nodeID = "ns=7;i=9"
	if f.follow(&moved) != f.of {
		t.Fatal("it has another track")
	}
	g := follows(t, f.kept.Copy()).load()
	g.node = &moved
	if g.follow(&moved) != g.of || !g.of.received.Equal(at(5)) {
		t.Fatal("the next process does not know it")
	}
	// It is found while the session runs: nothing came since the last value.
	g.interrupt(g.of, nil, time.Time{})
	g.interrupt(g.of, ua.NewNumericNodeID(7, 9), at(90))
	g.comes(60)()
	if i := g.due([]*track{g.of}, false)[0]; i.node != &moved || i.place.IntID() != 9 || !i.gap.From.Equal(at(5)) {
		t.Errorf("due is %+v", i)
	}
	f.interrupt(f.of, nil, time.Time{})
	f.comes(60)()
	f.expectGap("found again", 5, 60, 5)
	other := *f.node
	other.signal = "another"
	if f.follow(&other) == f.of {
		t.Error("another signal has the same track")
	}
}

// TestAwaited: a first value is waited for of nodes that are monitored, not of those that
// are not there.
func TestAwaited(t *testing.T) {
	t.Parallel()
	f := follows(t, opcuatest.NewCursors()).load()
	all := []*track{f.of}
	f.interrupt(f.of, nil, time.Time{})
	if f.awaits(all) {
		t.Error("a node that was not found is waited for")
	}
	f.interrupted(1)
	if !f.awaits(all) {
		t.Error("a node that is monitored is not waited for")
	}
	f.comes(2)()
	if f.awaits(all) {
		t.Error("a node that has come is waited for")
	}
}

// TestSinceGoesBackBySampling: what was not sampled yet when nothing came any more may be
// missing as well.
func TestSinceGoesBackBySampling(t *testing.T) {
	t.Parallel()
	f := follows(t, opcuatest.NewCursors()).load()
	f.node.ask.sampling = 10 * time.Second
	f.comes(5)()
	f.interrupted(30)
	f.comes(60)()
	f.expectGap("an interruption", 5, 60, 20)
}
