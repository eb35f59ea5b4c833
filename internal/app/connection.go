package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
)

// adapter is a permanent connection to the floor.
type adapter interface {
	// Run keeps the connection until ctx ends, then drains it.
	Run(ctx context.Context) error
	Status() mes.AdapterStatus
}

// connectionName names a connection in leases.
func connectionName(door mes.Door, name string) string { return string(door) + ":" + name }

// ownedConnection is a connection that one at a time has of the servers that share a
// database. It is made anew whenever it comes to this one.
type ownedConnection struct {
	door     mes.Door
	name     string
	keeper   *lease.Keeper
	ingester ingest.Ingester
	open     func(ingest.Ingester) (adapter, error)
	log      *slog.Logger

	mu      sync.Mutex
	current adapter   // nil while another server has it
	fault   error     // why it can't be opened here
	since   time.Time // when it went to another server, or was configured here
	// before counts what came while this server had it before.
	before mes.AdapterStatus
}

// Run implements adapter.
func (c *ownedConnection) Run(ctx context.Context) error {
	return c.keeper.While(ctx, connectionName(c.door, c.name), func(ctx context.Context, l lease.Lease) error {
		ad := c.openOwned(ctx, ingest.Owned(c.ingester, l.Ownership()))
		if ad == nil {
			return nil
		}
		c.set(ad)
		defer c.set(nil)
		return ad.Run(ctx)
	})
}

// betweenOpenings is how long a connection is left alone that can't be opened: a file of
// its configuration is missing that was there at the start.
const betweenOpenings = 5 * time.Second

// openOwned returns nil if ctx ended first.
func (c *ownedConnection) openOwned(ctx context.Context, ingester ingest.Ingester) adapter {
	for {
		ad, err := c.open(ingester)
		c.setFault(err)
		if err == nil {
			return ad
		}
		c.log.Error("a connection can't be opened", slog.String("door", string(c.door)), slog.String("connection", c.name), slog.Any("error", err))
		select {
		case <-time.After(betweenOpenings):
		case <-ctx.Done():
			c.setFault(nil) // it is another's to open now
			return nil
		}
	}
}

func (c *ownedConnection) setFault(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = err
}

// set takes note of the connection that begins, or of the end of the one that was.
func (c *ownedConnection) set(ad adapter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		c.before = c.current.Status().After(c.before).AtRest()
	}
	c.current, c.since = ad, time.Now()
}

// Status implements adapter.
func (c *ownedConnection) Status() mes.AdapterStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		return c.current.Status().After(c.before)
	}
	s := c.before
	s.Since = c.since
	if c.fault != nil {
		s.Door, s.Name, s.State, s.Detail = c.door, c.name, mes.AdapterBackingOff, c.fault.Error()
		return s
	}
	s.Door, s.Name, s.State = c.door, c.name, mes.AdapterStandby
	s.Detail = "no server has the connection yet"
	if owner := c.keeper.Owner(connectionName(c.door, c.name)); owner != "" {
		s.Detail = "the server " + owner + " has the connection"
	}
	return s
}
