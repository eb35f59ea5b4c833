package ingest

import (
	"context"
	"time"

	"plantgate/internal/mes"
)

// Store is what ingest needs of the store: units of work whose return without
// an error means that they are durable. What follows from records (equipment,
// newest values, roll-ups) comes up to date behind them.
type Store interface {
	// Update runs fn in one write transaction and returns after its commit. An
	// error of fn, or of the commit, undoes everything.
	Update(ctx context.Context, fn func(Tx) error) error
	// Room returns nil while the store can take more, else a channel that is closed
	// when it may be able to again: what was stored before is taken in first.
	Room() <-chan struct{}
	// QuarantineItem returns an item with its raw bytes, or an error of
	// CodeNotFound.
	QuarantineItem(ctx context.Context, id mes.ID) (mes.QuarantineItem, error)
	// KnowsEquipment tells whether the work unit is registered.
	KnowsEquipment(ctx context.Context, siteID, id string) (bool, error)
}

// Tx is one write transaction of ingest.
type Tx interface {
	// Last says that nothing but one AppendRecords comes after it, besides Prove, so that
	// the store may commit with it.
	Last()
	// Prove fails with mes.ErrLeaseLost unless every server still has its right, and
	// keeps it until the end of the transaction. A store that can't know it takes
	// records with the right by which they were received, and proves it later.
	Prove(ctx context.Context, owners []mes.Ownership) error
	// AppendRecords makes the records durable and returns a receipt for each, in
	// order. It stores nothing for
	//   - a record whose id, or whose other reading of a repeated hour, is there:
	//     ReceiptDuplicate with the id of the first arrival;
	//   - a record whose message id arrived after ledger.MessagesSince:
	//     ReceiptDuplicate with that record's id if the content hash is the same,
	//     else ReceiptRejected with a fault of CodeConflict;
	//   - a record whose idempotency key arrived after ledger.KeysSince: the first
	//     receipt again if the body is the same, else ReceiptRejected with a fault
	//     of CodeInvalid that wraps mes.ErrKeyReused.
	// Records of the same call see each other.
	AppendRecords(ctx context.Context, records []mes.Record, ledger LedgerWindow) ([]mes.Receipt, error)
	// AppendDeliveries keeps what came by connections, of each name the one with
	// the highest number.
	AppendDeliveries(ctx context.Context, list []mes.Delivery) error
	// AppendQuarantine keeps items that could not be accepted.
	AppendQuarantine(ctx context.Context, items []mes.QuarantineItem) error
	// ResolveQuarantine moves an open item to its final state (State,
	// ResolvedAt, ResolvedBy and RecordID of item). It returns an error of
	// CodeConflict if the item is not open.
	ResolveQuarantine(ctx context.Context, item mes.QuarantineItem) error
}

// LedgerWindow says how far back the delivery ledger is looked up.
type LedgerWindow struct {
	// Now is the time of the commit.
	Now time.Time
	// MessagesSince bounds message ids (data.dedupe_window).
	MessagesSince time.Time
	// KeysSince bounds idempotency keys (24 hours).
	KeysSince time.Time
}
