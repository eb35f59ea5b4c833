package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
)

// arrivingRows are those records of one commit that are not there, as arrivingRow makes
// them.
var arrivingRows = rowsOf("unit BIGINT", "time DATETIME2(6)", "sequence_given BIT", "sequence BIGINT", "id BINARY(16)",
	"data_type NVARCHAR(20)", "time_origin NVARCHAR(10)", "server_time DATETIME2(6)", "received_at DATETIME2(6)",
	"status NVARCHAR(20)", "status_code BIGINT", "message_id NVARCHAR(256)", "snapshot BIT", "flags NVARCHAR(400)",
	"origin BIGINT", "signals NVARCHAR(MAX)", "payload NVARCHAR(MAX)") + `
	WHERE NOT EXISTS (SELECT 1 FROM record AS r WHERE r.id = j.id)`

// insertArriving stores what is new of the records, and answers their ids. After the
// arguments of the rows it takes those of proveLease for each lease. If it is a whole
// transaction it begins and commits it, and whatever fails undoes all of it.
func insertArriving(leases int, whole bool) string {
	var b strings.Builder
	b.WriteString(proofs(argumentsOfRows, leases))
	b.WriteString(`DECLARE @arrived TABLE (lane INT, unit BIGINT, time DATETIME2(6), sequence_given BIT, sequence BIGINT, id BINARY(16));
	INSERT INTO record (unit, time, sequence_given, sequence, id, data_type, time_origin, server_time,
		received_at, status, status_code, message_id, snapshot, flags, origin, signals, payload)
	OUTPUT inserted.unit, inserted.time, inserted.sequence_given, inserted.sequence, inserted.id
		INTO @arrived (unit, time, sequence_given, sequence, id)
	SELECT j.unit, j.time, j.sequence_given, j.sequence, j.id, j.data_type, j.time_origin, j.server_time,
		j.received_at, j.status, j.status_code, j.message_id, j.snapshot, j.flags, j.origin, j.signals, j.payload
	FROM ` + arrivingRows + `;
	INSERT INTO arrival (lane, unit, time, sequence_given, sequence, id)
	SELECT unit % ` + strconv.Itoa(Lanes) + `, unit, time, sequence_given, sequence, id FROM @arrived;
	SELECT id FROM @arrived;`)
	if whole {
		return wholeTransaction(b.String())
	}
	return b.String()
}

// insertRecords implements database.
func (db *sqlServerDB) insertRecords(_ context.Context, t *intakeTx, rows []arrivalRow) (map[mes.ID]struct{}, error) {
	session := t.session.(*sqlServerSession)
	list := make([][]any, len(rows))
	for i := range rows {
		var err error
		if list[i], err = arrivingRow(&rows[i]); err != nil {
			return nil, err
		}
	}
	args, err := sentRows(list)
	if err != nil {
		return nil, err
	}
	args = append(args, argumentsOfProofs(t.owners)...)
	var at interface {
		SelectContext(ctx context.Context, dest any, query string, args ...any) error
	} = db.writers
	whole := t.last && session.mayCommitAtOnce()
	if !whole {
		if at, err = session.begun(); err != nil {
			return nil, err
		}
	}
	var ids []uuid
	if err := at.SelectContext(session.ctx, &ids, session.impatient+insertArriving(len(t.owners), whole), args...); err != nil {
		return nil, err
	}
	created := make(map[mes.ID]struct{}, len(ids))
	for _, id := range ids {
		created[mes.ID(id)] = struct{}{}
	}
	return created, nil
}

// arrivingRow is a row of arrivingRows.
func arrivingRow(a *arrivalRow) ([]any, error) {
	r := a.record
	given, sequence := sequenceColumns(r.Sequence)
	text, err := signals(r.Signals).Value()
	if err != nil {
		return nil, err
	}
	row := []any{
		a.unit, timestamp{r.Time}, given, sequence, uuid(r.ID), string(r.DataType), string(r.TimeOrigin), timestamp{datable(r.ServerTime)},
		timestamp{r.ReceivedAt}, string(r.Status), int64(r.StatusCode), nil, r.Snapshot, nil, a.origin, maxText(text.(string)), nil,
	}
	if r.MessageID != "" {
		row[11] = withoutNUL.Replace(r.MessageID)
	}
	if len(r.Flags) > 0 {
		if row[13], err = list[mes.Flag](r.Flags).Value(); err != nil {
			return nil, err
		}
	}
	if r.Payload != nil {
		row[16] = maxText(r.Payload)
	}
	return row, nil
}

// datable is a time that DATETIME2 can hold, else none: an OPC UA server may say any.
func datable(t time.Time) time.Time {
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		return time.Time{}
	}
	return t
}

