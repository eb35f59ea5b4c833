package store

import (
	"context"
	"time"
)

// The queries of a deletion. The first finds the next work unit by its number, the
// others stay within its records.
var (
	nextUnit = statement{
		sqlite:    "SELECT number FROM equipment WHERE number > ? ORDER BY number LIMIT 1",
		sqlserver: "SELECT TOP (1) number FROM equipment WHERE number > @p1 ORDER BY number",
	}
	oldestDue = statement{
		sqlite:    "SELECT minute FROM rollup_due WHERE unit = ? AND minute < ? ORDER BY minute LIMIT 1",
		sqlserver: "SELECT TOP (1) minute FROM rollup_due WHERE unit = @p1 AND minute < @p2 ORDER BY minute",
	}
	boundOfExpired = statement{
		sqlite:    "SELECT time FROM record WHERE unit = ? AND time < ? ORDER BY time LIMIT 1 OFFSET ?",
		sqlserver: "SELECT time FROM record WHERE unit = @p1 AND time < @p2 ORDER BY time OFFSET @p3 ROWS FETCH NEXT 1 ROWS ONLY",
	}
	deleteExpired = portable(`DELETE FROM record WHERE unit = ? AND time < ?
		AND NOT EXISTS (SELECT 1 FROM rollup_due WHERE unit = ? AND minute <= ?)
		AND NOT EXISTS (SELECT 1 FROM arrival WHERE lane = ? AND unit = ? AND time < ?)`)
)

// ExpireRecords implements retention.Store.
func (s *Store) ExpireRecords(ctx context.Context, after int64, before time.Time, limit int) (next int64, deleted int, done bool, err error) {
	var units []int64
	if err := s.lookUp(ctx, &units, nextUnit, after); err != nil || len(units) == 0 {
		return 0, 0, true, s.db.readFault(err, "list work units")
	}
	unit := units[0]
	to, more, err := s.expiredUntil(ctx, unit, before, limit)
	if err != nil {
		return 0, 0, true, err
	}
	// Most passes find nothing in most units, and write nothing then.
	if has, err := s.hasBefore(ctx, unit, to); err != nil || !has {
		return unit, 0, false, err
	}
	err = s.update(ctx, manner{lazy: true}, func(t *Tx) error {
		n, err := t.execCount(ctx, deleteExpired, unit, timestamp{to}, unit, minuteNumber(to.Add(-time.Microsecond)),
			unit%Lanes, unit, timestamp{to})
		deleted = int(n)
		return s.db.writeFault(err, "delete old records")
	})
	if err != nil {
		return 0, 0, true, err
	}
	if more && deleted > 0 {
		return after, deleted, false, nil
	}
	return unit, deleted, false, nil
}

// expiredUntil returns the time before which records of the unit may be deleted now,
// and whether there are more to delete after that.
func (s *Store) expiredUntil(ctx context.Context, unit int64, before time.Time, limit int) (to time.Time, more bool, err error) {
	var due []int64
	if err := s.lookUp(ctx, &due, oldestDue, unit, minuteNumber(before)); err != nil {
		return to, false, s.db.readFault(err, "read due minutes")
	}
	to = before
	if len(due) > 0 {
		to = minuteTime(due[0])
	}
	var bound []timestamp
	if err := s.lookUp(ctx, &bound, boundOfExpired, unit, timestamp{to}, limit); err != nil {
		return to, false, s.db.readFault(err, "look for old records")
	}
	// Records of one moment are deleted together, so that each step gets on.
	if len(bound) > 0 {
		next := bound[0].Add(time.Microsecond)
		return next, next.Before(to), nil
	}
	return to, false, nil
}

func (s *Store) hasBefore(ctx context.Context, unit int64, to time.Time) (bool, error) {
	var first []timestamp
	err := s.lookUp(ctx, &first, boundOfExpired, unit, timestamp{to}, 0)
	return len(first) > 0, s.db.readFault(err, "look for old records")
}
