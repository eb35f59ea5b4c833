package store

import (
	"context"
	"slices"

	"plantgate/internal/mes"
)

// ApplyRecords implements ingest.Tx. What it writes is a function of the set of
// records that were ever applied, not of their order, their number of times or
// the calls they came in: everything is a maximum, a union, or decided by
// mes.Position.
func (t *tx) ApplyRecords(ctx context.Context, records []mes.Record) error {
	ctx = context.WithoutCancel(ctx)
	ordered := make([]*mes.Record, len(records))
	for i := range records {
		ordered[i] = &records[i]
	}
	slices.SortStableFunc(ordered, func(a, b *mes.Record) int { return a.Position().Compare(b.Position()) })
	if err := t.applyEquipment(ctx, ordered); err != nil {
		return t.store.writeError(err, "register equipment")
	}
	if err := t.applyLatest(ctx, ordered); err != nil {
		return t.store.writeError(err, "bring newest values up to date")
	}
	if err := t.applyDue(ctx, ordered); err != nil {
		return t.store.writeError(err, "mark minutes to be rolled up")
	}
	return nil
}