// unitRows are work units that were heard of.
var unitRows = rowsOf("site_id NVARCHAR(128)", "id NVARCHAR(128)", "first_received DATETIME2(6)")

// Of servers that register at once, one numbers a unit and the others begin again.
var (
	registerNew = statement{sqlserver: `INSERT INTO equipment
			(site_id, id, level, name, time_zone, auto_registered, created_at, doors, number)
		SELECT j.site_id, j.id, N'work_unit', N'', N'', 1, j.first_received, 0,
			(SELECT COALESCE(MAX(number), 0) FROM equipment WHERE number IS NOT NULL) + ROW_NUMBER() OVER (ORDER BY j.site_id, j.id)
		FROM ` + unitRows + `
		WHERE NOT EXISTS (SELECT 1 FROM equipment AS e WHERE e.site_id = j.site_id AND e.id = j.id)`}
	numbersOfUnits = statement{sqlserver: `SELECT e.site_id, e.id, e.number FROM ` + unitRows + `
		JOIN equipment AS e ON e.site_id = j.site_id AND e.id = j.id`}
	numberUnit = statement{sqlserver: `UPDATE equipment
		SET number = (SELECT COALESCE(MAX(number), 0) + 1 FROM equipment WHERE number IS NOT NULL)
		WHERE site_id = @p1 AND id = @p2 AND number IS NULL`}
)

type numberedUnitRow struct {
	SiteID string `db:"site_id"`
	ID     string `db:"id"`
	Number *int64 `db:"number"`
}

// registerUnits implements database.
func (db *sqlServerDB) registerUnits(ctx context.Context, t *Tx, units []sighting) error {
	arguments := make([][]any, len(units))
	for i, u := range units {
		arguments[i] = []any{u.siteID, u.machineID, timestamp{u.firstReceived}}
	}
	rows, err := selectEach[numberedUnitRow](ctx, t, numbersOfUnits, arguments)
	if err != nil {
		return err
	}
	if len(rows) < len(units) {
		if err := t.each(ctx, registerNew, arguments); err != nil {
			return err
		}
		if rows, err = selectEach[numberedUnitRow](ctx, t, numbersOfUnits, arguments); err != nil {
			return err
		}
	}
	for _, row := range rows {
		if row.Number == nil { // known by name, and never heard of
			if err := t.exec(ctx, numberUnit, row.SiteID, row.ID); err != nil {
				return err
			}
			var number int64
			if _, err := t.get(ctx, &number, numberOfUnit, row.SiteID, row.ID); err != nil {
				return err
			}
			row.Number = &number
		}
		t.numbered(row.SiteID, row.ID, *row.Number)
	}
	return nil
}

// forgetNames removes entries that do not count any more.
var forgetNames = statement{sqlserver: `DELETE d FROM delivery AS d
	JOIN ` + rowsOf("kind NVARCHAR(10)", "site_id NVARCHAR(128)", "machine_id NVARCHAR(128)", "key NVARCHAR(400)", "since DATETIME2(6)") + `
		ON d.kind = j.kind AND d.site_id = j.site_id AND d.machine_id = j.machine_id AND d.[key] = j.[key]
	WHERE d.arrived_at <= j.since`}

// insertDeliveries inserts so many entries.
func insertDeliveries(n int) statement {
	return portable("INSERT INTO delivery (kind, site_id, machine_id, [key], hash, record_id, status, arrived_at) VALUES " +
		strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?, ?, ?, ?), ", n), ", "))
}

// deliveriesAtOnce is bounded by the 2098 parameters of a statement. Other numbers are
// powers of two, so that there are few statements to be planned.
const deliveriesAtOnce = 256

// putDeliveries implements database. It fails where another server adds the same name
// at once: this one begins again and finds it.
func (db *sqlServerDB) putDeliveries(ctx context.Context, t *Tx, list []journal.Delivery, window ingest.LedgerWindow) error {
	names := make([][]any, len(list))
	for i := range list {
		d := &list[i]
		since := window.MessagesSince
		if d.Kind == journal.DeliveryKey {
			since = window.KeysSince
		}
		names[i] = []any{string(d.Kind), d.SiteID, d.MachineID, db.asKey(d.Key), timestamp{mes.Micros(since)}}
	}
	if err := t.each(ctx, forgetNames, names); err != nil {
		return err
	}
	for n := deliveriesAtOnce; len(list) > 0; {
		for n > len(list) {
			n /= 2
		}
		var args []any
		for i := range list[:n] {
			d := &list[i]
			args = append(args, string(d.Kind), d.SiteID, d.MachineID, db.asKey(d.Key), digest(d.Hash), uuid(d.RecordID),
				string(d.Status), timestamp{d.ArrivedAt})
		}
		if err := t.exec(ctx, insertDeliveries(n), args...); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}
