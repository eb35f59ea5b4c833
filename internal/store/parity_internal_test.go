package store

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"plantgate/migrations"
)

// column is what both databases have to agree on.
type column struct {
	kind     string // integer, text, bytes, time
	nullable bool
}

// sqliteTables reads the tables of a database of the newest version.
func sqliteTables(t *testing.T) map[string]map[string]column {
	t.Helper()
	s := openInternal(t)
	var names []string
	err := s.readers.Select(&names, `SELECT name FROM sqlite_schema WHERE type = 'table'
		AND name NOT LIKE 'sqlite_%' AND name <> 'goose_db_version'`)
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]map[string]column{}
	for _, name := range names {
		var rows []struct {
			Name    string  `db:"name"`
			Type    string  `db:"type"`
			NotNull bool    `db:"notnull"`
			PK      int     `db:"pk"`
			CID     int     `db:"cid"`
			Default *string `db:"dflt_value"`
		}
		if err := s.readers.Select(&rows, "SELECT * FROM pragma_table_info(?)", name); err != nil {
			t.Fatal(err)
		}
		columns := map[string]column{}
		for _, r := range rows {
			columns[r.Name] = column{map[string]string{"INTEGER": "integer", "TEXT": "text", "BLOB": "bytes"}[r.Type], !r.NotNull && r.PK == 0}
		}
		tables[name] = columns
	}
	return tables
}

var (
	createTable  = regexp.MustCompile(`(?s)CREATE TABLE (\w+) \(\n(.*?)\n\);`)
	dropTable    = regexp.MustCompile(`DROP TABLE (\w+);`)
	addColumn    = regexp.MustCompile(`ALTER TABLE (\w+) ADD (\w+ .*);`)
	columnClause = regexp.MustCompile(`^\s+\[?(\w+)\]?\s+(BIGINT|INT|BIT|DATETIME2\(6\)|NVARCHAR\(\w+\)|BINARY\(\d+\)|VARBINARY\(MAX\))(.*)$`)
)

// sqlServerTables reads the tables that the steps for SQL Server make, in the form that
// they are written in.
func sqlServerTables(t *testing.T) map[string]map[string]column {
	t.Helper()
	files, err := fs.Glob(migrations.SQLServer, "sqlserver/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	tables := map[string]map[string]column{}
	for _, file := range files {
		raw, err := fs.ReadFile(migrations.SQLServer, file)
		if err != nil {
			t.Fatal(err)
		}
		up, _, _ := strings.Cut(string(raw), "-- +goose Down")
		for _, m := range dropTable.FindAllStringSubmatch(up, -1) {
			delete(tables, m[1])
		}
		for _, m := range createTable.FindAllStringSubmatch(up, -1) {
			tables[m[1]] = map[string]column{}
			for line := range strings.Lines(m[2]) {
				addColumnOf(t, tables[m[1]], line)
			}
		}
		for _, m := range addColumn.FindAllStringSubmatch(up, -1) {
			addColumnOf(t, tables[m[1]], "    "+m[2])
		}
	}
	return tables
}

func addColumnOf(t *testing.T, columns map[string]column, line string) {
	t.Helper()
	trimmed := strings.TrimSpace(line)
	if trimmed == "" || strings.HasPrefix(trimmed, "--") || strings.HasPrefix(trimmed, "CONSTRAINT") || strings.HasPrefix(trimmed, "CHECK") {
		return
	}
	m := columnClause.FindStringSubmatch(strings.TrimRight(line, "\n"))
	if m == nil {
		t.Fatalf("not understood as a column: %q", line)
	}
	kind := "integer"
	switch {
	case strings.HasPrefix(m[2], "NVARCHAR"):
		kind = "text"
	case strings.Contains(m[2], "BINARY"):
		kind = "bytes"
	case strings.HasPrefix(m[2], "DATETIME2"):
		kind = "time"
	}
	columns[m[1]] = column{kind, !strings.Contains(m[3], "NOT NULL")}
}

// differences that are meant: SQLite keeps times as numbers, and the payload as the
// bytes that came.
func asSQLite(table, name string, c column) column {
	switch {
	case c.kind == "time":
		c.kind = "integer"
	case table == "record" && name == "payload":
		c.kind = "bytes"
	}
	return c
}

// onlySQLServer are columns that SQLite needs no match of.
var onlySQLServer = map[string]string{
	"origin.hash": "an address is too long for an index of SQL Server",
}

// TestDialectsHaveEqualTables compares the schemas that the two sets of steps end with,
// and their versions.
func TestDialectsHaveEqualTables(t *testing.T) {
	t.Parallel()
	versions := func(f fs.FS, pattern string) []string {
		files, err := fs.Glob(f, pattern)
		if err != nil {
			t.Fatal(err)
		}
		for i := range files {
			files[i] = files[i][strings.IndexByte(files[i], '/')+1:]
		}
		return files
	}
	if a, b := versions(migrations.SQLite, "sqlite/*.sql"), versions(migrations.SQLServer, "sqlserver/*.sql"); !slices.Equal(a, b) {
		t.Errorf("steps of SQLite: %v, of SQL Server: %v", a, b)
	}
	embedded, server := sqliteTables(t), sqlServerTables(t)
	for _, problem := range compareTables(embedded, server) {
		t.Error(problem)
	}
}

func compareTables(embedded, server map[string]map[string]column) []string {
	var problems []string
	names := maps.Clone(embedded)
	maps.Copy(names, server)
	for _, table := range slices.Sorted(maps.Keys(names)) {
		columns := maps.Clone(embedded[table])
		if columns == nil {
			columns = map[string]column{}
		}
		maps.Copy(columns, server[table])
		for _, name := range slices.Sorted(maps.Keys(columns)) {
			a, inA := embedded[table][name]
			b, inB := server[table][name]
			if _, meant := onlySQLServer[table+"."+name]; meant && inB && !inA {
				continue
			}
			if !inA || !inB || a != asSQLite(table, name, b) {
				problems = append(problems, fmt.Sprintf("%s.%s: SQLite has %+v (%t), SQL Server %+v (%t)", table, name, a, inA, b, inB))
			}
		}
	}
	return problems
}

// TestParityTestCanFail leaves out a column, a table, and changes a type.
func TestParityTestCanFail(t *testing.T) {
	t.Parallel()
	change := func(fn func(map[string]map[string]column)) []string {
		embedded, server := sqliteTables(t), sqlServerTables(t)
		fn(server)
		return compareTables(embedded, server)
	}
	for name, fn := range map[string]func(map[string]map[string]column){
		"a column": func(m map[string]map[string]column) { delete(m["record"], "flags") },
		"a table":  func(m map[string]map[string]column) { delete(m, "rollup_due") },
		"a type":   func(m map[string]map[string]column) { m["record"]["unit"] = column{"text", false} },
		"null":     func(m map[string]map[string]column) { m["latest"]["value"] = column{"text", true} },
	} {
		if len(change(fn)) == 0 {
			t.Errorf("%s can differ unnoticed", name)
		}
	}
}

// TestOutboxIsCountedInANarrowIndex: SQL Server keeps the payloads in the order of
// outbox_by_key; what is asked every second must not walk them.
func TestOutboxIsCountedInANarrowIndex(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string]fs.FS{"sqlite": migrations.SQLite, "sqlserver": migrations.SQLServer} {
		text, err := fs.ReadFile(steps, name+"/00006_outbox.sql")
		if err != nil {
			t.Fatal(err)
		}
		if want := "\nCREATE INDEX outbox_waiting ON outbox (target, order_key, created_at);\n"; !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %s", name, want)
		}
	}
}
