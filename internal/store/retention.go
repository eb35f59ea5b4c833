package store

import (
	"context"
	"time"
)

// The queries of a deletion. The first finds the next work unit by its number, the
// others stay within its records.
const (
	nextUnit       = "SELECT number FROM equipment WHERE number > ? ORDER BY number LIMIT 1"
	oldestDue      = "SELECT minute FROM rollup_due WHERE unit = ? AND minute < ? ORDER BY minute LIMIT 1"
	boundOfExpired = "SELECT time FROM record WHERE unit = ? AND time < ? ORDER BY time LIMIT 1 OFFSET ?"
	deleteExpired  = `DELETE FROM record WHERE unit = ? AND time < ?
		AND NOT EXISTS (SELECT 1 FROM rollup_due WHERE unit = ? AND minute <= ?)`
)

// minuteMicros is a minute in microseconds.
const minuteMicros = 60_000_000

// ExpireRecords implements retention.Store.
func (s *Store) ExpireRecords(ctx context.Context, after int64, before time.Time, limit int) (next int64, deleted int, done bool, err error) {
	var units []int64
	if err := s.lookUp(ctx, &units, nextUnit, after); err != nil || len(units) == 0 {
		return 0, 0, true, readError(err, "list work units")
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
	err = s.update(ctx, lazy, func(t *Tx) error {
		n, err := t.writer.execCount(ctx, deleteExpired, unit, to, unit, (to-1)/minuteMicros)
		deleted = int(n)
		return s.writeError(err, "delete old records")
	})
	if err != nil {
		return 0, 0, true, err
	}
	if more && deleted > 0 {
		return after, deleted, false, nil
	}
	return unit, deleted, false, nil
}

// expiredUntil returns the time, in microseconds, before which records of the unit
// may be deleted now, and whether there are more to delete after that.
func (s *Store) expiredUntil(ctx context.Context, unit int64, before time.Time, limit int) (to int64, more bool, err error) {
	var due []int64
	if err := s.lookUp(ctx, &due, oldestDue, unit, minuteNumber(before)); err != nil {
		return 0, false, readError(err, "read due minutes")
	}
	to = before.UnixMicro()
	if len(due) > 0 {
		to = minuteTime(due[0]).UnixMicro()
	}
	var bound []int64
	if err := s.lookUp(ctx, &bound, boundOfExpired, unit, to, limit); err != nil {
		return 0, false, readError(err, "look for old records")
	}
	// Records of one moment are deleted together, so that each step gets on.
	if len(bound) > 0 {
		return bound[0] + 1, bound[0]+1 < to, nil
	}
	return to, false, nil
}

func (s *Store) hasBefore(ctx context.Context, unit, to int64) (bool, error) {
	var first []int64
	err := s.lookUp(ctx, &first, boundOfExpired, unit, to, 0)
	return len(first) > 0, readError(err, "look for old records")
}
