package store

import (
	"context"
	"database/sql/driver"
	"strings"

	"plantgate/internal/journal"
	"plantgate/internal/mes"
)

// latestCache keeps the newest values of units that were heard of lately, for the
// writer alone.
type latestCache struct {
	units map[unitName]map[string]*latestEntry
	size  int
}

// maxLatestCache bounds the values that are kept, each about 600 bytes.
const maxLatestCache = 20_000

func (c *latestCache) forget() { c.units, c.size = nil, 0 }

// unit returns the values of a work unit that are kept.
func (c *latestCache) unit(name unitName) map[string]*latestEntry {
	if c.units == nil {
		c.units = map[unitName]map[string]*latestEntry{}
	}
	entries, ok := c.units[name]
	if !ok {
		entries = map[string]*latestEntry{}
		c.units[unitName{strings.Clone(name.siteID), strings.Clone(name.machineID)}] = entries
	}
	return entries
}

// latestEntry is a row of latest that was read, and whether it changed.
type latestEntry struct {
	row     latestRow
	exists  bool
	changed bool
}

// PutLatest is the step that brings the newest values up to date. Each row is
// written once a batch, however many records bear its signal.
func PutLatest(ctx context.Context, t *Tx, b *journal.Batch) error {
	if t.store.latest.size > maxLatestCache {
		t.store.latest.forget()
	}
	var touched []*latestEntry
	for _, u := range b.Units() {
		var err error
		if touched, err = t.updateLatest(ctx, b, u, touched); err != nil {
			return t.store.db.writeFault(err, "bring newest values up to date")
		}
	}
	return t.store.db.writeFault(t.writeLatest(ctx, touched), "keep newest values")
}

