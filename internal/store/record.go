package store

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"time"

	"plantgate/internal/mes"
)

// recordColumns are the columns of record, in order.
const recordColumns = `unit, time, sequence_given, sequence, id, position, data_type, time_origin, server_time,
	received_at, status, status_code, message_id, snapshot, flags, origin, signals, payload`

// The places of the columns in a row.
const (
	columnUnit = iota
	columnTime
	columnSequenceGiven
	columnSequence
	columnID
	columnPosition
	columnDataType
	columnTimeOrigin
	columnServerTime
	columnReceivedAt
	columnStatus
	columnStatusCode
	columnMessageID
	columnSnapshot
	columnFlags
	columnOrigin
	columnSignals
	columnPayload
	columnsOfRecord
)

// scanRecord makes a record of a row. Unit and origin are numbers in it, whose
// meaning is looked up.
func (s *Store) scanRecord(ctx context.Context, row []driver.Value, r *mes.Record) error {
	unit, err := s.units.name(ctx, integer(row[columnUnit]))
	if err != nil {
		return err
	}
	r.SiteID, r.MachineID = unit.siteID, unit.machineID
	if r.Origin, err = s.origins.origin(ctx, integer(row[columnOrigin])); err != nil {
		return err
	}
	copy(r.ID[:], octets(row[columnID]))
	r.Time = moment(row[columnTime])
	r.ReceivedAt = moment(row[columnReceivedAt])
	r.ServerTime = moment(row[columnServerTime])
	if integer(row[columnSequenceGiven]) != 0 {
		sequence := integer(row[columnSequence])
		r.Sequence = &sequence
	}
	r.DataType = mes.DataType(text(row[columnDataType]))
	r.TimeOrigin = mes.TimeOrigin(text(row[columnTimeOrigin]))
	r.Status = mes.Status(text(row[columnStatus]))
	r.StatusCode = mes.StatusCode(integer(row[columnStatusCode]))
	r.MessageID = s.db.meant(text(row[columnMessageID]))
	r.Snapshot = integer(row[columnSnapshot]) != 0
	if err := (*list[mes.Flag])(&r.Flags).Scan(row[columnFlags]); err != nil {
		return err
	}
	r.Payload = payload(row[columnPayload])
	return (*signals)(&r.Signals).Scan(row[columnSignals])
}

// Record returns the record, or an error of CodeNotFound.
func (s *Store) Record(ctx context.Context, id mes.ID) (mes.Record, error) {
	if err := s.current(ctx); err != nil {
		return mes.Record{}, err
	}
	return s.storedRecord(ctx, id)
}

// recordByID looks where the id says that its record is.
var recordByID = statement{
	sqlite: "SELECT " + recordColumns + ` FROM record INDEXED BY record_by_time
		WHERE time >= ? AND time < ? AND id = ?`,
	sqlserver: "SELECT " + recordColumns + " FROM record WHERE time >= @p1 AND time < @p2 AND id = @p3",
}

func (s *Store) storedRecord(ctx context.Context, id mes.ID) (mes.Record, error) {
	from, to := timesOf(id)
	var found *mes.Record
	err := s.eachRecord(ctx, recordByID, []any{timestamp{from}, timestamp{to}, uuid(id)}, func(r *mes.Record) error {
		found = r
		return nil
	})
	switch {
	case err != nil:
		return mes.Record{}, s.db.readFault(err, "read a record")
	case found == nil:
		return mes.Record{}, mes.Errorf(mes.CodeNotFound, "there is no record %s", id)
	}
	return *found, nil
}

// timesOf returns the millisecond that an id of a record begins with.
func timesOf(id mes.ID) (from, to time.Time) {
	ms := int64(binary.BigEndian.Uint64(id[:8])) >> 16 // 48 bits with their sign
	return time.UnixMilli(ms).UTC(), time.UnixMilli(ms + 1).UTC()
}

// Records lists records in the order of mes.Position. The list is stable: a
// record that arrives meanwhile stands in it or not, and moves no other.
func (s *Store) Records(ctx context.Context, f mes.RecordFilter) ([]mes.Record, error) {
	if err := s.current(ctx); err != nil {
		return nil, err
	}
	records := []mes.Record{}
	err := s.EachRecord(ctx, f, func(r *mes.Record) error {
		records = append(records, *r)
		return nil
	})
	return records, err
}

// EachRecord calls yield for each record that is applied, in the order of
// mes.Position, without holding them in memory. It ends with the first error of
// yield.
func (s *Store) EachRecord(ctx context.Context, f mes.RecordFilter, yield func(*mes.Record) error) error {
	var unit int64
	if f.SiteID != "" && f.MachineID != "" {
		var known bool
		var err error
		if unit, known, err = s.unitNumber(ctx, f.SiteID, f.MachineID); err != nil || !known {
			return err
		}
	}
	q := s.recordQuery(f, unit)
	return s.db.readFault(s.eachRecord(ctx, q.statement(), q.args, yield), "list records")
}

// The walk that a list of all records takes is named to SQLite rather than left to
// its planner: without statistics it would sort a whole site to give the first
// hundred of its records.
var recordByTime = statement{sqlite: "record INDEXED BY record_by_time", sqlserver: "record"}

// recordQuery is the query of a list. A list of one machine of one site walks
// the machine's own records, any other those of all by time; what else is asked
// for is looked up in the rows on the way.
func (s *Store) recordQuery(f mes.RecordFilter, unit int64) *query {
	q := s.newQuery("SELECT " + recordColumns + " FROM " + s.db.text(recordByTime))
	if unit != 0 {
		q = s.newQuery("SELECT " + recordColumns + " FROM record")
		q.where("unit = ?", unit)
	} else {
		q.equal(siteOfRecord, f.SiteID)
		q.equal(machineOfRecord, f.MachineID)
	}
	q.oneOf(siteOfRecord, f.Scope.Sites)
	q.oneOf(machineOfRecord, f.Scope.Machines)
	q.equal("data_type", string(f.DataType))
	q.equal("(SELECT door FROM origin WHERE number = record.origin)", string(f.Door))
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
		q.beyond([]string{"time", "sequence_given", "sequence", "id"}, comparison,
			timestamp{f.After.Time}, given, sequence, uuid(f.After.ID))
	}
	q.order("time"+direction, "sequence_given"+direction, "sequence"+direction, "id"+direction)
	q.limit(f.Limit)
	return q
}

// Site and machine of a row are looked up row by row, as far as the list is read.
const (
	siteOfRecord    = "(SELECT site_id FROM equipment WHERE number = record.unit)"
	machineOfRecord = "(SELECT equipment.id FROM equipment WHERE number = record.unit)"
)

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
func sequenceColumns(sequence *int64) (given, value int64) {
	if sequence == nil {
		return 0, 0
	}
	return 1, *sequence
}
