package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"

	"plantgate/internal/mes"
	"plantgate/internal/mesdata"
)

// tableBefore is a table of an older installation. Its statements are made of the names of
// its columns, which nobody knew before.
type tableBefore struct {
	store  *Store
	layout mesdata.Layout
	// query reads its columns in the order of cells; after is the condition that rows come
	// after those of a page, "" if all are read by one query.
	query, after, order string
	// rows returns what makes rows of the cells of one reading.
	rows func() func(cells []driver.Value) (mesdata.Row, error)
}

// columnBefore is a column of such a table, with its type in small letters.
type columnBefore struct {
	Name string `db:"name"`
	Type string `db:"type"`
	// Key is its place in the primary key; 0 if it is not part of it.
	Key int64 `db:"key_place"`
}

// The cells of a row as they are selected.
const (
	cellKey = iota
	cellDataType
	cellPayload
	cellMachine
	cellSite
	cellTime
	cellTimeKind
	cellPage
	cellsOfRow
)

var columnsBefore = statement{
	sqlite: "SELECT name, lower(type) AS type, pk AS key_place FROM pragma_table_info(?) ORDER BY cid",
	sqlserver: `SELECT c.COLUMN_NAME AS name, LOWER(c.DATA_TYPE) AS type, COALESCE(k.place, 0) AS key_place
		FROM INFORMATION_SCHEMA.COLUMNS AS c
		LEFT JOIN (SELECT u.COLUMN_NAME AS name, u.ORDINAL_POSITION AS place
			FROM INFORMATION_SCHEMA.TABLE_CONSTRAINTS AS t
			JOIN INFORMATION_SCHEMA.KEY_COLUMN_USAGE AS u ON u.TABLE_SCHEMA = t.TABLE_SCHEMA AND u.TABLE_NAME = t.TABLE_NAME
				AND u.CONSTRAINT_NAME = t.CONSTRAINT_NAME
			WHERE t.CONSTRAINT_TYPE = N'PRIMARY KEY' AND t.TABLE_SCHEMA = SCHEMA_NAME() AND t.TABLE_NAME = @p1) AS k
			ON LOWER(k.name) = LOWER(c.COLUMN_NAME)
		WHERE c.TABLE_SCHEMA = SCHEMA_NAME() AND c.TABLE_NAME = @p1 ORDER BY c.ORDINAL_POSITION`,
}

// TableBefore finds a table (DataType, Payload) of an older installation. timeColumn names
// its column of times; "" is Timestamp, ReceivedAt or CreatedAt, if there is one.
func (s *Store) TableBefore(ctx context.Context, name, timeColumn string) (mesdata.Table, error) {
	const doing = "look at a table"
	kind, written, err := s.owner(ctx, s.readers.DB, name)
	switch {
	case err != nil:
		return nil, s.db.readFault(err, doing)
	case kind == "":
		return nil, mes.Errorf(mes.CodeNotFound, "there is no table %s in the database", name)
	case kind != baseTable:
		return nil, mes.Errorf(mes.CodeInvalid, "%s is a view; expected is a table", written)
	}
	var columns []columnBefore
	if err := s.selectRows(ctx, &columns, columnsBefore, written); err != nil {
		return nil, s.db.readFault(err, doing)
	}
	t := &tableBefore{store: s, layout: mesdata.Layout{Table: written}}
	found, err := t.choose(columns, timeColumn, s.db.isTimeBefore)
	if err != nil {
		return nil, err
	}
	if err := s.db.tableBefore(ctx, t, columns, found); err != nil {
		return nil, s.db.readFault(err, doing)
	}
	return t, nil
}

// chosenColumns are the columns that are read; those that are not there have no name.
type chosenColumns struct{ dataType, payload, machine, site, time columnBefore }

// choose finds the columns by their names. Case and underscores don't count.
func (t *tableBefore) choose(columns []columnBefore, timeColumn string, isTime func(string) bool) (c chosenColumns, err error) {
	find := func(names ...string) columnBefore {
		for _, name := range names {
			at := slices.IndexFunc(columns, func(c columnBefore) bool { return folded(c.Name) == folded(name) })
			if at >= 0 {
				return columns[at]
			}
		}
		return columnBefore{}
	}
	c.dataType, c.payload = find("DataType"), find("Payload")
	c.machine, c.site = find("MachineId"), find("SiteId")
	if c.dataType.Name == "" || c.payload.Name == "" {
		return c, mes.Errorf(mes.CodeInvalid, "the table %s has the columns %s; expected are DataType and Payload, and perhaps others",
			t.layout.Table, namesOf(columns))
	}
	if timeColumn != "" {
		if c.time = find(timeColumn); c.time.Name == "" || !isTime(c.time.Type) {
			return c, mes.Errorf(mes.CodeInvalid, "the table %s has no column %s with dates and times, texts or numbers; it has %s",
				t.layout.Table, timeColumn, namesOf(columns))
		}
	} else {
		for _, name := range []string{"Timestamp", "ReceivedAt", "CreatedAt"} {
			if column := find(name); column.Name != "" && isTime(column.Type) {
				c.time = column
				break
			}
		}
	}
	l := &t.layout
	l.DataType, l.Payload, l.MachineID, l.SiteID, l.Time = c.dataType.Name, c.payload.Name, c.machine.Name, c.site.Name, c.time.Name
	return c, nil
}

func folded(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

func namesOf(columns []columnBefore) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name + " " + c.Type
	}
	return strings.Join(names, ", ")
}

// Layout implements mesdata.Table.
func (t *tableBefore) Layout() mesdata.Layout { return t.layout }

// pageBefore is how many rows are read by one query, where they can be read by pages.
const pageBefore = 1000

// Each implements mesdata.Table. Between two pages nothing holds on to the database.
func (t *tableBefore) Each(ctx context.Context, yield func(mesdata.Row) error) error {
	row := t.rows()
	yieldCells := func(cells []driver.Value) error {
		r, err := row(cells)
		if err != nil {
			return t.fault(err)
		}
		return yield(r)
	}
	if t.after == "" {
		_, _, err := t.read(ctx, t.query+t.order, nil, yieldCells)
		return err
	}
	where, args := "", []any(nil)
	for {
		n, last, err := t.read(ctx, t.query+where+t.order+t.store.db.page(pageBefore), args, yieldCells)
		if err != nil || n < pageBefore {
			return err
		}
		where, args = t.after, []any{last}
	}
}

// read calls yield for each row of a query, and returns how many there were and where the
// last one stands.
func (t *tableBefore) read(ctx context.Context, query string, args []any, yield func([]driver.Value) error) (n int, last driver.Value, err error) {
	rows, err := t.store.readers.DB.QueryContext(ctx, query, args...)
	if err != nil {
		return 0, nil, t.fault(err)
	}
	var refused error
	err = eachScanned(rows, cellsOfRow, func(cells []driver.Value) error {
		n, last = n+1, cells[cellPage]
		refused = yield(cells)
		return refused
	})
	if refused != nil {
		return n, last, refused
	}
	return n, last, t.fault(err)
}

func (t *tableBefore) fault(err error) error {
	if err == nil {
		return nil
	}
	return t.store.db.readFault(fmt.Errorf("%s: %w", t.layout.Table, err), "read a table")
}

// selected writes the list of a query.
func selected(cells [cellsOfRow]string) string {
	for i := range cells {
		if cells[i] == "" {
			cells[i] = "NULL"
		}
	}
	return "SELECT " + strings.Join(cells[:], ", ")
}
