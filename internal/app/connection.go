package app

import (
	"context"
	"errors"
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
	open     func(ingest.Ingester, *mes.Ownership) (adapter, error)
	// pause is how long a connection is left alone that can't be opened here.
	pause time.Duration
	log   *slog.Logger

	mu      sync.Mutex
	current adapter   // nil while another server has it
	fault   error     // why it can't be opened here
	since   time.Time // when it went to another server, could not be opened, or was configured here
	// before counts what came while this server had it before.
	before mes.AdapterStatus
}

// errUnfit ends an ownership: the connection can't be opened here.
var errUnfit = errors.New("the connection can't be opened here")

// betweenOpenings is how long a connection is left alone that can't be opened here, since
// a file of its configuration is missing or bad: longer than another server takes to find
// that it is free.
const betweenOpenings = 5 * time.Second

// Run implements adapter. A connection that can't be opened here is left to the others
// until it can.
func (c *ownedConnection) Run(ctx context.Context) error {
	name := connectionName(c.door, c.name)
	for {
		err := c.keeper.While(ctx, name, c.own)
		if !errors.Is(err, errUnfit) {
			return err
		}
		c.keeper.Decline(name)
		if !c.waitFit(ctx) {
			return nil
		}
		c.keeper.Want(name)
	}
}

// own keeps the connection until ctx ends. It fails with errUnfit where this server can't.
func (c *ownedConnection) own(ctx context.Context, l lease.Lease) error {
	owner := l.Ownership()
	ad, unfit := c.openFit(ingest.Owned(c.ingester, owner), &owner)
	if unfit == nil {
		var err error
		if unfit, err = c.keep(ctx, ad); unfit == nil || err != nil {
			return err
		}
	}
	c.setFault(unfit)
	c.log.Error("a connection can't be opened here, and is left to other servers",
		slog.String("door", string(c.door)), slog.String("connection", c.name), slog.Any("error", unfit))
	return errUnfit
}

// openFit fails too where what is opened could not connect with the files of this machine.
func (c *ownedConnection) openFit(ingester ingest.Ingester, owner *mes.Ownership) (adapter, error) {
	ad, err := c.open(ingester, owner)
	if err == nil {
		err = checkFiles(ad)
	}
	return ad, err
}

func checkFiles(ad adapter) error {
	if ad, ok := ad.(interface{ CheckFiles() error }); ok {
		return ad.CheckFiles()
	}
	return nil
}

// keep runs a connection until ctx ends, or until it is down and can't be opened again
// with the files of this machine.
func (c *ownedConnection) keep(ctx context.Context, ad adapter) (unfit, err error) {
	c.set(ad)
	defer c.set(nil)
	working, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- ad.Run(working) }()
	ticker := time.NewTicker(c.pause)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			return nil, err
		case <-ticker.C:
		}
		if state := ad.Status().State; state != mes.AdapterBackingOff && state != mes.AdapterRefused {
			continue
		}
		if unfit = checkFiles(ad); unfit != nil {
			stop()
			return unfit, <-ended
		}
	}
}

// waitFit waits until the connection could be opened here; it tells whether that was
// before ctx ended.
func (c *ownedConnection) waitFit(ctx context.Context) bool {
	ticker := time.NewTicker(c.pause)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false
		}
		_, err := c.openFit(c.ingester, nil)
		c.setFault(err)
		if err == nil {
			return true
		}
	}
}

func (c *ownedConnection) setFault(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if (err == nil) != (c.fault == nil) {
		c.since = time.Now()
	}
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
	s.Since, s.Door, s.Name = c.since, c.door, c.name
	s.State, s.Detail = mes.AdapterStandby, c.whoHasIt()
	if c.fault != nil {
		s.State, s.Detail = mes.AdapterBackingOff, "this server can't open the connection: "+c.fault.Error()+"; "+s.Detail
	}
	return s
}

func (c *ownedConnection) whoHasIt() string {
	switch owner := c.keeper.Owner(connectionName(c.door, c.name)); owner {
	case "":
		return "no server has the connection yet"
	case c.keeper.Server():
		return "another process by the name of this server has the connection, or this server had it before it was started"
	default:
		return "the server " + owner + " has the connection"
	}
}
