package journal

import (
	"context"
	"time"

	"plantgate/internal/mes"
)

// Index looks up what was applied to the store. Only Record and QuarantineItem wait
// for what was not.
type Index interface {
	// LastTime returns the newest time of the records of a work unit; zero if none.
	LastTime(ctx context.Context, siteID, machineID string) (time.Time, error)
	// HasRecord tells whether the work unit has a record of this id, which begins with
	// its time. With an exact position it looks there only: without a message id,
	// records of one id have one position.
	HasRecord(ctx context.Context, siteID, machineID string, p mes.Position, exact bool) (bool, error)
	// Record returns a record, or an error of CodeNotFound.
	Record(ctx context.Context, id mes.ID) (mes.Record, error)
	// Delivery returns the ledger's entry of a name, and whether there is one.
	Delivery(ctx context.Context, name DeliveryName) (Delivery, bool, error)
	// ConnectionDeliveries are what came by a connection without an identity of its own, in the order of
	// their numbers.
	ConnectionDeliveries(ctx context.Context, connection string) ([]mes.Delivery, error)
	// QuarantineState returns the state of a quarantined item, "" if there is none.
	QuarantineState(ctx context.Context, id mes.ID) (mes.QuarantineState, error)
	// QuarantineItem and KnowsEquipment are those of ingest.Store.
	QuarantineItem(ctx context.Context, id mes.ID) (mes.QuarantineItem, error)
	KnowsEquipment(ctx context.Context, siteID, id string) (bool, error)
}
