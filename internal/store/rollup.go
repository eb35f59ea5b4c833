package store

import (
	"context"
	"database/sql/driver"
	"time"

	"plantgate/internal/journal"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
	"plantgate/internal/series"
)

type dueRow struct {
	Unit       int64 `db:"unit"`
	Minute     int64 `db:"minute"`
	Generation int64 `db:"generation"`
}

// DueMarks implements series.RollupStore.
func (s *Store) DueMarks(ctx context.Context, after series.Mark, before time.Time, limit int) ([]series.Mark, error) {
	// The marks that are listed and those that are forgotten are the same: no step is
	// at work in between. From now on every record raises the generation of its minute.
	unlock, err := s.marks.list(ctx, s.db)
	if err != nil {
		return nil, err
	}
	defer unlock()
	q := s.newQuery("SELECT unit, minute, generation FROM rollup_due")
	// The minute that holds the time begins before it, unless it begins with it.
	q.where("minute < ?", minuteNumber(series.Minute.Start(before.Add(time.Minute-time.Microsecond))))
	if after.Unit != (series.Unit{}) {
		number, _, err := s.unitNumber(ctx, after.Unit.SiteID, after.Unit.MachineID)
		if err != nil {
			return nil, err
		}
		q.beyond([]string{"unit", "minute"}, ">", number, minuteNumber(after.Minute))
	}
	q.order("unit", "minute")
	q.limit(limit)
	var rows []dueRow
	if err := s.lookers.SelectContext(ctx, &rows, s.db.text(q.statement()), q.args...); err != nil {
		return nil, s.db.readFault(err, "read due minutes")
	}
	marks := make([]series.Mark, len(rows))
	for i, r := range rows {
		marks[i] = series.Mark{Minute: minuteTime(r.Minute), Generation: r.Generation}
		if i > 0 && rows[i-1].Unit == r.Unit {
			marks[i].Unit = marks[i-1].Unit
			continue
		}
		name, err := s.units.name(ctx, r.Unit)
		if err != nil {
			return nil, s.db.readFault(err, "look up a work unit")
		}
		marks[i].Unit = series.Unit{SiteID: name.siteID, MachineID: name.machineID}
	}
	return marks, nil
}

// UpdateRollups implements series.RollupStore.
func (s *Store) UpdateRollups(ctx context.Context, fn func(series.RollupTx) error) error {
	// What a power cut undoes is due again.
	return s.update(ctx, manner{lazy: true}, func(t *Tx) error {
		if s.rollupLease != nil {
			l, held := s.rollupLease()
			if !held {
				return mes.Wrap(mes.CodeUnavailable, mes.ErrLeaseLost, "another server has taken over")
			}
			if err := t.prove(ctx, l.Ownership()); err != nil {
				return err
			}
		}
		return fn(&rollupTx{Tx: t})
	})
}

// ProveRollups makes every change of roll-ups prove a lease: two that change parts of one
// block at once would undo each other. It is called before the store is in use.
func (s *Store) ProveRollups(held func() (lease.Lease, bool)) { s.rollupLease = held }

// rollupTx implements series.RollupTx. It remembers the work unit that it had
// last: a transaction is about one.
type rollupTx struct {
	*Tx
	unit   series.Unit
	number int64
}

// numberOf returns the number of a work unit that has marks or roll-ups, and so
// was numbered before this transaction.
func (t *rollupTx) numberOf(ctx context.Context, unit series.Unit) (int64, error) {
	if t.unit == unit {
		return t.number, nil
	}
	number, known, err := t.store.unitNumber(ctx, unit.SiteID, unit.MachineID)
	if err != nil {
		return 0, err
	}
	if !known {
		number = -1 // of which there is nothing
	}
	t.unit, t.number = unit, number
	return number, nil
}

// ClearMark implements series.RollupTx.
func (t *rollupTx) ClearMark(ctx context.Context, mark series.Mark) (bool, error) {
	ctx = context.WithoutCancel(ctx)
	number, err := t.numberOf(ctx, mark.Unit)
	if err != nil {
		return false, err
	}
	n, err := t.execCount(ctx, clearMark, number, minuteNumber(mark.Minute), mark.Generation)
	if err != nil {
		return false, t.store.db.writeFault(err, "clear a due minute")
	}
	return n == 1, nil
}

