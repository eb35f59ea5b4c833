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

// appliedRow is how far the log was taken over.
type appliedRow struct {
	LogID    int64 `db:"log_id"`
	Position int64 `db:"position"`
	Arrivals int64 `db:"arrivals"`
}

func (r *appliedRow) toDomain() journal.Applied {
	return journal.Applied{LogID: uint64(r.LogID), Position: wal.Position(r.Position), Arrivals: r.Arrivals}
}

var (
	applied     = portable("SELECT log_id, position, arrivals FROM applied WHERE one = 1")
	noteApplied = portable("UPDATE applied SET log_id = ?, position = ?, arrivals = ? WHERE one = 1")
)

// Applied tells how far the log was taken over.
func (s *Store) Applied(ctx context.Context) (journal.Applied, error) {
	var row appliedRow
	err := s.getRow(ctx, &row, applied)
	if errors.Is(err, sql.ErrNoRows) {
		return journal.Applied{}, nil
	}
	return row.toDomain(), s.db.readFault(err, "read how far the log was applied")
}

// Apply implements apply.Store.
func (s *Store) Apply(ctx context.Context, to journal.Applied, durable bool, fn func(*Tx) error) error {
	err := s.update(ctx, manner{lazy: !durable, paced: true}, func(t *Tx) error {
		if err := fn(t); err != nil {
			return err
		}
		return s.db.writeFault(t.exec(ctx, noteApplied, int64(to.LogID), int64(to.Position), to.Arrivals), "note how far the log was applied")
	})
	if err != nil {
		s.latest.forget()
	}
	return err
}

// Tx is one write transaction. Its methods are the steps that follow from records,
// and the writes of resources.
type Tx struct {
	session
	store *Store
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
	if _, embedded := t.store.db.(*sqliteDB); embedded {
		maps.Copy(t.store.marks.newest, t.marked)
	}
}
