package store

import (
	"context"
	"database/sql/driver"
	"strings"

	"plantgate/internal/mesdata"
)

// hasRowID tells whether rows of a table are numbered.
var hasRowID = statement{sqlite: "SELECT wr = 0 FROM pragma_table_list(?) WHERE schema = 'main'"}

func quoteSQLite(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// isTimeBefore implements database: a column holds what it likes.
func (db *sqliteDB) isTimeBefore(string) bool { return true }

// tableBefore implements database. Rows are read by their numbers. In a table without, they
// are read in the order of its key.
func (db *sqliteDB) tableBefore(ctx context.Context, t *tableBefore, columns []columnBefore, c chosenColumns) error {
	var numbered bool
	if err := db.store.getRow(ctx, &numbered, hasRowID, t.layout.Table); err != nil {
		return err
	}
	cast := func(c columnBefore, kind string) string {
		if c.Name == "" {
			return ""
		}
		return "CAST(" + quoteSQLite(c.Name) + " AS " + kind + ")"
	}
	cells := [cellsOfRow]string{
		cellDataType: cast(c.dataType, "TEXT"), cellPayload: cast(c.payload, "BLOB"),
		cellMachine: cast(c.machine, "TEXT"), cellSite: cast(c.site, "TEXT"), cellTime: cast(c.time, "TEXT"),
	}
	if c.time.Name != "" {
		cells[cellTimeKind] = "typeof(" + quoteSQLite(c.time.Name) + ")"
	}
	key := primaryKey(columns)
	if numbered {
		t.layout.Key = "rowid"
		if len(key) == 1 && key[0].Type == "integer" { // another name of the same
			t.layout.Key = key[0].Name
		}
		cells[cellKey], cells[cellPage] = "rowid", "rowid"
		t.after, t.order = " WHERE rowid > ?", " ORDER BY rowid"
	} else {
		names, literals := make([]string, len(key)), make([]string, len(key))
		for i, k := range key {
			names[i], literals[i] = quoteSQLite(k.Name), "quote("+quoteSQLite(k.Name)+")"
		}
		t.layout.Key = strings.Join(names, ", ")
		cells[cellKey], t.order = strings.Join(literals, " || ',' || "), " ORDER BY "+strings.Join(names, ", ")
	}
	t.query = selected(cells) + " FROM main." + quoteSQLite(t.layout.Table)
	t.rows = func() func([]driver.Value) (mesdata.Row, error) { return rowBeforeSQLite }
	return nil
}

func rowBeforeSQLite(cells []driver.Value) (mesdata.Row, error) {
	kind := text(cells[cellTimeKind])
	return mesdata.Row{
		Key: keyText(cells[cellKey], ""), DataType: trimmed(cells[cellDataType]),
		MachineID: trimmed(cells[cellMachine]), SiteID: trimmed(cells[cellSite]), Payload: octets(cells[cellPayload]),
		Time: mesdata.Moment{Text: trimmed(cells[cellTime]), IsNumber: kind == "integer" || kind == "real"},
	}, nil
}
