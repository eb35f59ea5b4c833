package opcua

import (
	"context"
	"errors"
	"time"

	"plantgate/internal/mes"
)

const (
	// cursorTimeout bounds the wait for the store.
	cursorTimeout = 5 * time.Second
	// cursorFarewell bounds it at a stop.
	cursorFarewell = 2 * time.Second
)

// run keeps cursors until ctx ends.
func (c *cursors) run(ctx context.Context) {
	if c.store == nil || !c.load(ctx) {
		return
	}
	tick := time.NewTicker(c.timing.cursors)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.wake:
			// What follows at once is kept with it.
			if sleep(ctx, c.timing.cursors/20) != nil {
				return
			}
		}
		for c.flush(ctx, cursorTimeout) != nil {
			if sleep(ctx, c.timing.cursors) != nil {
				return
			}
		}
	}
}

// load asks the store until it says what it has; false if ctx ended before.
func (c *cursors) load(ctx context.Context) bool {
	for {
		once, cancel := context.WithTimeout(ctx, cursorTimeout)
		list, err := c.store.OPCUACursors(once, c.connection)
		cancel()
		if err == nil {
			c.take(list)
			return true
		}
		if ctx.Err() == nil {
			c.log.Warn("opcua: how far values are stored is not known yet; values are stored all the same",
				"error", err, "cause", errors.Unwrap(err), "retry_in", c.timing.cursors)
		}
		if sleep(ctx, c.timing.cursors) != nil {
			return false
		}
	}
}

func (c *cursors) take(list []mes.OPCUACursor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range list {
		if s.Node == connectionID {
			c.before = s.At
			continue
		}
		c.stored[s.Node] = s
	}
	c.loaded = true
	for _, t := range c.tracks {
		c.recall(t)
	}
}

// flush brings to the store what has changed. An error is logged.
func (c *cursors) flush(ctx context.Context, limit time.Duration) error {
	list, marked := c.changed()
	if len(list) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := c.store.KeepOPCUACursors(ctx, c.connection, list)
	if err == nil {
		return nil
	}
	if !errors.Is(ctx.Err(), context.Canceled) {
		c.log.Warn("opcua: how far values are stored could not be kept; after a restart more history is read",
			"nodes", len(list), "error", err, "cause", errors.Unwrap(err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range marked {
		c.note(t)
	}
	c.keptHeard = time.Time{}
	return err
}

// changed takes what is to be kept. Of a node of which nothing is stored yet nothing is.
func (c *cursors) changed() (list []mes.OPCUACursor, marked []*track) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.loaded || c.store == nil {
		return nil, nil
	}
	for t := range c.dirty {
		if t.committed.IsZero() {
			continue
		}
		list = append(list, mes.OPCUACursor{Node: t.id, At: t.committed, Gap: t.gap})
		marked = append(marked, t)
		delete(c.dirty, t)
	}
	if at := c.lastHeard(); at.After(c.keptHeard) {
		list = append(list, mes.OPCUACursor{Node: connectionID, At: at})
		c.keptHeard = at
	}
	return list, marked
}

// lastHeard is when the session was last heard of that has been silent for longest.
func (c *cursors) lastHeard() time.Time {
	var least time.Time
	for i, at := range c.heard {
		if at.IsZero() {
			at = c.before
		}
		if i == 0 || at.Before(least) {
			least = at
		}
	}
	return least
}

// finish keeps what is left at a stop.
func (c *cursors) finish() { _ = c.flush(context.Background(), cursorFarewell) }
