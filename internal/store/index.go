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
func (s *Store) lookUp(ctx context.Context, dest any, q statement, args ...any) error {
	query := s.db.text(q)
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
	return stmt.SelectContext(ctx, dest, s.db.bind(args)...)
}

var lastTimeOfUnit = portable("SELECT last_time FROM equipment WHERE site_id = ? AND id = ?")

// LastTime implements journal.Index.
func (s *Store) LastTime(ctx context.Context, siteID, machineID string) (time.Time, error) {
	var rows []timestamp
	err := s.lookUp(ctx, &rows, lastTimeOfUnit, siteID, machineID)
	if err != nil || len(rows) == 0 {
		return time.Time{}, s.db.readFault(err, "look up a work unit")
	}
	return rows[0].Time, nil
}

var (
	hasRecordAt = portable(`SELECT 1 FROM record
		WHERE unit = ? AND time = ? AND sequence_given = ? AND sequence = ? AND id = ?`)
	hasRecordNear = portable("SELECT 1 FROM record WHERE unit = ? AND time >= ? AND time < ? AND id = ?")
)

// HasRecord implements journal.Index.
func (s *Store) HasRecord(ctx context.Context, siteID, machineID string, p mes.Position, exact bool) (bool, error) {
	unit, known, err := s.unitNumber(ctx, siteID, machineID)
	if err != nil || !known {
		return false, err
	}
	var rows []int
	if exact {
		given, sequence := sequenceColumns(p.Sequence)
		err = s.lookUp(ctx, &rows, hasRecordAt, unit, timestamp{p.Time}, given, sequence, uuid(p.ID))
	} else {
		from, to := timesOf(p.ID)
		err = s.lookUp(ctx, &rows, hasRecordNear, unit, timestamp{from}, timestamp{to}, uuid(p.ID))
	}
	return len(rows) > 0, s.db.readFault(err, "look up a record")
}

var quarantineState = portable("SELECT state FROM quarantine WHERE id = ?")

// QuarantineState implements journal.Index.
func (s *Store) QuarantineState(ctx context.Context, id mes.ID) (mes.QuarantineState, error) {
	var rows []mes.QuarantineState
	err := s.lookUp(ctx, &rows, quarantineState, uuid(id))
	if err != nil || len(rows) == 0 {
		return "", s.db.readFault(err, "look up a quarantined item")
	}
	return rows[0], nil
}
