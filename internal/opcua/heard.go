package opcua

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Notebook keeps what a connection has to know after a restart. While the database is away
// errors have mes.ErrStoreAway in their chain.
type Notebook interface {
	// ConnectionNotes are what was kept under names that begin with prefix.
	ConnectionNotes(ctx context.Context, connection, prefix string) (map[string][]byte, error)
	// PutConnectionNote keeps a text in the place of the one of that name.
	PutConnectionNote(ctx context.Context, connection, name string, text []byte) error
}

// heardNote is the name of the note that is kept.
const heardNote = "opcua-events"

// heard knows of each notifier up to when its events came: a server keeps none for a
// client that is gone, so that those of an interruption are lost. It is safe for
// concurrent use.
type heard struct {
	connection string
	notebook   Notebook // nil forgets at a stop

	mu     sync.Mutex
	of     map[string]*hearing
	loaded bool
	kept   string
}

type hearing struct {
	// began is when the first item of this process was made, made when the present one was,
	// last when it was alive last.
	began, made, last time.Time
	// open are times of which events may have been lost, and which are not stored yet;
	// untold, those of them that are not on their way.
	open, untold []eventGap
}

// eventGap is a time of which events may have been lost.
type eventGap struct {
	from, to time.Time
	reason   reason
}

func newHeard(connection string, notebook Notebook) *heard {
	return &heard{connection: connection, notebook: notebook, of: map[string]*hearing{}}
}

func (h *heard) get(key string) *hearing {
	if h.of[key] == nil {
		h.of[key] = &hearing{}
	}
	return h.of[key]
}

// begin notes that the item of a notifier is made: what happened since it was alive last is
// lost.
func (h *heard) begin(key string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.get(key)
	if !one.last.IsZero() {
		one.miss(eventGap{one.last, now, reasonNoEvents})
	}
	if one.began.IsZero() {
		one.began = now
	}
	one.made, one.last = now, now
}

// miss notes a loss. One that goes on where the last ended is part of it, until that is on
// its way: sessions that end at once make no row of them.
func (o *hearing) miss(g eventGap) {
	if n, m := len(o.untold), len(o.open); n > 0 && m > 0 && g.reason == reasonNoEvents {
		if last := &o.untold[n-1]; *last == o.open[m-1] && last.reason == g.reason && !g.from.After(last.to) && !g.to.Before(last.to) {
			last.to, o.open[m-1].to = g.to, g.to
			return
		}
	}
	o.open, o.untold = append(o.open, g), append(o.untold, g)
}

// heard notes that the item is alive.
func (h *heard) heard(key string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if one := h.get(key); now.After(one.last) {
		one.last = now
	}
}

// lose notes what the queue of a server lost between two times; where the first is not known,
// since the item of the present session was made.
func (h *heard) lose(key string, from, to time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.get(key)
	if from.IsZero() {
		from = one.made
	}
	if from.IsZero() || from.After(to) {
		from = to
	}
	one.miss(eventGap{from, to, reasonOverflow})
}

// take returns the losses that are not on their way yet.
func (h *heard) take(key string) []eventGap {
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.of[key]
	if one == nil {
		return nil
	}
	untold := one.untold
	one.untold = nil
	return untold
}

// settled notes that the record of a loss is stored.
func (h *heard) settled(key string, g eventGap) {
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.get(key)
	if i := slices.Index(one.open, g); i >= 0 {
		one.open = slices.Delete(one.open, i, i+1)
	}
}

// load reads what was kept, once. Where a notifier began before that, the time in between
// is lost. Nobody waits for the store meanwhile.
func (h *heard) load(ctx context.Context) error {
	if h.notebook == nil || h.isLoaded() {
		return nil
	}
	notes, err := h.notebook.ConnectionNotes(ctx, h.connection, heardNote)
	if err != nil {
		return err
	}
	kept := map[string]time.Time{}
	if text := notes[heardNote]; text != nil {
		if err := json.Unmarshal(text, &kept); err != nil {
			kept = nil // it is of another version, or damaged: nothing is known
		}
	}
	h.recall(kept)
	return nil
}

func (h *heard) isLoaded() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.loaded
}

// recall takes over what was kept.
func (h *heard) recall(kept map[string]time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.loaded {
		return
	}
	for key, at := range kept {
		one := h.get(key)
		switch {
		case one.began.IsZero():
			one.last = at
		case at.Before(one.began):
			one.miss(eventGap{at, one.began, reasonNoEvents})
		}
	}
	h.loaded = true
}

// flush keeps up to when nothing is lost that is not stored as a loss.
func (h *heard) flush(ctx context.Context) error {
	if h.notebook == nil {
		return nil
	}
	if err := h.load(ctx); err != nil {
		return err
	}
	text, err := h.text()
	if err != nil || text == "" {
		return err
	}
	if err := h.notebook.PutConnectionNote(ctx, h.connection, heardNote, []byte(text)); err != nil {
		return fmt.Errorf("keep up to when events came: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept = text
	return nil
}

// text is what is to be kept; "" if it is kept already.
func (h *heard) text() (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := map[string]time.Time{}
	for _, key := range slices.Sorted(maps.Keys(h.of)) {
		one := h.of[key]
		until := one.last
		for _, g := range one.open {
			if g.from.Before(until) {
				until = g.from
			}
		}
		if !until.IsZero() {
			at[key] = until
		}
	}
	if len(at) == 0 {
		return "", nil
	}
	text, err := json.Marshal(at)
	if err != nil || string(text) == h.kept {
		return "", err
	}
	return string(text), nil
}

// run keeps it now and then until ctx ends.
func (h *heard) run(ctx context.Context, every time.Duration, warn func(error)) {
	if h.notebook == nil {
		return
	}
	failing := false
	for sleep(ctx, every) == nil {
		err := h.flush(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			warn(err)
		}
		failing = err != nil
	}
}

// recallHeard reads what was kept. While the database is away it is read later.
func (a *Adapter) recallHeard(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, a.timing.link.Request)
	defer cancel()
	if err := a.heard.load(ctx); err != nil && ctx.Err() == nil {
		a.warnHeard(err)
	}
}

func (a *Adapter) warnHeard(err error) {
	a.deps.Logger.Warn("opcua: up to when events came can't be kept or read now", "error", err)
}

func (a *Adapter) finishHeard() {
	if len(a.notifiers) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.timing.link.Close)
	defer cancel()
	if err := a.heard.flush(ctx); err != nil {
		a.warnHeard(err)
	}
}
