package store

import (
	"context"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
)

// Drain is the store as what a log is drained into that was kept while it was away. It
// implements apply.Store: it remembers nothing of the log, since whatever comes from it
// twice is known by its id.
type Drain struct{ store *Store }

// Drain returns the store as what a log is drained into.
func (s *Store) Drain() Drain { return Drain{s} }

// Apply implements apply.Store.
func (d Drain) Apply(ctx context.Context, _ journal.Applied, _ bool, fn func(*Tx) error) error {
	return d.store.update(ctx, synced, fn)
}

// PutSpooled is the step that takes over what was accepted while the database was away.
// What turns out to contradict something that came before goes to quarantine. window
// tells what of the ledger counts now.
func PutSpooled(window func() ingest.LedgerWindow) func(context.Context, *Tx, *journal.Batch) error {
	return func(ctx context.Context, t *Tx, b *journal.Batch) error {
		in := &intakeTx{t}
		receipts, err := in.AppendRecords(ctx, b.Records, window())
		if err != nil {
			return err
		}
		items := b.Items[:len(b.Items):len(b.Items)]
		for i := range receipts {
			if receipts[i].Fault != nil {
				items = append(items, ingest.QuarantineItem(&b.Records[i], receipts[i].Fault))
			}
		}
		if err := in.AppendQuarantine(ctx, items); err != nil {
			return err
		}
		return t.store.db.writeFault(t.putNewKeys(ctx, b.Deliveries, window()), "keep deliveries")
	}
}

// putNewKeys adds the idempotency keys that are not in the ledger. Message ids are added
// with their records.
func (t *Tx) putNewKeys(ctx context.Context, list []journal.Delivery, window ingest.LedgerWindow) error {
	var names [][]any
	for i := range list {
		if d := &list[i]; d.Kind == journal.DeliveryKey {
			names = append(names, []any{string(d.Kind), d.SiteID, d.MachineID, t.store.db.sent(d.Key)})
		}
	}
	rows, err := selectEach[namedDeliveryRow](ctx, t, deliveriesByName, names)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(rows))
	for i := range rows {
		there[t.store.db.meant(rows[i].Key)] = rows[i].ArrivedAt.After(window.KeysSince)
	}
	var fresh []journal.Delivery
	for _, d := range list {
		if d.Kind == journal.DeliveryKey && !there[d.Key] {
			there[d.Key] = true
			fresh = append(fresh, d)
		}
	}
	return t.store.db.putDeliveries(ctx, t, fresh, window)
}
