package store

import (
	"context"
	"database/sql/driver"

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
	q := s.newQuery("SELECT " + newestColumns + " FROM latest")
	q.equal("site_id", f.SiteID)
	q.equal("machine_id", f.MachineID)
	q.scope(f.Scope, "machine_id")
	if f.Signal != "" {
		q.equal("signal", s.db.asKey(f.Signal))
	}
	if f.AfterSiteID != "" || f.AfterMachineID != "" || f.AfterSignalID != "" {
		q.beyond([]string{"site_id", "machine_id", "signal"}, ">", f.AfterSiteID, f.AfterMachineID, s.db.asKey(f.AfterSignalID))
	}
	q.order("site_id", "machine_id", "signal")
	q.limit(f.Limit)
	var items []mes.Latest
	err := s.eachRow(ctx, q.statement(), q.args, columnsOfNewest, func(row []driver.Value) error {
		items = append(items, s.newest(row))
		return nil
	})
	if err != nil {
		return nil, s.db.readFault(err, "list newest values")
	}
	return items, nil
}

// newestColumns are what a reader sees of a newest value: the time, and the record,
// at which it was new; status code, door and receipt of the newest record that says so.
const newestColumns = `site_id, machine_id, signal, kind, value, unit, status_code, door, received_at,
	start_time, start_time_origin, start_id`

const columnsOfNewest = 12

func (s *Store) newest(row []driver.Value) mes.Latest {
	l := mes.Latest{
		SiteID: text(row[0]), MachineID: text(row[1]),
		Signal: mes.Signal{
			Name: s.db.ofKey(text(row[2])), Value: mes.Restore(mes.Kind(integer(row[3])), s.db.meant(text(row[4]))), Unit: s.db.meant(text(row[5])),
		},
		StatusCode: mes.StatusCode(integer(row[6])), Door: mes.Door(text(row[7])),
		ReceivedAt: moment(row[8]),
		Time:       moment(row[9]), TimeOrigin: mes.TimeOrigin(text(row[10])),
	}
	copy(l.RecordID[:], octets(row[11]))
	return l
}
