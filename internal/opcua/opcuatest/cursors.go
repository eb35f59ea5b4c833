package opcuatest

import (
	"context"
	"maps"
	"slices"
	"sync"

	"plantgate/internal/mes"
)

// Cursors keeps cursors in memory, for adapters that follow one another.
type Cursors struct {
	mu   sync.Mutex
	kept map[mes.ID]mes.OPCUACursor
	fail error
}

// NewCursors returns one that has none.
func NewCursors() *Cursors { return &Cursors{kept: map[mes.ID]mes.OPCUACursor{}} }

// OPCUACursors returns what is kept, of whichever connection, or fails as told by Fail.
func (c *Cursors) OPCUACursors(ctx context.Context, _ string) ([]mes.OPCUACursor, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return nil, c.fail
	}
	return slices.Collect(maps.Values(c.kept)), ctx.Err()
}

// KeepOPCUACursors keeps them, or fails as told by Fail.
func (c *Cursors) KeepOPCUACursors(ctx context.Context, _ string, cursors []mes.OPCUACursor) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return c.fail
	}
	for _, k := range cursors {
		c.kept[k.Node] = k
	}
	return ctx.Err()
}

// Fail makes every further call fail with err, or succeed again with nil.
func (c *Cursors) Fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = err
}

// Kept returns what is kept.
func (c *Cursors) Kept() []mes.OPCUACursor {
	list, _ := c.OPCUACursors(context.Background(), "")
	return list
}

// Copy returns another that keeps the same.
func (c *Cursors) Copy() *Cursors {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &Cursors{kept: maps.Clone(c.kept)}
}
