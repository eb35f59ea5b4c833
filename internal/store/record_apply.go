package store

import (
	"cmp"
	"context"
	"database/sql/driver"
	"slices"

	"plantgate/internal/journal"
	"plantgate/internal/mes"
)

var insertRecord = statement{sqlite: "INSERT INTO record (" + recordColumns + `)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`}

// PutRecords is the step that stores the records, unit by unit in the order of the
// table, so that neighbours come to stand in the same page one after the other.
func PutRecords(ctx context.Context, t *Tx, b *journal.Batch) error {
	groups := slices.Clone(b.Units())
	number := func(u *journal.UnitRecords) int64 { return t.units[unitName{u.SiteID, u.MachineID}] }
	slices.SortFunc(groups, func(x, y *journal.UnitRecords) int { return cmp.Compare(number(x), number(y)) })
	origins, err := t.originNumbers(ctx, b)
	if err != nil {
		return t.store.db.writeFault(err, "store the origins of records")
	}
	row := make([]driver.NamedValue, columnsOfRecord)
	for i := range row {
		row[i].Ordinal = i + 1
	}
	err = t.bulk(ctx, insertRecord, func(exec func([]driver.NamedValue) error) error {
		for _, u := range groups {
			row[columnUnit].Value = number(u)
			for _, place := range u.Places {
				row[columnPosition].Value = b.FirstArrival + int64(place)
				row[columnOrigin].Value = origins[place]
				if err := bindRecord(row, &b.Records[place]); err != nil {
					return err
				}
				if err := exec(row); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return t.store.db.writeFault(err, "store records")
}

// bindRecord sets what the record says of itself.
func bindRecord(row []driver.NamedValue, r *mes.Record) error {
	given, sequence := sequenceColumns(r.Sequence)
	text, err := signals(r.Signals).Value()
	if err != nil {
		return err
	}
	row[columnTime].Value = r.Time.UnixMicro()
	row[columnSequenceGiven].Value, row[columnSequence].Value = given, sequence
	row[columnID].Value = r.ID[:]
	row[columnDataType].Value = string(r.DataType)
	row[columnTimeOrigin].Value = string(r.TimeOrigin)
	row[columnServerTime].Value = nil
	if !r.ServerTime.IsZero() {
		row[columnServerTime].Value = r.ServerTime.UnixMicro()
	}
	row[columnReceivedAt].Value = r.ReceivedAt.UnixMicro()
	row[columnStatus].Value = string(r.Status)
	row[columnStatusCode].Value = int64(r.StatusCode)
	row[columnMessageID].Value = nil
	if r.MessageID != "" {
		row[columnMessageID].Value = r.MessageID
	}
	row[columnSnapshot].Value = r.Snapshot
	row[columnFlags].Value = nil
	if len(r.Flags) > 0 {
		flags, err := list[mes.Flag](r.Flags).Value()
		if err != nil {
			return err
		}
		row[columnFlags].Value = flags
	}
	row[columnSignals].Value = text
	row[columnPayload].Value = nil
	if r.Payload != nil {
		row[columnPayload].Value = r.Payload
	}
	return nil
}
