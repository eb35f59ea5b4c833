package opcua

import (
	"errors"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/history"
	"plantgate/internal/opcua/opcuatest"
)

// backFilling is a back-fill of one node with a history, from which 60 s are missing.
func backFilling(t *testing.T) (*backFill, *track) {
	t.Helper()
	tm := quick()
	tm.later = 0
	a, err := newAdapter(plantConfig("opc.tcp://127.0.0.1:1"), Deps{
		Ingester: opcuatest.NewIngester(), Now: func() time.Time { return at(100) },
	}, tm)
	if err != nil {
		t.Fatal(err)
	}
	node := *oneBinding()
	node.history = true
	tr := a.cursors.follow(&node)
	a.cursors.interrupt(tr, ua.NewNumericNodeID(1, 1), time.Time{})
	a.cursors.widen(tr, at(0), at(60), at(0), at(60), false)
	return &backFill{session: &session{lane: a.newLane(0)}}, tr
}

// TestHistoryThatIsWrittenLater: history that does not go on to the value at the end of the
// gap yet is waited for; in the end what it lacks is recorded, and only that.
func TestHistoryThatIsWrittenLater(t *testing.T) {
	t.Parallel()
	b, tr := backFilling(t)
	b.a.cfg.PublishingInterval = 2 * time.Second
	judge := func(last time.Time) judged {
		j := judged{filled: entry{kind: entryClose}}
		for _, i := range b.a.cursors.due([]*track{tr}, true) {
			b.judgeEnd(&j, i, last)
		}
		b.a.cursors.wait(j.waiting)
		b.a.cursors.settled([]entry{j.filled})
		return j
	}
	for n := range maxWaits {
		if j := judge(at(10 + n)); len(j.waiting) != 1 || len(j.losses) != 0 {
			t.Fatalf("look %d: %d are waited for, %d lost", n, len(j.waiting), len(j.losses))
		}
		if want := at(10 + n); !tr.gap.From.Equal(want) || !tr.open() {
			t.Errorf("look %d: the gap is %v, want it from %v", n, tr.gap, want)
		}
	}
	j := judge(at(20))
	if len(j.losses) != 1 || j.losses[0].reason != reasonEndsEarlier || !j.losses[0].from.Equal(at(20)) || !j.losses[0].to.Equal(at(60)) {
		t.Errorf("in the end lost are %+v", j.losses)
	}
	// A history by samples has no value at the very end.
	if j := judge(at(59)); len(j.losses) != 0 || tr.open() {
		t.Errorf("lost are %+v, the gap is %v", j.losses, tr.gap)
	}

	// It is there when it is looked at again.
	b, tr = backFilling(t)
	judge(at(10))
	if j := judge(at(60)); len(j.losses) != 0 || tr.open() {
		t.Errorf("lost are %+v, the gap is %v", j.losses, tr.gap)
	}

	// The end of a gap that a clock made which was set back is no value's time.
	b, tr = backFilling(t)
	b.a.cursors.widen(tr, at(3600), at(50), at(0), at(60), false)
	if j := judge(at(60)); len(j.waiting) != 0 || tr.open() {
		t.Errorf("%d are waited for, the gap is %v", len(j.waiting), tr.gap)
	}
}

// TestHistoryThatBeginsLater: what is before its beginning is lost, what is after its end
// is waited for.
func TestHistoryThatBeginsLater(t *testing.T) {
	t.Parallel()
	b, tr := backFilling(t)
	judge := func(first, last time.Time) (j judged) {
		for _, i := range b.a.cursors.due([]*track{tr}, true) {
			b.judgeBegin(&j, i, history.Result{First: first, Last: last})
		}
		b.a.cursors.wait(j.waiting)
		b.a.cursors.settled(gapEntries(j.losses, at(100)))
		return j
	}
	if j := judge(time.Time{}, time.Time{}); len(j.waiting) != 1 || len(j.losses) != 0 {
		t.Errorf("nothing is there yet: %d are waited for, %d lost", len(j.waiting), len(j.losses))
	}
	if j := judge(at(30), at(40)); len(j.losses) != 1 || j.losses[0].reason != reasonBeginsLater || !j.losses[0].to.Equal(at(30)) {
		t.Errorf("lost are %+v", j.losses)
	}
	if !tr.gap.From.Equal(at(30)) || !tr.gap.To.Equal(at(60)) {
		t.Errorf("the gap is %v", tr.gap)
	}
	if judge(at(45), at(60)); tr.open() {
		t.Errorf("the gap is %v", tr.gap)
	}
}

