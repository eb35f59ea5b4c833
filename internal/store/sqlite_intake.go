package store

import (
	"context"
	"database/sql/driver"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
)

var (
	nextPosition  = statement{sqlite: "SELECT coalesce(max(position), 0) + 1 FROM record"}
	insertArrival = statement{sqlite: `INSERT INTO arrival (lane, unit, time, sequence_given, sequence, id)
		VALUES (?, ?, ?, ?, ?, ?)`}
)

// insertRecords implements database.
func (db *sqliteDB) insertRecords(ctx context.Context, t *intakeTx, rows []arrivalRow) (map[mes.ID]struct{}, error) {
	if err := t.prove(ctx, t.owners...); err != nil {
		return nil, err
	}
	created := make(map[mes.ID]struct{}, len(rows))
	row := make([]driver.NamedValue, columnsOfRecord)
	args := make([]any, columnsOfRecord)
	for i := range rows {
		r := rows[i].record
		var position int64
		if _, err := t.get(ctx, &position, nextPosition); err != nil {
			return nil, err
		}
		row[columnUnit].Value, row[columnPosition].Value, row[columnOrigin].Value = rows[i].unit, position, rows[i].origin
		if err := bindRecord(row, r); err != nil {
			return nil, err
		}
		for j := range row {
			args[j] = row[j].Value
		}
		n, err := t.execCount(ctx, insertRecord, args...)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			continue
		}
		created[r.ID] = struct{}{}
		given, sequence := sequenceColumns(r.Sequence)
		err = t.exec(ctx, insertArrival, rows[i].unit%Lanes, rows[i].unit, timestamp{r.Time}, given, sequence, uuid(r.ID))
		if err != nil {
			return nil, err
		}
	}
	return created, nil
}

// registerUnits implements database.
func (db *sqliteDB) registerUnits(ctx context.Context, t *Tx, list []sighting) error {
	for _, s := range list {
		if err := t.register(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// putDeliveries implements database.
func (db *sqliteDB) putDeliveries(ctx context.Context, t *Tx, list []journal.Delivery, _ ingest.LedgerWindow) error {
	for i := range list {
		if err := t.putDelivery(ctx, &list[i]); err != nil {
			return err
		}
	}
	return nil
}
