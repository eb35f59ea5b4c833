package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/series"
)

// minuteNumber numbers minutes from 1970; t is the beginning of one.
func minuteNumber(t time.Time) int64 { return t.Unix() / 60 }

func minuteTime(number int64) time.Time { return time.Unix(number*60, 0).UTC() }

// Samples implements series.Source and series.RollupStore.
func (s *Store) Samples(ctx context.Context, unit series.Unit, signals []string, from, to time.Time, yield func(series.Sample) error) error {
	number, known, err := s.unitNumber(ctx, unit.SiteID, unit.MachineID)
	if err != nil || !known {
		return err
	}
	return s.eachReading(ctx, number, from, to, func(r *mes.Record) error {
		for sample := range series.Samples(r, signals) {
			if err := yield(sample); err != nil {
				return err
			}
		}
		return nil
	})
}

var readings = portable(`SELECT time, sequence_given, sequence, id, status, status_code, flags, signals FROM record
	WHERE unit = ? AND time >= ? AND time < ? ORDER BY time, sequence_given, sequence, id`)

// eachReading yields what samples are made of: records of a work unit with from ≤
// time < to, without where they came from and what they came as. A record is
// valid until yield returns.
func (s *Store) eachReading(ctx context.Context, unit int64, from, to time.Time, yield func(*mes.Record) error) error {
	var r mes.Record
	args := []any{unit, timestamp{from}, timestamp{to}}
	err := s.eachRow(ctx, readings, args, 8, func(row []driver.Value) error {
		r = mes.Record{
			Time: moment(row[0]), Status: mes.Status(text(row[4])),
			StatusCode: mes.StatusCode(integer(row[5])), Signals: r.Signals[:0],
		}
		if integer(row[1]) != 0 {
			sequence := integer(row[2])
			r.Sequence = &sequence
		}
		copy(r.ID[:], octets(row[3]))
		if err := (*list[mes.Flag])(&r.Flags).Scan(row[6]); err != nil {
			return err
		}
		if err := (*signals)(&r.Signals).Scan(row[7]); err != nil {
			return err
		}
		return yield(&r)
	})
	return s.db.readFault(err, "read records")
}

// rollupRow is a block; sketches are read only if they are asked for.
type rollupRow struct {
	Block    int64  `db:"block"`
	Buckets  []byte `db:"buckets"`
	Sketches []byte `db:"sketches"`
}

const rangeOfRollups = ` FROM rollup
	WHERE unit = ? AND signal = ? AND width = ? AND block BETWEEN ? AND ? ORDER BY block`

var (
	rollups             = portable("SELECT block, buckets" + rangeOfRollups)
	rollupsWithSketches = portable("SELECT block, buckets, sketches" + rangeOfRollups)
	dueMinutes          = portable("SELECT minute FROM rollup_due WHERE unit = ? AND minute >= ? AND minute < ? ORDER BY minute")
)

// Rollups implements series.Source.
func (s *Store) Rollups(ctx context.Context, unit series.Unit, signal string, width series.Width, from, to time.Time, sketches bool, yield func(series.Entry) error) error {
	number, known, err := s.unitNumber(ctx, unit.SiteID, unit.MachineID)
	if err != nil || !known || !from.Before(to) {
		return err
	}
	query := rollups
	if sketches {
		query = rollupsWithSketches
	}
	first, last := series.BlockOf(width, from), series.BlockOf(width, to.Add(-time.Microsecond))
	rows, err := s.readers.QueryxContext(ctx, s.db.text(query), number, s.db.asKey(signal), int64(width), first.Number, last.Number)
	if err != nil {
		return s.db.readFault(err, "read roll-ups")
	}
	defer rows.Close()
	for rows.Next() {
		var row rollupRow
		if err := rows.StructScan(&row); err != nil {
			return s.db.readFault(err, "read roll-ups")
		}
		entries, err := series.Block{Width: width, Number: row.Block}.Decode(row.Buckets, row.Sketches)
		if err != nil {
			return internalError(fmt.Errorf("%s of %q: %w", width, signal, err), "read roll-ups")
		}
		for _, e := range entries {
			if e.Start.Before(from) || !e.Start.Before(to) {
				continue
			}
			if err := yield(e); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return s.db.readFault(err, "read roll-ups")
	}
	return nil
}

// DueMinutes implements series.Source.
func (s *Store) DueMinutes(ctx context.Context, unit series.Unit, from, to time.Time) ([]time.Time, error) {
	number, known, err := s.unitNumber(ctx, unit.SiteID, unit.MachineID)
	if err != nil || !known {
		return nil, err
	}
	var minutes []int64
	err = s.selectRows(ctx, &minutes, dueMinutes, number, minuteNumber(from), minuteNumber(to))
	if err != nil {
		return nil, s.db.readFault(err, "read due minutes")
	}
	due := make([]time.Time, len(minutes))
	for i, m := range minutes {
		due[i] = minuteTime(m)
	}
	return due, nil
}

// UnitsOfMeasure implements series.Source.
func (s *Store) UnitsOfMeasure(ctx context.Context, unit series.Unit, signals []string) (map[string]string, error) {
	if err := s.current(ctx); err != nil { // answers begin here
		return nil, err
	}
	q := s.newQuery("SELECT signal, unit FROM latest")
	q.where("site_id = ?", unit.SiteID)
	q.where("machine_id = ?", unit.MachineID)
	q.where("unit <> ''")
	keys := make([]string, len(signals))
	for i, signal := range signals {
		keys[i] = s.db.asKey(signal)
	}
	q.oneOf("signal", keys)
	q.order("signal")
	var rows []struct {
		Signal string `db:"signal"`
		Unit   string `db:"unit"`
	}
	if err := s.selectRows(ctx, &rows, q.statement(), q.args...); err != nil {
		return nil, s.db.readFault(err, "read units of measure")
	}
	units := make(map[string]string, len(rows))
	for _, r := range rows {
		units[s.db.ofKey(r.Signal)] = s.db.meant(r.Unit)
	}
	return units, nil
}
