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
	r.Time = time.UnixMicro(integer(row[columnTime])).UTC()
	r.ReceivedAt = time.UnixMicro(integer(row[columnReceivedAt])).UTC()
	if row[columnServerTime] != nil {
		r.ServerTime = time.UnixMicro(integer(row[columnServerTime])).UTC()
	}
	if integer(row[columnSequenceGiven]) != 0 {
		sequence := integer(row[columnSequence])
		r.Sequence = &sequence
	}
	r.DataType = mes.DataType(text(row[columnDataType]))
	r.TimeOrigin = mes.TimeOrigin(text(row[columnTimeOrigin]))
	r.Status = mes.Status(text(row[columnStatus]))
	r.StatusCode = mes.StatusCode(integer(row[columnStatusCode]))
	r.MessageID = text(row[columnMessageID])
	r.Snapshot = integer(row[columnSnapshot]) != 0
	if err := (*list[mes.Flag])(&r.Flags).Scan(row[columnFlags]); err != nil {
		return err
	}
	r.Payload = octets(row[columnPayload])
	return (*signals)(&r.Signals).Scan(row[columnSignals])
}

// Record returns the record, or an error of CodeNotFound.
func (s *Store) Record(ctx context.Context, id mes.ID) (mes.Record, error) {
	if err := s.current(ctx); err != nil {
		return mes.Record{}, err
	}
	return s.storedRecord(ctx, id)
}

const recordByID = "SELECT " + recordColumns + ` FROM record INDEXED BY record_by_time
	WHERE time >= ? AND time < ? AND id = ?`

func (s *Store) storedRecord(ctx context.Context, id mes.ID) (mes.Record, error) {
	from, to := timesOf(id)
	var found *mes.Record
	err := s.eachRecord(ctx, recordByID, []any{from, to, id[:]}, func(r *mes.Record) error {
		found = r
		return nil
	})
	switch {
	case err != nil:
		return mes.Record{}, readError(err, "read a record")
	case found == nil:
		return mes.Record{}, mes.Errorf(mes.CodeNotFound, "there is no record %s", id)
	}
	return *found, nil
}

// timesOf returns the millisecond that an id of a record begins with, as bounds
// in microseconds.
func timesOf(id mes.ID) (from, to int64) {
	ms := int64(binary.BigEndian.Uint64(id[:8])) >> 16 // 48 bits with their sign
	return ms * 1000, ms*1000 + 1000
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
	q := recordQuery(f, unit)
	return readError(s.eachRecord(ctx, q.text(), q.args, yield), "list records")
}

// The walks that a list of records can take. They are named rather than left to
// the planner: without statistics it would sort a whole site to give the first
// hundred of its records.
const (
	recordByTime = "record INDEXED BY record_by_time"
	recordByUnit = "record"
)

// recordQuery is the query of a list. A list of one machine of one site walks
// the machine's own records, any other those of all by time; what else is asked
// for is looked up in the rows on the way.
func recordQuery(f mes.RecordFilter, unit int64) *query {
	q := newQuery("SELECT " + recordColumns + " FROM " + recordByTime)
	if unit != 0 {
		q = newQuery("SELECT " + recordColumns + " FROM " + recordByUnit)
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
		q.where("time >= ?", from.UnixMicro())
	}
	if !to.IsZero() {
		q.where("time < ?", to.UnixMicro())
	}
	direction, comparison := "", ">"
	if f.Descending {
		direction, comparison = " DESC", "<"
	}
	if f.After != nil {
		given, sequence := sequenceColumns(f.After.Sequence)
		q.where("(time, sequence_given, sequence, id) "+comparison+" (?, ?, ?, ?)",
			f.After.Time.UnixMicro(), given, sequence, f.After.ID[:])
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
