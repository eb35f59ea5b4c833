package opcua

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"plantgate/internal/mes"
)

// Notebook keeps what a connection has to know after a restart. While the database is away
// errors have mes.ErrStoreAway in their chain.
type Notebook interface {
	// ConnectionNotes are what was kept under names that begin with prefix.
	ConnectionNotes(ctx context.Context, connection, prefix string) (map[string][]byte, error)
	// PutConnectionNote keeps a text in the place of the one of that name.
	PutConnectionNote(ctx context.Context, connection, name string, text []byte) error
}

// Bounds of what is kept.
const (
	// cursorPages is into how many notes the cursors of a connection are dealt: those in
	// which something changed are written.
	cursorPages = 64
	// cursorsPrefix begins the names of those notes.
	cursorsPrefix = "opcua-cursors-"
)

// cursors know, for each node, up to which time of the source nothing is missing: that of
// the last value that is stored. It does not pass what is missing, until that is filled in
// from the server's history or noted as lost, so that a restart takes up what is open. A
// cursor that is kept is older at times; what is read again then has the identity of what
// is there.
type cursors struct {
	connection string
	notebook   Notebook // nil keeps them in memory only
	log        *slog.Logger

	mu     sync.Mutex
	of     map[string]*cursor
	loaded bool
	dirty  map[int]bool
}

type cursor struct {
	// first is the time of the first value of this process, handed that of the last which
	// went to ingest, live that of the last which is stored.
	first, handed, live time.Time
	// accounted is what is kept: up to there nothing is missing.
	accounted time.Time
	// missing is what may have been missed; zero if nothing was.
	missing gap
}

// gap is a time in which values of a node may have been missed.
type gap struct {
	from, to time.Time
	// overflow means that the server said so.
	overflow bool
}

func (g gap) isZero() bool { return g.from.IsZero() }

func newCursors(connection string, n Notebook, log *slog.Logger) *cursors {
	return &cursors{connection: connection, notebook: n, log: log, of: map[string]*cursor{}, dirty: map[int]bool{}, loaded: n == nil}
}

// cursorKey names a node by what its values are of: node ids may change.
func (b *binding) cursorKey() string { return b.siteID + "~" + b.machineID + "/" + b.signal }

func pageOf(key string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // a hash takes everything
	return int(h.Sum32() % cursorPages)
}

func (c *cursors) get(key string) *cursor {
	if c.of[key] == nil {
		c.of[key] = &cursor{}
	}
	return c.of[key]
}

// momentOf is the time of a record by which cursors go.
func momentOf(r *mes.Record) time.Time {
	if r.Time.IsZero() {
		return r.ReceivedAt
	}
	return r.Time
}

// arrived notes a live value. first is of one that says how things stand when monitoring
// begins: if it is another than the last, values may have come in between.
func (c *cursors) arrived(key string, at time.Time, first, overflow bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.get(key)
	before := n.handed
	if before.IsZero() {
		before = n.accounted
	}
	if !before.IsZero() && !at.Equal(before) && (first || overflow) {
		n.miss(before, at, overflow)
	}
	if n.first.IsZero() {
		n.first = at
	}
	n.handed = at
}

// miss makes what is missing reach from one time to the other. A clock that was set back
// makes the later time the earlier one.
func (n *cursor) miss(from, to time.Time, overflow bool) {
	if to.Before(from) {
		from, to = to, from
	}
	if n.missing.isZero() || from.Before(n.missing.from) {
		n.missing.from = from
	}
	if to.After(n.missing.to) {
		n.missing.to = to
	}
	n.missing.overflow = n.missing.overflow || overflow
}

// stored notes that a live value is stored.
func (c *cursors) stored(key string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.get(key)
	n.live = at
	if n.missing.isZero() {
		c.account(key, n)
	}
}

// account is called with the lock held.
func (c *cursors) account(key string, n *cursor) {
	if !n.live.IsZero() && !n.accounted.Equal(n.live) {
		n.accounted = n.live
		c.dirty[pageOf(key)] = true
	}
}

// missing is what a node may have missed.
func (c *cursors) missing(key string) gap {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.of[key]; n != nil {
		return n.missing
	}
	return gap{}
}

// count is how many nodes may have missed something that is not filled in yet.
func (c *cursors) count() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.of {
		if !one.missing.isZero() {
			n++
		}
	}
	return n
}

// settled notes that nothing of a gap is missing any more. What was found missing since
// remains.
func (c *cursors) settled(key string, g gap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.get(key)
	switch {
	case n.missing.isZero():
		return
	case n.missing.from.Before(g.from), n.missing.to.After(g.to):
		if !n.missing.from.Before(g.from) {
			n.missing.from = g.to
		}
		return
	}
	n.missing = gap{}
	c.account(key, n)
}

// load reads what was kept. It may come late, when the database was away at the start:
// what was missed since is between then and the first value of this process.
func (c *cursors) load(ctx context.Context) error {
	c.mu.Lock()
	loaded := c.loaded
	c.mu.Unlock()
	if loaded {
		return nil
	}
	notes, err := c.notebook.ConnectionNotes(ctx, c.connection, cursorsPrefix)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, text := range notes {
		kept := map[string]time.Time{}
		if err := json.Unmarshal(text, &kept); err != nil {
			c.log.Error("opcua: what was kept of cursors can't be read; what was missed before this start is not filled in", "note", name, "error", err)
			continue
		}
		for key, at := range kept {
			n := c.get(key)
			switch {
			case n.first.IsZero():
				n.accounted = at
			case !n.first.Equal(at):
				n.miss(at, n.first, false)
			}
		}
	}
	c.loaded = true
	return nil
}

// flush keeps what has changed.
func (c *cursors) flush(ctx context.Context) error {
	if err := c.load(ctx); err != nil {
		return err
	}
	for page, text := range c.changed() {
		if err := c.notebook.PutConnectionNote(ctx, c.connection, cursorsPrefix+strconv.Itoa(page), text); err != nil {
			c.mu.Lock()
			c.dirty[page] = true
			c.mu.Unlock()
			return fmt.Errorf("keep cursors: %w", err)
		}
	}
	return nil
}

// changed are the pages that differ from what is kept, of which it is taken note.
func (c *cursors) changed() map[int][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.dirty) == 0 || c.notebook == nil {
		return nil
	}
	pages := map[int]map[string]time.Time{}
	for page := range c.dirty {
		pages[page] = map[string]time.Time{}
	}
	for key, n := range c.of {
		if page := pages[pageOf(key)]; page != nil && !n.accounted.IsZero() {
			page[key] = n.accounted
		}
	}
	clear(c.dirty)
	texts := map[int][]byte{}
	for number, page := range pages {
		text, err := json.Marshal(page)
		if err != nil { // a year that JSON does not have
			c.log.Error("opcua: cursors can't be kept", "error", err)
			continue
		}
		texts[number] = text
	}
	return texts
}

// run keeps cursors now and then until ctx ends; finish keeps the last of them.
func (c *cursors) run(ctx context.Context, every time.Duration) {
	if c.notebook == nil {
		return
	}
	failing := false
	for sleep(ctx, every) == nil {
		err := c.flush(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			c.log.Warn("opcua: cursors can't be kept now", "error", err, "cause", errors.Unwrap(err))
		}
		failing = err != nil
	}
}

func (c *cursors) finish(wait time.Duration) {
	if c.notebook == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	if err := c.flush(ctx); err != nil {
		c.log.Warn("opcua: the last cursors were not kept; more of history is read after the next start", "error", err, "cause", errors.Unwrap(err))
	}
}
