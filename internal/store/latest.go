package store

import (
	"context"

	"plantgate/internal/mes"
)

const latestColumns = `site_id, machine_id, signal, kind, value, unit, status_code, door, received_at,
	head_time, head_sequence, head_id, head_snapshot,
	start_time, start_sequence, start_id, start_time_origin,
	floor_time, floor_sequence, floor_id`

type latestRow struct {
	SiteID          string         `db:"site_id"`
	MachineID       string         `db:"machine_id"`
	Signal          string         `db:"signal"`
	Kind            mes.Kind       `db:"kind"`
	Value           string         `db:"value"`
	Unit            string         `db:"unit"`
	StatusCode      mes.StatusCode `db:"status_code"`
	Door            mes.Door       `db:"door"`
	ReceivedAt      timestamp      `db:"received_at"`
	HeadTime        timestamp      `db:"head_time"`
	HeadSequence    *int64         `db:"head_sequence"`
	HeadID          uuid           `db:"head_id"`
	HeadSnapshot    bool           `db:"head_snapshot"`
	StartTime       timestamp      `db:"start_time"`
	StartSequence   *int64         `db:"start_sequence"`
	StartID         uuid           `db:"start_id"`
	StartTimeOrigin mes.TimeOrigin `db:"start_time_origin"`
	FloorTime       timestamp      `db:"floor_time"`
	FloorSequence   *int64         `db:"floor_sequence"`
	FloorID         uuid           `db:"floor_id"`
}

// toDomain gives the time, and the record, at which the value was new; status
// code, door and receipt are those of the newest record that says so.
func (r *latestRow) toDomain() mes.Latest {
	return mes.Latest{
		SiteID: r.SiteID, MachineID: r.MachineID,
		Signal: mes.Signal{Name: r.Signal, Value: mes.Restore(r.Kind, r.Value), Unit: r.Unit},
		Time:   r.StartTime.Time, TimeOrigin: r.StartTimeOrigin,
		ReceivedAt: r.ReceivedAt.Time, StatusCode: r.StatusCode, Door: r.Door,
		RecordID: mes.ID(r.StartID),
	}
}

func (r *latestRow) head() mes.Position {
	return mes.Position{Time: r.HeadTime.Time, Sequence: r.HeadSequence, ID: mes.ID(r.HeadID)}
}

func (r *latestRow) start() mes.Position {
	return mes.Position{Time: r.StartTime.Time, Sequence: r.StartSequence, ID: mes.ID(r.StartID)}
}

// floor is before every position where the row has none.
func (r *latestRow) floor() mes.Position {
	return mes.Position{Time: r.FloorTime.Time, Sequence: r.FloorSequence, ID: mes.ID(r.FloorID)}
}

func (r *latestRow) setStart(p mes.Position, origin mes.TimeOrigin) {
	r.StartTime, r.StartSequence, r.StartID = timestamp{p.Time}, p.Sequence, uuid(p.ID)
	r.StartTimeOrigin = origin
}

func (r *latestRow) setFloor(p mes.Position) {
	r.FloorTime, r.FloorSequence, r.FloorID = timestamp{p.Time}, p.Sequence, uuid(p.ID)
}

// setHead takes over value and origin of the newest record.
func (r *latestRow) setHead(record *mes.Record, signal mes.Signal) {
	r.Kind, r.Value, r.Unit = signal.Value.Kind(), signal.Value.Text(), signal.Unit
	r.StatusCode, r.Door, r.ReceivedAt = record.StatusCode, record.Origin.Door, timestamp{record.ReceivedAt}
	p := record.Position()
	r.HeadTime, r.HeadSequence, r.HeadID = timestamp{p.Time}, p.Sequence, uuid(p.ID)
	r.HeadSnapshot = record.Snapshot
}

func (r *latestRow) holds(signal mes.Signal) bool {
	return r.Kind == signal.Value.Kind() && r.Value == signal.Value.Text() && r.Unit == signal.Unit
}

// Latest lists newest values by site, machine and signal.
func (s *Store) Latest(ctx context.Context, f mes.LatestFilter) ([]mes.Latest, error) {
	if err := s.current(ctx); err != nil {
		return nil, err
	}
	q := newQuery("SELECT " + latestColumns + " FROM latest")
	q.equal("site_id", f.SiteID)
	q.equal("machine_id", f.MachineID)
	q.scope(f.Scope, "machine_id")
	if f.AfterSiteID != "" || f.AfterMachineID != "" || f.AfterSignalID != "" {
		q.where("(site_id, machine_id, signal) > (?, ?, ?)", f.AfterSiteID, f.AfterMachineID, f.AfterSignalID)
	}
	q.order("site_id", "machine_id", "signal")
	q.limit(f.Limit)
	var rows []latestRow
	if err := s.readers.SelectContext(ctx, &rows, q.text(), q.args...); err != nil {
		return nil, readError(err, "list newest values")
	}
	items := make([]mes.Latest, len(rows))
	for i := range rows {
		items[i] = rows[i].toDomain()
	}
	return items, nil
}
