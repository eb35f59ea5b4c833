package opcua

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

// Cursors keeps how far the values of each node are stored.
type Cursors interface {
	// OPCUACursors are those of a connection.
	OPCUACursors(ctx context.Context, connection string) ([]mes.OPCUACursor, error)
	// KeepOPCUACursors puts cursors in the place of those of the same nodes, each with its
	// gap.
	KeepOPCUACursors(ctx context.Context, connection string, cursors []mes.OPCUACursor) error
}

// connectionID is the id by which it is kept when the connection was last heard of.
var connectionID = mes.DerivedID(time.Time{}, "opcua connection")

// cursors follows how far each node has come, and keeps that in the store by a goroutine of
// its own: no value waits for it, and an outage of the store holds up nobody. What is kept
// may be older than the truth, so that a part of history is read again, and never newer:
// a cursor and the gap before it are kept together.
type cursors struct {
	connection string
	store      Cursors // nil keeps nothing
	log        *slog.Logger
	timing     timing
	wake       chan struct{}

	mu sync.Mutex
	// loaded is set once the store has said what it has; nothing is kept before.
	loaded bool
	stored map[mes.ID]mes.OPCUACursor
	tracks map[mes.ID]*track
	dirty  map[*track]struct{}
	// before is when the connection was last heard of by another process, heard by each of
	// the lanes of this one: what came until then is stored.
	before     time.Time
	heard      []time.Time
	keptHeard  time.Time
	filled     int64 // values read from history that were not there
	gaps       int64 // gap records
	openedGaps int   // tracks with a gap
}

func newCursors(connection string, store Cursors, log *slog.Logger, tm timing) *cursors {
	return &cursors{
		connection: connection, store: store, log: log, timing: tm, wake: make(chan struct{}, 1), loaded: store == nil,
		tracks: map[mes.ID]*track{}, stored: map[mes.ID]mes.OPCUACursor{}, dirty: map[*track]struct{}{}, heard: make([]time.Time, 1),
	}
}

// follow returns the track of a node. It is named by what its values are of: where a node
// is found by looking, its id may be another the next time.
func (c *cursors) follow(b *binding) *track {
	id := mes.DerivedID(time.Time{}, "opcua node\x00"+b.siteID+"\x00"+b.machineID+"\x00"+b.signal)
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tracks[id]
	if t == nil {
		t = &track{id: id}
		c.tracks[id] = t
		c.recall(t)
	}
	t.node = b
	return t
}

// recall takes over what the store has of a node. It is called with the lock held.
func (c *cursors) recall(t *track) {
	s, ok := c.stored[t.id]
	if !ok {
		return
	}
	delete(c.stored, t.id)
	if !s.Gap.IsZero() {
		c.widen(t, s.Gap.From, s.Gap.To, s.Gap.Since, latest(s.Gap.Since, c.before), false)
		t.exact = false // it may have been made by a clock that was set back
	}
	if t.committed.IsZero() {
		t.committed = s.At
	}
	switch {
	case t.received.IsZero():
		t.received = s.At
	case !t.entry.IsZero() && !t.entry.Equal(s.At):
		c.widen(t, s.At, t.entry, c.before, t.entryAt, false)
	}
}

// lanes tells how many sessions the connection has.
func (c *cursors) lanes(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard[:min(n, len(c.heard))], make([]time.Time, max(n-len(c.heard), 0))...)
}

// interrupt notes that nothing has come of a node since a time, where that is known, and
// where the node is now; nil where it is not known, since indices of namespaces move.
func (c *cursors) interrupt(t *track, place *ua.NodeID, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t.place = place
	if !t.awaiting {
		t.awaiting, t.since = true, since
	}
}

