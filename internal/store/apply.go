package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"

	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/wal"
)

// Applied tells how far the log was taken over.
func (s *Store) Applied(ctx context.Context) (journal.Applied, error) {
	var row struct {
		LogID    int64 `db:"log_id"`
		Position int64 `db:"position"`
		Arrivals int64 `db:"arrivals"`
	}
	err := s.readers.GetContext(ctx, &row, "SELECT log_id, position, arrivals FROM applied WHERE one = 1")
	if errors.Is(err, sql.ErrNoRows) {
		return journal.Applied{}, nil
	}
	if err != nil {
		return journal.Applied{}, readError(err, "read how far the log was applied")
	}
	return journal.Applied{LogID: uint64(row.LogID), Position: wal.Position(row.Position), Arrivals: row.Arrivals}, nil
}

// Apply implements apply.Store.
func (s *Store) Apply(ctx context.Context, to journal.Applied, durable bool, fn func(*Tx) error) error {
	kind := lazy
	if durable {
		kind = synced
	}
	err := s.update(ctx, kind, func(t *Tx) error {
		t.writer.pause = s.pauseUnhurried
		defer func() { t.writer.pause = nil }()
		if err := fn(t); err != nil {
			return err
		}
		return s.writeError(t.writer.exec(ctx, `INSERT INTO applied (one, log_id, position, arrivals) VALUES (1, ?, ?, ?)
			ON CONFLICT (one) DO UPDATE SET log_id = excluded.log_id, position = excluded.position, arrivals = excluded.arrivals`,
			int64(to.LogID), int64(to.Position), to.Arrivals), "note how far the log was applied")
	})
	if err != nil {
		s.latest.forget()
	}
	return err
}

// pauseUnhurried pauses unless another writer waits.
func (s *Store) pauseUnhurried() {
	if s.pacer != nil && s.waiting.Load() == 0 {
		s.pacer.Pause()
	}
}

// Tx is one write transaction. Its methods are the steps that follow from records,
// and the writes of resources.
type Tx struct {
	store  *Store
	writer *writer
	// units are the numbers of the batch's work units; registered and origins are
	// those that it gave, under names of their own memory.
	units, registered map[unitName]int64
	origins           map[mes.Origin]int64
	// marked are the minutes that it marked last of each unit.
	marked map[int64]int64
}

// committed remembers the numbers that the transaction gave.
func (t *Tx) committed() {
	for name, number := range t.registered {
		t.store.units.put(number, name)
	}
	for origin, number := range t.origins {
		t.store.origins.put(number, origin)
	}
	maps.Copy(t.store.marks.newest, t.marked)
}
