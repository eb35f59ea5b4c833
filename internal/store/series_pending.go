package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/series"
)

// unitNumber returns the number of a work unit, and false if it has no records.
func (s *Store) unitNumber(ctx context.Context, siteID, machineID string) (int64, bool, error) {
	var number int64
	err := s.readers.GetContext(ctx, &number, "SELECT number FROM unit WHERE site_id = ? AND machine_id = ?", siteID, machineID)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, readError(err, "look up a work unit")
	}
	return number, true, nil
}

// unitOf is the inverse of unitNumber.
func (s *Store) unitOf(ctx context.Context, number int64) (series.Unit, error) {
	var row struct {
		SiteID    string `db:"site_id"`
		MachineID string `db:"machine_id"`
	}
	if err := s.readers.GetContext(ctx, &row, "SELECT site_id, machine_id FROM unit WHERE number = ?", number); err != nil {
		return series.Unit{}, readError(err, "look up a work unit")
	}
	return series.Unit{SiteID: row.SiteID, MachineID: row.MachineID}, nil
}

// scanRecords yields the records of a work unit with from ≤ time < to, without
// their payloads, in the order of their positions.
func (s *Store) scanRecords(ctx context.Context, unit int64, from, to time.Time, yield func(*mes.Record) error) error {
	u, err := s.unitOf(ctx, unit)
	if err != nil {
		return err
	}
	rows, err := s.readers.QueryxContext(ctx, `SELECT id, time, sequence_given, sequence, status, status_code, flags, signals
		FROM `+recordByMachineSQLite+`
		WHERE site_id = ? AND machine_id = ? AND time >= ? AND time < ?
		ORDER BY time, sequence_given, sequence, id`, u.SiteID, u.MachineID, timestamp{from}, timestamp{to})
	if err != nil {
		return readError(err, "read records")
	}
	defer rows.Close()
	for rows.Next() {
		var row recordRow
		if err := rows.StructScan(&row); err != nil {
			return readError(err, "read records")
		}
		record := row.toDomain()
		if err := yield(&record); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return readError(err, "read records")
	}
	return nil
}

// applyDue marks the minutes of the records, and numbers work units that are new.
func (t *tx) applyDue(ctx context.Context, records []*mes.Record) error {
	type minute struct {
		series.Unit
		at int64
	}
	marked := map[minute]bool{}
	for _, r := range records {
		m := minute{series.Unit{SiteID: r.SiteID, MachineID: r.MachineID}, minuteNumber(series.Minute.Start(r.Time))}
		if marked[m] || !hasSamples(r) {
			continue
		}
		marked[m] = true
		err := t.writer.exec(ctx, "INSERT INTO unit (site_id, machine_id) VALUES (?, ?) ON CONFLICT DO NOTHING", r.SiteID, r.MachineID)
		if err != nil {
			return err
		}
		err = t.writer.exec(ctx, `INSERT INTO rollup_due (unit, minute, generation)
			SELECT number, ?, 1 FROM unit WHERE site_id = ? AND machine_id = ?
			ON CONFLICT (unit, minute) DO UPDATE SET generation = generation + 1`, m.at, r.SiteID, r.MachineID)
		if err != nil {
			return err
		}
	}
	return nil
}

func hasSamples(r *mes.Record) bool {
	for range series.Samples(r, nil) {
		return true
	}
	return false
}
