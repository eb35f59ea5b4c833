package app

import (
	"context"
	"log/slog"
	"time"

	"plantgate/internal/apply"
	"plantgate/internal/ingest"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/store"
)

// Steps are everything that follows from records, for tests that cut the log by
// themselves.
func Steps(o StorageOptions) []apply.Step[*store.Tx] {
	o.setDefaults("")
	return steps(o)
}

// Adapter is a permanent connection to the floor.
type Adapter = adapter

// ConnectionName names a connection in leases.
var ConnectionName = connectionName

// Connect returns a connection that one server at a time has.
func Connect(door mes.Door, name string, keeper *lease.Keeper, ingester ingest.Ingester, open func(ingest.Ingester) (Adapter, error)) Adapter {
	unowned := func(ingester ingest.Ingester, _ *mes.Ownership) (adapter, error) { return open(ingester) }
	return &ownedConnection{door: door, name: name, keeper: keeper, ingester: ingester, open: unowned, pause: 200 * time.Millisecond, log: slog.New(slog.DiscardHandler), since: time.Now()}
}

// KeepConnectionsBy puts another keeper in the place of the one that says which
// connections a server has, before it runs.
func (s *Shared) KeepConnectionsBy(k *lease.Keeper) { s.floor = k }

// Publishing returns a connection that takes along what deliver sends; lost waits until
// another server has it.
func Publishing(ad *mqtt.Adapter, deliver func(context.Context) error, lost func(context.Context) bool) Adapter {
	return publishing{ad, deliver, lost}
}

// Deliveries are what connections ask for what came last.
func (s *Shared) Deliveries() mqtt.Deliveries { return s.deliveries() }