// RollupBlock implements series.RollupTx.
func (t *rollupTx) RollupBlock(ctx context.Context, unit series.Unit, signal string, block series.Block) (buckets, sketches []byte, err error) {
	ctx = context.WithoutCancel(ctx)
	number, err := t.numberOf(ctx, unit)
	if err != nil {
		return nil, nil, err
	}
	var row rollupRow
	_, err = t.get(ctx, &row, rollupBlock, number, t.store.db.asKey(signal), int64(block.Width), block.Number)
	if err != nil {
		return nil, nil, t.store.db.writeFault(err, "read a roll-up")
	}
	return row.Buckets, row.Sketches, nil
}

// PutRollupBlock implements series.RollupTx.
func (t *rollupTx) PutRollupBlock(ctx context.Context, unit series.Unit, signal string, block series.Block, buckets, sketches []byte) error {
	ctx = context.WithoutCancel(ctx)
	number, err := t.numberOf(ctx, unit)
	if err != nil {
		return err
	}
	signal = t.store.db.asKey(signal)
	n, err := t.execCount(ctx, updateRollup, buckets, sketches, number, signal, int64(block.Width), block.Number)
	if err == nil && n == 0 {
		err = t.exec(ctx, insertRollup, number, signal, int64(block.Width), block.Number, buckets, sketches)
	}
	return t.store.db.writeFault(err, "put a roll-up")
}

var (
	clearMark   = portable("DELETE FROM rollup_due WHERE unit = ? AND minute = ? AND generation = ?")
	rollupBlock = portable(`SELECT block, buckets, sketches FROM rollup
		WHERE unit = ? AND signal = ? AND width = ? AND block = ?`)
	updateRollup = portable(`UPDATE rollup SET buckets = ?, sketches = ?
		WHERE unit = ? AND signal = ? AND width = ? AND block = ?`)
	insertRollup = portable("INSERT INTO rollup (unit, signal, width, block, buckets, sketches) VALUES (?, ?, ?, ?, ?, ?)")
)

var markMinute = statement{
	sqlite: `INSERT INTO rollup_due (unit, minute, generation) VALUES (?, ?, 1)
		ON CONFLICT (unit, minute) DO UPDATE SET generation = generation + 1`,
	sqlserver: `UPDATE d SET generation = d.generation + 1
		FROM rollup_due AS d
		JOIN ` + rowsOf("unit BIGINT", "minute BIGINT") + ` ON j.unit = d.unit AND j.minute = d.minute;
		INSERT INTO rollup_due (unit, minute, generation)
		SELECT j.unit, j.minute, 1
		FROM ` + rowsOf("unit BIGINT", "minute BIGINT") + `
		WHERE NOT EXISTS (SELECT 1 FROM rollup_due AS d WHERE d.unit = j.unit AND d.minute = j.minute)`,
}

// marks remembers, for the writer, the newest minute of each unit that is marked and
// was not listed since: nobody holds its generation, so that more records of the
// minute need not raise it. Units are mostly in the same minute for many steps.
// Only in an embedded database: elsewhere another server may list them.
type marks struct{ newest map[int64]int64 }

// list begins a list: no step is at work until unlock is called, and from then on
// every record raises the generation of its minute.
func (m *marks) list(ctx context.Context, db database) (unlock func(), err error) {
	embedded, ok := db.(*sqliteDB)
	if !ok {
		return func() {}, nil
	}
	if err := embedded.lockWriter(ctx); err != nil {
		return nil, err
	}
	m.newest = map[int64]int64{}
	return embedded.unlockWriter, nil
}

// MarkRollups is the step that marks the minutes to which samples came.
func MarkRollups(ctx context.Context, t *Tx, b *journal.Batch) error {
	newest := t.store.marks.newest
	fresh := map[int64]int64{}
	row := named([]any{nil, nil})
	err := t.bulk(ctx, markMinute, func(exec func([]driver.NamedValue) error) error {
		for _, u := range b.Units() {
			unit := t.units[unitName{u.SiteID, u.MachineID}]
			last := int64(-1)
			for _, place := range u.Places { // in order of time
				r := &b.Records[place]
				minute := minuteNumber(series.Minute.Start(r.Time))
				if minute == last || !hasSamples(r) {
					continue
				}
				last = minute
				if known, ok := newest[unit]; ok && known == minute {
					continue
				}
				row[0].Value, row[1].Value = unit, minute
				if err := exec(row); err != nil {
					return err
				}
				fresh[unit] = minute
			}
		}
		return nil
	})
	t.marked = fresh
	return t.store.db.writeFault(err, "mark minutes to be rolled up")
}

func hasSamples(r *mes.Record) bool {
	for range series.Samples(r, nil) {
		return true
	}
	return false
}
