package store

import (
	"context"
	"database/sql"
	"database/sql/driver"

	"plantgate/internal/journal"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
)

// arrivalColumns are those of record, before which the number of the arrival stands.
const arrivalColumns = `a.position AS arrival, r.unit, r.time, r.sequence_given, r.sequence, r.id, r.position, r.data_type,
	r.time_origin, r.server_time, r.received_at, r.status, r.status_code, r.message_id, r.snapshot, r.flags, r.origin,
	r.signals, r.payload`

// An arrival whose record is not there any more is read, to be taken away.
const arrivedRecords = ` FROM arrival AS a
	LEFT JOIN record AS r ON r.unit = a.unit AND r.time = a.time AND r.sequence_given = a.sequence_given
		AND r.sequence = a.sequence AND r.id = a.id`

var (
	// The first rows of each lane, as many as the last argument says, in their order.
	arrivalsOfLane = statement{
		sqlite: "SELECT " + arrivalColumns + arrivedRecords + " WHERE a.lane = ? ORDER BY a.position LIMIT ?",
		sqlserver: "SELECT x.* FROM " + rowsOf("lane INT") + `
			CROSS APPLY (SELECT TOP (@p4) ` + arrivalColumns + arrivedRecords + ` WHERE a.lane = j.lane ORDER BY a.position) AS x
			ORDER BY x.arrival`,
	}
	deleteArrivals = statement{
		sqlite: "DELETE FROM arrival WHERE position = ?",
		sqlserver: `DELETE a FROM arrival AS a
			JOIN ` + rowsOf("position BIGINT") + ` ON j.position = a.position`,
	}
	newestArrival = portable("SELECT MAX(position) FROM arrival")
	oldestArrival = portable("SELECT MIN(position) FROM arrival")
)

// NewestArrival returns the number of the newest record of which something is still to
// follow; 0 if there is none.
func (s *Store) NewestArrival(ctx context.Context) (int64, error) {
	return s.arrival(ctx, newestArrival)
}

// OldestArrival returns the number of the oldest; 0 if there is none.
func (s *Store) OldestArrival(ctx context.Context) (int64, error) {
	return s.arrival(ctx, oldestArrival)
}

func (s *Store) arrival(ctx context.Context, q statement) (int64, error) {
	var position sql.NullInt64
	err := s.lookUpRow(ctx, &position, q)
	return position.Int64, s.db.readFault(err, "read how much is to follow")
}

// Follow takes over about limit arrivals of the lanes: fn brings up to date what
// follows from them, in one transaction in which every lease is proven. It returns
// their numbers, those that it tried to take over if it fails. It is called by one
// goroutine at a time.
func (s *Store) Follow(ctx context.Context, lanes []int, leases []lease.Lease, limit int, fn func(*Tx, *journal.Batch) error) (taken []int64, err error) {
	owners := make([]mes.Ownership, len(leases))
	for i, l := range leases {
		owners[i] = l.Ownership()
	}
	tries := 0
	err = s.update(ctx, manner{deferred: true}, func(t *Tx) error {
		if tries++; tries > 1 { // it holds what was not committed
			s.latest.forget()
		}
		if err := t.prove(ctx, owners...); err != nil {
			return err
		}
		b := &journal.Batch{}
		var err error
		if taken, err = t.takeArrivals(ctx, b, lanes, limit); err != nil {
			return s.db.writeFault(err, "read what is to follow")
		}
		if len(b.Records) > 0 {
			if err := fn(t, b); err != nil {
				return err
			}
		}
		arguments := make([][]any, len(taken))
		for i, position := range taken {
			arguments[i] = []any{position}
		}
		return s.db.writeFault(t.each(ctx, deleteArrivals, arguments), "note what followed")
	})
	if err != nil {
		s.latest.forget()
	}
	return taken, err
}

// Skip implements follow.Store.
func (s *Store) Skip(ctx context.Context, arrival int64, l lease.Lease) error {
	return s.update(ctx, synced, func(t *Tx) error {
		if err := t.prove(ctx, l.Ownership()); err != nil {
			return err
		}
		return s.db.writeFault(t.each(ctx, deleteArrivals, [][]any{{arrival}}), "leave out what follows from a record")
	})
}

// takeArrivals adds the records of lanes to the batch, about as many of each, and returns
// the numbers of their arrivals.
func (t *Tx) takeArrivals(ctx context.Context, b *journal.Batch, lanes []int, limit int) ([]int64, error) {
	if t.units == nil {
		t.units = map[unitName]int64{}
	}
	var taken []int64
	take := func(row []driver.Value) error {
		taken = append(taken, integer(row[0]))
		if row[1+columnID] == nil {
			return nil
		}
		var r mes.Record
		if err := t.store.scanRecord(ctx, row[1:], &r); err != nil {
			return err
		}
		t.units[unitName{r.SiteID, r.MachineID}] = integer(row[1+columnUnit])
		b.Records = append(b.Records, r)
		return nil
	}
	arguments := make([][]any, len(lanes))
	for i, lane := range lanes {
		arguments[i] = []any{int64(lane)}
	}
	ofEach := int64(min(limit, max(limit/max(1, len(lanes)), leastOfLane)))
	err := t.eachRowOf(ctx, arrivalsOfLane, arguments, []any{ofEach}, 1+columnsOfRecord, take)
	return taken, err
}

// leastOfLane is how much of one lane is worth a transaction, be it the only busy one.
const leastOfLane = 512

// NoteSightings is the step that notes when and how the work units of a batch, all of
// them registered, were heard of.
func NoteSightings(ctx context.Context, t *Tx, b *journal.Batch) error {
	var list []sighting
	for _, u := range b.Units() {
		s := sightingOf(b, u)
		s.number = t.units[unitName{u.SiteID, u.MachineID}]
		list = append(list, s)
	}
	return t.store.db.writeFault(t.noteSightings(ctx, list), "note what equipment was heard of")
}

// ForgetFollowed drops what Follow remembers of newest values. It is called when a
// lane comes to this server, between two calls of Follow.
func (s *Store) ForgetFollowed() { s.latest.forget() }
