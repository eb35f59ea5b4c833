package store

import (
	"context"
	"strings"

	"plantgate/internal/journal"
	"plantgate/internal/mes"
)

const quarantineColumns = `id, state, received_at, door, connection, address, format, time_zone, site_id,
	machine_id, data_type, code, message, fields, resolved_at, resolved_by, record_id`

type quarantineRow struct {
	ID         uuid                 `db:"id"`
	State      mes.QuarantineState  `db:"state"`
	ReceivedAt timestamp            `db:"received_at"`
	Door       mes.Door             `db:"door"`
	Connection string               `db:"connection"`
	Address    string               `db:"address"`
	Format     string               `db:"format"`
	TimeZone   string               `db:"time_zone"`
	SiteID     string               `db:"site_id"`
	MachineID  string               `db:"machine_id"`
	DataType   mes.DataType         `db:"data_type"`
	Code       mes.Code             `db:"code"`
	Message    string               `db:"message"`
	Fields     list[mes.FieldError] `db:"fields"`
	ResolvedAt timestamp            `db:"resolved_at"`
	ResolvedBy string               `db:"resolved_by"`
	RecordID   uuid                 `db:"record_id"`
	RawSize    int64                `db:"raw_size"`
	Raw        []byte               `db:"raw"`
}

func (r *quarantineRow) toDomain(db database) mes.QuarantineItem {
	return mes.QuarantineItem{
		ID: mes.ID(r.ID), State: r.State, ReceivedAt: r.ReceivedAt.Time,
		Origin: mes.Origin{Door: r.Door, Connection: r.Connection, Address: r.Address, Format: r.Format, TimeZone: r.TimeZone},
		SiteID: db.meant(r.SiteID), MachineID: db.meant(r.MachineID), DataType: mes.DataType(db.meant(string(r.DataType))),
		Reason:     mes.Error{Code: r.Code, Message: db.meant(r.Message), Fields: r.Fields},
		Raw:        r.Raw,
		RawSize:    r.RawSize,
		ResolvedAt: r.ResolvedAt.Time, ResolvedBy: r.ResolvedBy, RecordID: mes.ID(r.RecordID),
	}
}

var (
	quarantineItem = statement{
		sqlite:    "SELECT " + quarantineColumns + ", length(raw) AS raw_size, raw FROM quarantine WHERE id = ?",
		sqlserver: "SELECT " + quarantineColumns + ", DATALENGTH(raw) AS raw_size, raw FROM quarantine WHERE id = @p1",
	}
	quarantineList = statement{
		sqlite:    "SELECT " + quarantineColumns + ", length(raw) AS raw_size FROM quarantine",
		sqlserver: "SELECT " + quarantineColumns + ", DATALENGTH(raw) AS raw_size FROM quarantine",
	}
	insertQuarantine = portable("INSERT INTO quarantine (" + quarantineColumns + `, raw)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM quarantine WHERE id = ?)`)
	resolveQuarantine = portable(`UPDATE quarantine SET state = ?, resolved_at = ?, resolved_by = ?, record_id = ?
		WHERE id = ? AND state = ?`)
)

// QuarantineItem returns an item with its raw bytes, or an error of
// CodeNotFound.
func (s *Store) QuarantineItem(ctx context.Context, id mes.ID) (mes.QuarantineItem, error) {
	if err := s.current(ctx); err != nil {
		return mes.QuarantineItem{}, err
	}
	var rows []quarantineRow
	err := s.selectRows(ctx, &rows, quarantineItem, uuid(id))
	if err != nil {
		return mes.QuarantineItem{}, s.db.readFault(err, "read a quarantined item")
	}
	if len(rows) == 0 {
		return mes.QuarantineItem{}, mes.Errorf(mes.CodeNotFound, "there is no quarantined item %s", id)
	}
	return rows[0].toDomain(s.db), nil
}

// QuarantineItems lists items, oldest first, without their raw bytes.
func (s *Store) QuarantineItems(ctx context.Context, f mes.QuarantineFilter) ([]mes.QuarantineItem, error) {
	if err := s.current(ctx); err != nil {
		return nil, err
	}
	q := s.quarantineQuery(f)
	var rows []quarantineRow
	if err := s.selectRows(ctx, &rows, q.statement(), q.args...); err != nil {
		return nil, s.db.readFault(err, "list quarantined items")
	}
	items := make([]mes.QuarantineItem, len(rows))
	for i := range rows {
		items[i] = rows[i].toDomain(s.db)
	}
	return items, nil
}

