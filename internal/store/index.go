package store

import (
	"context"
	"time"

	"plantgate/internal/journal"
	"plantgate/internal/mes"
)

// Ensure that the store is what the journal looks things up in.
var _ journal.Index = (*Store)(nil)

// lookUp reads a few rows by a key. Statements are prepared once a connection:
// intake looks up the same things again and again.
func (s *Store) lookUp(ctx context.Context, dest any, query string, args ...any) error {
	s.lookUpsMu.Lock()
	stmt, ok := s.lookUps[query]
	if !ok {
		var err error
		if stmt, err = s.lookers.PreparexContext(ctx, query); err != nil {
			s.lookUpsMu.Unlock()
			return err
		}
		s.lookUps[query] = stmt
	}
	s.lookUpsMu.Unlock()
	return stmt.SelectContext(ctx, dest, args...)
}

const lastTimeOfUnit = "SELECT last_time FROM equipment WHERE site_id = ? AND id = ?"

// LastTime implements journal.Index.
func (s *Store) LastTime(ctx context.Context, siteID, machineID string) (time.Time, error) {
	var rows []timestamp
	err := s.lookUp(ctx, &rows, lastTimeOfUnit, siteID, machineID)
	if err != nil || len(rows) == 0 {
		return time.Time{}, readError(err, "look up a work unit")
	}
	return rows[0].Time, nil
}

const hasRecord = `SELECT 1 FROM record INDEXED BY record_by_time
	WHERE time >= ? AND time < ? AND id = ? LIMIT 1`

// HasRecord implements journal.Index.
func (s *Store) HasRecord(ctx context.Context, id mes.ID) (bool, error) {
	from, to := timesOf(id)
	var rows []int
	err := s.lookUp(ctx, &rows, hasRecord, from, to, id[:])
	return len(rows) > 0, readError(err, "look up a record")
}

const quarantineState = "SELECT state FROM quarantine WHERE id = ?"

// QuarantineState implements journal.Index.
func (s *Store) QuarantineState(ctx context.Context, id mes.ID) (mes.QuarantineState, error) {
	var rows []mes.QuarantineState
	err := s.lookUp(ctx, &rows, quarantineState, uuid(id))
	if err != nil || len(rows) == 0 {
		return "", readError(err, "look up a quarantined item")
	}
	return rows[0], nil
}
