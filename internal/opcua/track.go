package opcua

import (
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

// track is how far the values of one node have come, and what may be missing of them. All
// of it but the id is guarded by the mutex of cursors.
type track struct {
	id mes.ID
	// node is what the node is now.
	node *binding
	// place is the node's id at the server, as it was resolved last.
	place *ua.NodeID
	// received is the time of the last value that was handed over as it came, committed
	// that of the last which is stored.
	received, committed time.Time
	// came is when the last value came, by plantgate's clock.
	came time.Time
	// untimed: its values bear no time of the source, so that history is of no use.
	untimed bool
	// awaiting is set from an interruption to the first value after it; since is when the
	// values stopped coming.
	awaiting bool
	since    time.Time
	// entry is the first value of this process where it came before the store could be
	// asked, entryAt when it came.
	entry, entryAt time.Time

	gap mes.OPCUAGap
	// until is when the first value after the gap came. generation changes where the gap
	// grows backwards, so that what is read of it does not count any more.
	until      time.Time
	generation int
	// overflow: the server's queue lost values, and nothing else is missing.
	overflow bool
	// exact: the server has had a value at the end of the gap.
	exact bool
	// tries counts failed attempts to fill it, ended the sessions that ended by one, waits
	// how often more of the history was waited for; it is not looked at before next.
	tries, ended, waits int
	next                time.Time
}

// interval is a part of a gap, as it was when it was looked at.
type interval struct {
	*track
	node       *binding
	gap        mes.OPCUAGap
	until      time.Time
	generation int
	overflow   bool
	untimed    bool
	place      *ua.NodeID
	exact      bool

	tries, ended, waits int
}

func (t *track) interval() interval {
	return interval{track: t, node: t.node, gap: t.gap, until: t.until, generation: t.generation,
		overflow: t.overflow, untimed: t.untimed, place: t.place, exact: t.exact,
		tries: t.tries, ended: t.ended, waits: t.waits}
}

func (t *track) open() bool { return !t.gap.IsZero() }

// widen makes the gap that from one value to another, together with what is missing
// already.
func (t *track) widen(from, to, since, until time.Time) {
	exact := true
	if to.Before(from) { // the clock of the source went back meanwhile
		away := max(until.Sub(since), 0)
		if since.IsZero() {
			away = 0
		}
		from, to = to.Add(-away), from.Add(away)
		exact = false
	}
	if !t.open() {
		t.gap, t.until, t.exact = mes.OPCUAGap{From: from, To: to, Since: since}, until, exact
		t.generation++
		return
	}
	if from.Before(t.gap.From) {
		t.gap.From = from
		t.generation++
	}
	if !to.Before(t.gap.To) {
		t.gap.To, t.exact = to, exact
	}
	if t.gap.Since.IsZero() || !since.IsZero() && since.Before(t.gap.Since) {
		t.gap.Since = since
	}
	t.until, t.tries, t.waits, t.next = latest(t.until, until), 0, 0, time.Time{}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// says tells whether a record is a value of the node, and not only that it has none.
func says(r *mes.Record) bool {
	switch ua.StatusCode(r.StatusCode) {
	case ua.StatusBadNodeIDUnknown, ua.StatusBadNodeIDInvalid, ua.StatusBadAttributeIDInvalid:
		return false
	}
	return r.TimeOrigin == mes.TimeSource || r.StatusCode.Severity() != "bad"
}