func (s *Store) quarantineQuery(f mes.QuarantineFilter) *query {
	q := s.newQuery(s.db.text(quarantineList))
	q.equal("state", string(f.State))
	q.equal("door", string(f.Door))
	q.equal("site_id", f.SiteID)
	q.scope(f.Scope, "machine_id")
	if !f.After.IsZero() {
		q.where("id > ?", uuid(f.After))
	}
	q.order("id")
	q.limit(f.Limit)
	return q
}

// quarantinedAmong finds which of ids are of quarantined items: of so many arguments in
// SQLite, of any number of rows in SQL Server.
func quarantinedAmong(n int) statement {
	return statement{
		sqlite:    "SELECT id FROM quarantine WHERE id IN (?" + strings.Repeat(", ?", n-1) + ")",
		sqlserver: "SELECT q.id FROM " + rowsOf("id BINARY(16)") + " JOIN quarantine AS q ON q.id = j.id",
	}
}

// QuarantinedAmong tells which of the ids are of quarantined items, in whatever state. It
// does not wait for what is on its way.
func (s *Store) QuarantinedAmong(ctx context.Context, ids []mes.ID) (map[mes.ID]struct{}, error) {
	found := map[mes.ID]struct{}{}
	if len(ids) == 0 {
		return found, nil
	}
	args, rows := make([]any, len(ids)), make([][]any, len(ids))
	for i, id := range ids {
		args[i], rows[i] = uuid(id), []any{uuid(id)}
	}
	if _, embedded := s.db.(*sqliteDB); !embedded {
		var err error
		if args, err = sentRows(rows); err != nil {
			return nil, err
		}
	}
	var list []uuid
	if err := s.selectRows(ctx, &list, quarantinedAmong(len(ids)), args...); err != nil {
		return nil, s.db.readFault(err, "look for quarantined items")
	}
	for _, id := range list {
		found[mes.ID(id)] = struct{}{}
	}
	return found, nil
}

// PutQuarantine is the step that keeps items that could not be accepted, and closes
// those that were replayed or discarded.
func PutQuarantine(ctx context.Context, t *Tx, b *journal.Batch) error {
	for i := range b.Items {
		if err := t.putItem(ctx, &b.Items[i]); err != nil {
			return t.store.db.writeFault(err, "quarantine an item")
		}
	}
	for i := range b.Resolved {
		if _, err := t.resolveItem(ctx, &b.Resolved[i]); err != nil {
			return t.store.db.writeFault(err, "resolve a quarantined item")
		}
	}
	return nil
}

func (t *Tx) putItem(ctx context.Context, item *mes.QuarantineItem) error {
	sent := t.store.db.sent
	return t.exec(ctx, insertQuarantine,
		uuid(item.ID), string(openIfUnset(item.State)), timestamp{item.ReceivedAt},
		string(item.Origin.Door), item.Origin.Connection, item.Origin.Address, item.Origin.Format, item.Origin.TimeZone,
		sent(item.SiteID), sent(item.MachineID), sent(string(item.DataType)),
		string(item.Reason.Code), sent(item.Reason.Message), list[mes.FieldError](item.Reason.Fields),
		timestamp{item.ResolvedAt}, item.ResolvedBy, uuid(item.RecordID), bytesOf(item.Raw), uuid(item.ID))
}

func (t *Tx) resolveItem(ctx context.Context, item *mes.QuarantineItem) (int64, error) {
	return t.execCount(ctx, resolveQuarantine,
		string(item.State), timestamp{item.ResolvedAt}, item.ResolvedBy, uuid(item.RecordID),
		uuid(item.ID), string(mes.QuarantineOpen))
}

func openIfUnset(s mes.QuarantineState) mes.QuarantineState {
	if s == "" {
		return mes.QuarantineOpen
	}
	return s
}

// bytesOf makes no bytes an empty value rather than NULL.
func bytesOf(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