// arrived takes note of a value that comes now, before it is handed to ingest: what it
// shows to be missing is known before it is stored.
func (c *cursors) arrived(t *track, r *mes.Record, now time.Time) (at time.Time) {
	if !says(r) {
		return time.Time{}
	}
	if at = r.Time; at.IsZero() {
		at = r.ReceivedAt
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := t.came
	t.came = now
	t.untimed = r.TimeOrigin != mes.TimeSource
	first := t.awaiting
	t.awaiting = false
	switch {
	case t.received.IsZero():
		t.entry, t.entryAt = at, now
	case first && (t.untimed || !at.Equal(t.received)):
		since := t.since
		if since.IsZero() {
			since = latest(before, c.before)
		}
		if !since.IsZero() { // what was not sampled yet then may be missing as well
			since = since.Add(-t.node.ask.sampling)
		}
		c.widen(t, t.received, at, since, now, false)
	case !first && r.HasFlag(mes.FlagOverflow):
		c.widen(t, t.received, at, before, now, true)
	}
	t.received = at
	return at
}

// widen opens the gap of a track or makes it larger. It is called with the lock held.
func (c *cursors) widen(t *track, from, to, since, until time.Time, overflow bool) {
	t.overflow = overflow && (t.overflow || !t.open())
	if !t.open() {
		c.openedGaps++
	}
	t.widen(from, to, since, until)
	c.note(t)
	c.hurry()
}

func (c *cursors) note(t *track) { c.dirty[t] = struct{}{} }

func (c *cursors) hurry() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// due are the gaps of tracks that can be looked at now, which needs to know where the node
// is: those of an overflow alone only where they are wanted.
func (c *cursors) due(tracks []*track, overflows bool) []interval {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.openedGaps == 0 || !c.loaded {
		return nil
	}
	now := time.Now()
	var list []interval
	for _, t := range tracks {
		if t.open() && t.place != nil && (overflows || !t.overflow) && !now.Before(t.next) {
			list = append(list, t.interval())
		}
	}
	return list
}

// awaits tells whether a first value of one of the tracks is still to come: of a node that
// is monitored.
func (c *cursors) awaits(tracks []*track) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range tracks {
		if t.awaiting && t.place != nil {
			return true
		}
	}
	return false
}

// failed counts an attempt that did not fill the gaps.
func (c *cursors) failed(list []interval) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range list {
		i.track.tries++
	}
}

// ended counts a session that ended by the history of a node.
func (c *cursors) ended(t *track) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t.ended++
}

// wait puts off gaps until the server may have more of their history.
func (c *cursors) wait(list []interval) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range list {
		i.track.next = time.Now().Add(c.timing.later << min(i.track.waits, maxWaits))
		i.track.waits++
	}
}

// settled takes note of what is stored, in the order in which it came.
func (c *cursors) settled(entries []entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		switch {
		case e.kind == entryLive && !e.at.IsZero() && !e.ahead():
			e.track.committed = e.at
			c.note(e.track)
		case e.kind == entryHeard && e.lane < len(c.heard):
			c.heard[e.lane] = e.at
		case e.kind == entryHistory:
			c.read(e)
		case e.kind == entryGap:
			c.gaps++
		}
		for _, part := range e.closes {
			c.close(part)
		}
	}
}

// read takes note of a value from history.
func (c *cursors) read(e *entry) {
	if e.isNew() {
		c.filled++
	}
	t := e.track
	if e.progress && t.open() && t.generation == e.generation && e.at.After(t.gap.From) && !e.at.After(t.gap.To) {
		t.gap.From, t.ended = e.at, 0
		c.note(t)
	}
}

// done is a part of a gap that is filled, or recorded as lost.
type done struct {
	interval
	// to is how far; since, where set, is when what is left began.
	to, since time.Time
}

func (c *cursors) close(d done) {
	t := d.track
	if !t.open() || t.generation != d.generation {
		return
	}
	c.note(t)
	c.hurry()
	if d.to.Before(t.gap.To) {
		t.gap.From = latest(t.gap.From, d.to)
		if !d.since.IsZero() {
			t.gap.Since = latest(t.gap.Since, d.since)
		}
		return
	}
	t.gap, t.overflow, t.tries, t.ended, t.waits, t.next = mes.OPCUAGap{}, false, 0, 0, 0, time.Time{}
	c.openedGaps--
}

// counts are the figures for the status.
func (c *cursors) counts() (open int, filled, gaps int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.openedGaps, c.filled, c.gaps
}
