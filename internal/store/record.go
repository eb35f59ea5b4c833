package store

import (
	"context"
	"time"

	"plantgate/internal/mes"
)

// recordColumns are the columns of recordRow, in order.
const recordColumns = `id, site_id, machine_id, data_type, time, sequence_given, sequence,
	time_origin, server_time, received_at, status, status_code, message_id, snapshot, flags,
	door, connection, address, format, signals, payload`

type recordRow struct {
	ID            uuid           `db:"id"`
	SiteID        string         `db:"site_id"`
	MachineID     string         `db:"machine_id"`
	DataType      mes.DataType   `db:"data_type"`
	Time          timestamp      `db:"time"`
	SequenceGiven bool           `db:"sequence_given"`
	Sequence      int64          `db:"sequence"`
	TimeOrigin    mes.TimeOrigin `db:"time_origin"`
	ServerTime    timestamp      `db:"server_time"`
	ReceivedAt    timestamp      `db:"received_at"`
	Status        mes.Status     `db:"status"`
	StatusCode    mes.StatusCode `db:"status_code"`
	MessageID     string         `db:"message_id"`
	Snapshot      bool           `db:"snapshot"`
	Flags         list[mes.Flag] `db:"flags"`
	Door          mes.Door       `db:"door"`
	Connection    string         `db:"connection"`
	Address       string         `db:"address"`
	Format        string         `db:"format"`
	Signals       signals        `db:"signals"`
	Payload       []byte         `db:"payload"`
}

func (r *recordRow) toDomain() mes.Record {
	record := mes.Record{
		ID: mes.ID(r.ID), SiteID: r.SiteID, MachineID: r.MachineID, DataType: r.DataType,
		Time: r.Time.Time, TimeOrigin: r.TimeOrigin,
		ServerTime: r.ServerTime.Time, ReceivedAt: r.ReceivedAt.Time,
		Status: r.Status, StatusCode: r.StatusCode, MessageID: r.MessageID,
		Signals: r.Signals, Snapshot: r.Snapshot, Flags: r.Flags,
		Origin: mes.Origin{
			Door: r.Door, Connection: r.Connection, Address: r.Address, Format: r.Format,
		},
		Payload: r.Payload,
	}
	if r.SequenceGiven {
		record.Sequence = &r.Sequence
	}
	return record
}

// Record returns the record, or an error of CodeNotFound.
func (s *Store) Record(ctx context.Context, id mes.ID) (mes.Record, error) {
	var rows []recordRow
	err := s.readers.SelectContext(ctx, &rows,
		"SELECT "+recordColumns+" FROM record WHERE id = ?", uuid(id))
	if err != nil {
		return mes.Record{}, readError(err, "read a record")
	}
	if len(rows) == 0 {
		return mes.Record{}, mes.Errorf(mes.CodeNotFound, "there is no record %s", id)
	}
	return rows[0].toDomain(), nil
}

// Records lists records in the order of mes.Position. The list is stable: a
// record that arrives meanwhile stands in it or not, and moves no other.
func (s *Store) Records(ctx context.Context, f mes.RecordFilter) ([]mes.Record, error) {
	q := recordQuery(f)
	var rows []recordRow
	if err := s.readers.SelectContext(ctx, &rows, q.text(), q.args...); err != nil {
		return nil, readError(err, "list records")
	}
	records := make([]mes.Record, len(rows))
	for i := range rows {
		records[i] = rows[i].toDomain()
	}
	return records, nil
}

// recordQuery is the query of a list. A list of one machine of one site walks
// the machine's own index, any other that of time; what else is asked for is
// looked up in the rows on the way.
func recordQuery(f mes.RecordFilter) *query {
	q := newQuery("SELECT " + recordColumns + " FROM " + recordByTimeSQLite)
	if f.SiteID != "" && f.MachineID != "" {
		q = newQuery("SELECT " + recordColumns + " FROM " + recordByMachineSQLite)
	}
	q.equal("site_id", f.SiteID)
	q.equal("machine_id", f.MachineID)
	q.scope(f.Scope, "machine_id")
	q.equal("data_type", string(f.DataType))
	q.equal("door", string(f.Door))
	q.equal("status", string(f.Status))
	from, to := openBounds(f)
	if !from.IsZero() {
		q.where("time >= ?", timestamp{from})
	}
	if !to.IsZero() {
		q.where("time < ?", timestamp{to})
	}
	direction, comparison := "", ">"
	if f.Descending {
		direction, comparison = " DESC", "<"
	}
	if f.After != nil {
		given, sequence := sequenceColumns(f.After.Sequence)
		q.where("(time, sequence_given, sequence, id) "+comparison+" (?, ?, ?, ?)",
			timestamp{f.After.Time}, given, sequence, uuid(f.After.ID))
	}
	q.order("time"+direction, "sequence_given"+direction, "sequence"+direction, "id"+direction)
	q.limit(f.Limit)
	return q
}

// openBounds leaves out the bound that the position of a page implies. An index
// is entered by one bound only: with both, each page might be found by reading
// all the pages before it.
func openBounds(f mes.RecordFilter) (from, to time.Time) {
	from, to = f.From, f.To
	switch {
	case f.After == nil:
	case !f.Descending && !f.After.Time.Before(from):
		from = time.Time{}
	case f.Descending && f.After.Time.Before(to):
		to = time.Time{}
	}
	return from, to
}

// sequenceColumns returns a sequence as the two columns that sort it, none first.
func sequenceColumns(sequence *int64) (given bool, value int64) {
	if sequence == nil {
		return false, 0
	}
	return true, *sequence
}
