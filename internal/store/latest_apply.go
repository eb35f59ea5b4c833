package store

import (
	"context"

	"plantgate/internal/mes"
)

type latestKey struct{ site, machine, signal string }

// latestEntry is a row of latest that a call has read, and whether it changed.
type latestEntry struct {
	row     latestRow
	exists  bool
	changed bool
}

// applyLatest brings the newest values up to date. Each row is read and written
// once a call, however many records bear its signal.
func (t *tx) applyLatest(ctx context.Context, records []*mes.Record) error {
	entries := map[latestKey]*latestEntry{}
	var order []*latestEntry
	for _, r := range records {
		for signal := range bornSignals(r) {
			key := latestKey{r.SiteID, r.MachineID, signal.Name}
			e, ok := entries[key]
			if !ok {
				var err error
				if e, err = t.readLatest(ctx, key); err != nil {
					return err
				}
				entries[key] = e
				order = append(order, e)
			}
			if err := t.applySignal(ctx, e, r, signal); err != nil {
				return err
			}
		}
	}
	for _, e := range order {
		if e.changed {
			if err := t.writeLatest(ctx, &e.row); err != nil {
				return err
			}
		}
	}
	return nil
}

// bornSignals yields the signals of a record. The status of the work unit is
// one, and takes the place of a signal that happens to bear its name.
func bornSignals(r *mes.Record) func(yield func(mes.Signal) bool) {
	return func(yield func(mes.Signal) bool) {
		if r.Status != "" && !yield(mes.Signal{Name: mes.SignalStatus, Value: mes.String(string(r.Status))}) {
			return
		}
		for _, s := range r.Signals {
			if r.Status != "" && s.Name == mes.SignalStatus {
				continue
			}
			if !yield(s) {
				return
			}
		}
	}
}

// applySignal does what one signal of one record changes.
//
// The newest record that bears the signal is the head. If it is a snapshot, the
// value is as old as the run of snapshots with the same value that ends with
// it: records that bear the signal, one after the other without another between.
// The row keeps the head, the start of that run, and the last record before the
// start (the floor). A record is then
//
//	after the head:           the new head; it continues the run or starts one
//	between start and head:   part of the run if equal, else its end: the run
//	                          starts with the next snapshot after it
//	between floor and start:  the new start if equal, else the new floor
//	before the floor:         of no consequence
func (t *tx) applySignal(ctx context.Context, e *latestEntry, r *mes.Record, signal mes.Signal) error {
	p, row := r.Position(), &e.row
	if !e.exists {
		row.setHead(r, signal)
		row.setStart(p, r.TimeOrigin)
		e.exists, e.changed = true, true
		return nil
	}
	continues := r.Snapshot && row.HeadSnapshot && row.holds(signal)
	switch {
	case p.Compare(row.head()) > 0:
		if !continues {
			row.setFloor(row.head())
			row.setStart(p, r.TimeOrigin)
		}
		row.setHead(r, signal)
	case p.Compare(row.start()) > 0:
		if continues || p.Compare(row.head()) == 0 {
			return nil
		}
		start, origin, err := t.snapshotAfter(ctx, row, p)
		if err != nil {
			return err
		}
		row.setFloor(p)
		row.setStart(start, origin)
	case p.Compare(row.start()) < 0 && p.Compare(row.floor()) > 0:
		if continues {
			row.setStart(p, r.TimeOrigin)
		} else {
			row.setFloor(p)
		}
	default:
		return nil
	}
	e.changed = true
	return nil
}

func (t *tx) readLatest(ctx context.Context, key latestKey) (*latestEntry, error) {
	e := &latestEntry{row: latestRow{SiteID: key.site, MachineID: key.machine, Signal: key.signal}}
	var err error
	e.exists, err = t.writer.get(ctx, &e.row, "SELECT "+latestColumns+` FROM latest
		WHERE site_id = ? AND machine_id = ? AND signal = ?`, key.site, key.machine, key.signal)
	return e, err
}

func (t *tx) writeLatest(ctx context.Context, r *latestRow) error {
	return t.writer.exec(ctx, `INSERT INTO latest (`+latestColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (site_id, machine_id, signal) DO UPDATE SET
			kind = excluded.kind, value = excluded.value, unit = excluded.unit,
			status_code = excluded.status_code, door = excluded.door, received_at = excluded.received_at,
			head_time = excluded.head_time, head_sequence = excluded.head_sequence,
			head_id = excluded.head_id, head_snapshot = excluded.head_snapshot,
			start_time = excluded.start_time, start_sequence = excluded.start_sequence,
			start_id = excluded.start_id, start_time_origin = excluded.start_time_origin,
			floor_time = excluded.floor_time, floor_sequence = excluded.floor_sequence,
			floor_id = excluded.floor_id`,
		r.SiteID, r.MachineID, r.Signal, int64(r.Kind), r.Value, r.Unit, int64(r.StatusCode), string(r.Door), r.ReceivedAt,
		r.HeadTime, r.HeadSequence, r.HeadID, r.HeadSnapshot,
		r.StartTime, r.StartSequence, r.StartID, string(r.StartTimeOrigin),
		r.FloorTime, r.FloorSequence, r.FloorID)
}

// snapshotPage is how many neighbours one look at the index reads. Snapshots of
// a machine mostly bear the same signals, so that the first is nearly always it.
const snapshotPage = 16

const snapshotsAfter = "SELECT " + recordColumns + ` FROM record
	WHERE snapshot = 1 AND site_id = ? AND machine_id = ?
		AND (time, sequence_given, sequence, id) > (?, ?, ?, ?)
	ORDER BY time, sequence_given, sequence, id LIMIT ?`

// snapshotAfter finds the first snapshot after p that bears the row's signal
// with the row's value. There is one: the head, at the latest.
func (t *tx) snapshotAfter(ctx context.Context, row *latestRow, p mes.Position) (mes.Position, mes.TimeOrigin, error) {
	for p.Compare(row.head()) < 0 {
		var neighbours []recordRow
		given, sequence := sequenceColumns(p.Sequence)
		err := t.writer.selectAll(ctx, &neighbours, snapshotsAfter,
			row.SiteID, row.MachineID, timestamp{p.Time}, given, sequence, uuid(p.ID), snapshotPage)
		if err != nil {
			return mes.Position{}, "", err
		}
		if len(neighbours) == 0 {
			break
		}
		for i := range neighbours {
			record := neighbours[i].toDomain()
			p = record.Position()
			for signal := range bornSignals(&record) {
				if signal.Name == row.Signal && row.holds(signal) {
					return p, record.TimeOrigin, nil
				}
			}
		}
	}
	return row.head(), row.StartTimeOrigin, nil
}