// TestSessionsEndByHistory: less is asked for where sessions end by the answer, and a node
// by whose history three have ended is given up; what is there already does not count as
// getting on, a value that was missing does.
func TestSessionsEndByHistory(t *testing.T) {
	t.Parallel()
	b, tr := backFilling(t)
	look := func() interval { return b.a.cursors.due([]*track{tr}, true)[0] }
	b.asking = []interval{look(), look()}
	b.endedBy()
	b.endedBy()
	if b.share != 4 || tr.ended != 0 {
		t.Errorf("with others: share %d, %d counted", b.share, tr.ended)
	}
	b.asking = b.asking[:1]
	b.progressed = true
	b.endedBy()
	if b.share != 4 || tr.ended != 0 {
		t.Errorf("while it gets on: share %d, %d counted", b.share, tr.ended)
	}
	b.progressed = false
	for range maxEnded - 1 {
		b.endedBy()
	}
	if left, losses := b.eligible([]interval{look()}); len(left) != 1 || len(losses) != 0 {
		t.Errorf("given up too early: %+v", losses)
	}
	b.a.cursors.settled([]entry{{kind: entryHistory, track: tr, at: at(5), generation: tr.generation, progress: true}})
	for range maxEnded - 1 {
		b.endedBy()
	}
	if left, losses := b.eligible([]interval{look()}); len(left) != 1 || len(losses) != 0 {
		t.Errorf("given up too early, after it got on: %+v", losses)
	}
	b.endedBy()
	if left, losses := b.eligible([]interval{look()}); len(left) != 0 || len(losses) != 1 || losses[0].reason != reasonFailed {
		t.Errorf("it is read on: %d left, lost %+v", len(left), losses)
	}
	if b.share != mostShare {
		t.Errorf("share %d", b.share)
	}
}

// TestAttemptsAreCounted, but not those that are made again since a type was learnt.
func TestAttemptsAreCounted(t *testing.T) {
	t.Parallel()
	b, tr := backFilling(t)
	go func() {
		for e := range b.a.queue.late {
			b.a.cursors.settled([]entry{e})
			if e.stored != nil {
				close(e.stored)
			}
		}
	}()
	defer close(b.a.queue.late)
	list := b.a.cursors.due([]*track{tr}, true)
	if err := b.failed(t.Context(), list, errLearntType); !errors.Is(err, errLearntType) || tr.tries != 0 {
		t.Errorf("%v, %d tries", err, tr.tries)
	}
	for range b.a.timing.attempts - 1 {
		_ = b.failed(t.Context(), b.a.cursors.due([]*track{tr}, true), ua.StatusBadTimeout)
	}
	if !tr.open() {
		t.Error("given up too early")
	}
	if err := b.failed(t.Context(), b.a.cursors.due([]*track{tr}, true), ua.StatusBadTimeout); !errors.Is(err, ua.StatusBadTimeout) || tr.open() {
		t.Errorf("%v, the gap is %v", err, tr.gap)
	}
}

// TestCursorWaitsForTimesToCome: a value in quarantine whose time is to come does not move
// the cursor, one that is there for another reason does.
func TestCursorWaitsForTimesToCome(t *testing.T) {
	t.Parallel()
	f := follows(t, opcuatest.NewCursors()).load()
	f.comes(5)()
	comes := func(seconds int, now time.Time) {
		dv := dataValue(int32(seconds))
		dv.SourceTimestamp = at(seconds)
		dv.UpdateMask()
		r := f.node.record(dv, nil, now)
		e := entry{record: r, track: f.of, at: f.arrived(f.of, &r, now), receipt: mes.ReceiptQuarantined}
		f.settled([]entry{e})
	}
	comes(3600, at(6))
	if !f.of.committed.Equal(at(5)) {
		t.Errorf("the cursor is %v", f.of.committed)
	}
	comes(7, at(8))
	if !f.of.committed.Equal(at(7)) {
		t.Errorf("the cursor is %v", f.of.committed)
	}
}