// updateLatest brings the values of a unit up to date in memory, and adds those that
// changed to the list.
func (t *Tx) updateLatest(ctx context.Context, b *journal.Batch, u *journal.UnitRecords, touched []*latestEntry) ([]*latestEntry, error) {
	entries := t.store.latest.unit(unitName{u.SiteID, u.MachineID})
	for _, place := range u.Places {
		r := &b.Records[place]
		for signal := range bornSignals(r) {
			e, ok := entries[signal.Name]
			if !ok {
				var err error
				if e, err = t.readLatest(ctx, r, signal.Name); err != nil {
					return nil, err
				}
				entries[e.row.Signal] = e
				t.store.latest.size++
			}
			before := e.changed
			if err := t.applySignal(ctx, e, r, signal); err != nil {
				return nil, err
			}
			if e.changed && !before {
				touched = append(touched, e)
			}
		}
	}
	return touched, nil
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
func (t *Tx) applySignal(ctx context.Context, e *latestEntry, r *mes.Record, signal mes.Signal) error {
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

func (t *Tx) readLatest(ctx context.Context, r *mes.Record, signal string) (*latestEntry, error) {
	e := &latestEntry{row: latestRow{
		SiteID: strings.Clone(r.SiteID), MachineID: strings.Clone(r.MachineID), Signal: strings.Clone(signal),
	}}
	var err error
	e.exists, err = t.get(ctx, &e.row, latestOfSignal, e.row.SiteID, e.row.MachineID, t.store.db.asKey(e.row.Signal))
	if e.exists {
		e.row.Signal = t.store.db.ofKey(e.row.Signal)
		e.row.Value, e.row.Unit = t.store.db.meant(e.row.Value), t.store.db.meant(e.row.Unit)
	}
	return e, err
}

var latestOfSignal = portable("SELECT " + latestColumns + " FROM latest WHERE site_id = ? AND machine_id = ? AND signal = ?")

var putLatest = statement{sqlite: `INSERT INTO latest (` + latestColumns + `)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (site_id, machine_id, signal) DO UPDATE SET
		kind = excluded.kind, value = excluded.value, unit = excluded.unit,
		status_code = excluded.status_code, door = excluded.door, received_at = excluded.received_at,
		head_time = excluded.head_time, head_sequence = excluded.head_sequence,
		head_id = excluded.head_id, head_snapshot = excluded.head_snapshot,
		start_time = excluded.start_time, start_sequence = excluded.start_sequence,
		start_id = excluded.start_id, start_time_origin = excluded.start_time_origin,
		floor_time = excluded.floor_time, floor_sequence = excluded.floor_sequence,
		floor_id = excluded.floor_id`, sqlserver: putLatestSQLServer}

// writeLatest writes the rows that changed.
func (t *Tx) writeLatest(ctx context.Context, touched []*latestEntry) error {
	at, sent, asKey := t.store.db.at, t.store.db.sent, t.store.db.asKey
	return t.bulk(ctx, putLatest, func(exec func([]driver.NamedValue) error) error {
		for _, e := range touched {
			r := &e.row
			// The texts are parts of larger ones, which would stay in memory with them.
			r.Value, r.Unit = strings.Clone(r.Value), strings.Clone(r.Unit)
			r.Door, r.StartTimeOrigin = mes.Door(strings.Clone(string(r.Door))), mes.TimeOrigin(strings.Clone(string(r.StartTimeOrigin)))
			err := exec(named([]any{
				r.SiteID, r.MachineID, asKey(r.Signal), int64(r.Kind), t.store.db.sentLong(r.Value), sent(r.Unit), int64(r.StatusCode), string(r.Door), at(r.ReceivedAt.Time),
				at(r.HeadTime.Time), optional(r.HeadSequence), r.HeadID[:], r.HeadSnapshot,
				at(r.StartTime.Time), optional(r.StartSequence), r.StartID[:], string(r.StartTimeOrigin),
				at(r.FloorTime.Time), optional(r.FloorSequence), r.FloorID.bytes(),
			}))
			if err != nil {
				return err
			}
			e.changed = false
		}
		return nil
	})
}

// snapshotPage is how many neighbours one look at the index reads. Snapshots of
// a machine mostly bear the same signals, so that the first is nearly always it.
const snapshotPage = 16

var snapshotsAfter = statement{
	sqlite: `SELECT id, time, sequence_given, sequence, time_origin, status, signals FROM record INDEXED BY record_snapshots
		WHERE snapshot = 1 AND unit = ? AND (time, sequence_given, sequence, id) > (?, ?, ?, ?)
		ORDER BY time, sequence_given, sequence, id LIMIT ?`,
	sqlserver: `SELECT TOP (@p6) id, time, sequence_given, sequence, time_origin, status, signals FROM record
		WHERE snapshot = 1 AND unit = @p1 AND (time > @p2 OR time = @p2 AND (sequence_given > @p3
			OR sequence_given = @p3 AND (sequence > @p4 OR sequence = @p4 AND id > @p5)))
		ORDER BY time, sequence_given, sequence, id`,
}

// snapshotAfter finds the first snapshot after p that bears the row's signal
// with the row's value. There is one: the head, at the latest.
func (t *Tx) snapshotAfter(ctx context.Context, row *latestRow, p mes.Position) (mes.Position, mes.TimeOrigin, error) {
	unit := t.units[unitName{row.SiteID, row.MachineID}]
	for p.Compare(row.head()) < 0 {
		var neighbours []neighbourRow
		given, sequence := sequenceColumns(p.Sequence)
		err := t.selectAll(ctx, &neighbours, snapshotsAfter, unit, timestamp{p.Time}, given, sequence, uuid(p.ID), int64(snapshotPage))
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

// neighbourRow is what snapshotAfter looks at of a record.
type neighbourRow struct {
	ID            uuid           `db:"id"`
	Time          timestamp      `db:"time"`
	SequenceGiven bool           `db:"sequence_given"`
	Sequence      int64          `db:"sequence"`
	TimeOrigin    mes.TimeOrigin `db:"time_origin"`
	Status        mes.Status     `db:"status"`
	Signals       signals        `db:"signals"`
}

func (r *neighbourRow) toDomain() mes.Record {
	record := mes.Record{ID: mes.ID(r.ID), Time: r.Time.Time, TimeOrigin: r.TimeOrigin, Status: r.Status, Signals: r.Signals}
	if r.SequenceGiven {
		record.Sequence = &r.Sequence
	}
	return record
}
