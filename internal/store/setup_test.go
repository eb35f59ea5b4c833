package store_test

import (
	"context"
	"database/sql"
	"testing"

	"plantgate/internal/journal"
	"plantgate/internal/store"
	"plantgate/internal/wal"
)

// put applies records as the steps of the program do, and returns how far the
// store is.
func put(ctx context.Context, s *store.Store, before journal.Applied, g journal.Group, durable bool) (journal.Applied, error) {
	g.FirstArrival = before.Arrivals + 1
	b := journal.Batch{Group: g, To: before.Position + wal.Position(len(g.Records))}
	to := journal.Applied{LogID: 1, Position: b.To, Arrivals: b.Arrivals()}
	err := s.Apply(ctx, to, durable, func(tx *store.Tx) error {
		for _, step := range []func(context.Context, *store.Tx, *journal.Batch) error{
			store.RegisterEquipment, store.PutRecords, store.PutDeliveries, store.PutQuarantine, store.PutLatest, store.MarkRollups,
		} {
			if err := step(ctx, tx, &b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return before, err
	}
	return to, nil
}

// openFile opens a database as any SQLite program does.
func openFile(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
