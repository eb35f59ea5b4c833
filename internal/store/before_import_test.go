package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plantgate/internal/app"
	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/mesdata"
	"plantgate/internal/store"
)

// old is an installation from before plantgate, whose schema is made by now.
type old struct {
	cfg config.Config
	db  *sql.DB
	// embedded tells the languages apart.
	embedded bool
}

// oldPlant makes a table of reports with the statements, and then the schema.
func oldPlant(t *testing.T, statements ...string) old {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plant.db")
	o := old{config.Default(), openFile(t, path), true}
	o.cfg.Store.DSN = "sqlite:" + path
	execute(t, o.db, statements...)
	s := open(t, o.cfg.Store.DSN, store.Options{})
	up(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

func oldPlantOfSQLServer(t *testing.T, statements ...string) old {
	t.Helper()
	s, dsn := openSQLServer(t)
	db, err := sql.Open("sqlserver", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	o := old{config.Default(), db, false}
	o.cfg.Store.DSN = dsn
	execute(t, db, statements...)
	up(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *old) load(ctx context.Context, t *testing.T, options app.MESDataOptions) (mesdata.Summary, error) {
	t.Helper()
	if options.Table == "" {
		options.Table = store.NameBefore
	}
	return app.ImportMESData(ctx, o.cfg, slog.New(slog.NewTextHandler(t.Output(), nil)), options)
}

// want loads the table and compares what became of its rows.
func (o *old) want(t *testing.T, options app.MESDataOptions, want mesdata.Summary) {
	t.Helper()
	got, err := o.load(t.Context(), t, options)
	if err != nil {
		t.Fatalf("%+v: %s", got, mes.WithCauses(err))
	}
	if got != want {
		t.Fatalf("%+v, want %+v", got, want)
	}
}

// reported is a row as reports read it.
type reported struct{ DataType, Payload, Site, Machine, Time string }

func (o *old) reports(t *testing.T) []reported {
	t.Helper()
	return o.texts(t, "SELECT DataType, Payload, SiteId, MachineId, [Timestamp] FROM MES_Data")
}

func (o *old) texts(t *testing.T, query string) []reported {
	t.Helper()
	rows, err := o.db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []reported
	for rows.Next() {
		var r reported
		var last any
		if err := rows.Scan(&r.DataType, &r.Payload, &r.Site, &r.Machine, &last); err != nil {
			t.Fatal(err)
		}
		r.Time = fmt.Sprint(last)
		if at, ok := last.(time.Time); ok {
			r.Time = at.Format("2006-01-02T15:04:05.000000")
		}
		r.Time = strings.TrimSuffix(strings.TrimSuffix(r.Time, "Z"), ".000000")
		list = append(list, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b reported) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return list
}

// quarantined are site, machine, key, message and raw bytes of each item.
func (o *old) quarantined(t *testing.T) []string {
	t.Helper()
	rows, err := o.db.QueryContext(t.Context(), "SELECT data_type, machine_id, address, fields, raw FROM quarantine")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var kind, machine, key, fields string
		var raw []byte
		if err := rows.Scan(&kind, &machine, &key, &fields, &raw); err != nil {
			t.Fatal(err)
		}
		list = append(list, strings.Join([]string{key, kind, machine, fields, string(raw)}, " | "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// contractRows are rows of every kind that old scripts wrote, for both languages.
var contractRows = []string{
	`INSERT INTO MES_Data (DataType, Payload, MachineId, ReceivedAt) VALUES ('Production', '{"MachineID":"M3","Value":42.31,"Unit":"pcs"}', NULL, '2025-11-03T06:45:23')`,
	// The same reading in the same second is another one.
	`INSERT INTO MES_Data (DataType, Payload, MachineId, ReceivedAt) VALUES ('Production', '{"MachineID":"M3","Value":42.31,"Unit":"pcs"}', NULL, '2025-11-03T06:45:23')`,
	`INSERT INTO MES_Data (DataType, Payload, MachineId, ReceivedAt) VALUES ('Quality', '{"Value":7}', 'M4', '2025-11-03T06:45:24')`,
	`INSERT INTO MES_Data (DataType, Payload, MachineId, ReceivedAt) VALUES ('Telemetry', '{"machine_id":"M001","timestamp":"2025-11-03T06:45:20","temperature":72.31,"status":"Running"}', NULL, '2025-11-03T06:45:25')`,
	// The same message again is the same.
	`INSERT INTO MES_Data (DataType, Payload, MachineId, ReceivedAt) VALUES ('Telemetry', '{"machine_id":"M001","timestamp":"2025-11-03T06:45:20","temperature":72.31,"status":"Running"}', NULL, '2025-11-03T06:45:26')`,
	`INSERT INTO MES_Data (DataType, Payload, MachineId, ReceivedAt) VALUES ('Production', '{"DataType":"Quality","Payload":{"MachineID":"M5","Value":1}}', NULL, '2025-11-03T06:45:27')`,
	`INSERT INTO MES_Data (DataType, Payload, MachineId, ReceivedAt) VALUES ('Alarm', '{"machine_id":"M6","x":1}', NULL, '2025-11-03T06:45:28')`,
	`INSERT INTO MES_Data (DataType, Payload, MachineId, ReceivedAt) VALUES ('Quality', '{"Value":', 'M4', '2025-11-03T06:45:29')`,
	`INSERT INTO MES_Data (DataType, Payload, MachineId, ReceivedAt) VALUES ('Quality', '{"MachineID":"M7","Value":3}', NULL, NULL)`,
}

var (
	contractTable = append([]string{
		"CREATE TABLE MES_Data (Id INTEGER PRIMARY KEY, DataType TEXT, Payload TEXT, MachineId TEXT, ReceivedAt DATETIME)",
	}, contractRows...)
	contractTableOfSQLServer = append([]string{
		"CREATE TABLE MES_Data (Id INT IDENTITY(1, 1) PRIMARY KEY, DataType NVARCHAR(20), Payload NVARCHAR(MAX), MachineId NVARCHAR(40), ReceivedAt DATETIME)",
	}, contractRows...)
)

func TestImport(t *testing.T) {
	t.Parallel()
	o := oldPlant(t, contractTable...)
	testImport(t, &o)
}

func TestSQLServerImport(t *testing.T) {
	o := oldPlantOfSQLServer(t, contractTableOfSQLServer...)
	testImport(t, &o)
}

// testImport loads rows of every kind: without storing them, then in earnest, then again.
func testImport(t *testing.T, o *old) {
	first := mesdata.Summary{Read: 9, Created: 5, Duplicates: 1, Quarantined: 3}
	o.want(t, app.MESDataOptions{DryRun: true}, first)
	if got := append(o.quarantined(t), fmt.Sprint(o.reports(t))); len(got) != 1 || got[0] != "[]" {
		t.Fatalf("a dry run stored %v", got)
	}
	o.want(t, app.MESDataOptions{}, first)
	reports := []reported{
		{"Production", `{"MachineID":"M3","Value":42.31,"Unit":"pcs"}`, "main", "M3", "2025-11-03T06:45:23"},
		{"Production", `{"MachineID":"M3","Value":42.31,"Unit":"pcs"}`, "main", "M3", "2025-11-03T06:45:23"},
		{"Quality", `{"DataType":"Quality","Payload":{"MachineID":"M5","Value":1}}`, "main", "M5", "2025-11-03T06:45:27"},
		{"Quality", `{"Value":7}`, "main", "M4", "2025-11-03T06:45:24"},
		{"Telemetry", `{"machine_id":"M001","timestamp":"2025-11-03T06:45:20","temperature":72.31,"status":"Running"}`, "main", "M001", "2025-11-03T06:45:20"},
	}
	if diff := cmp.Diff(reports, o.reports(t)); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	quarantined := o.quarantined(t)
	if len(quarantined) != 3 {
		t.Fatalf("in quarantine: %q", quarantined)
	}
	for i, parts := range [][]string{
		{"7 | Alarm | M6 | ", "data_type", `| {"machine_id":"M6","x":1}`},
		{"8 | Quality | M4 | ", `| {"Value":`},
		{"9 | Quality | ", "the column ReceivedAt is empty", `| {"MachineID":"M7","Value":3}`},
	} {
		for _, part := range parts {
			if !strings.Contains(quarantined[i], part) {
				t.Errorf("%q has no %q", quarantined[i], part)
			}
		}
	}

	again := mesdata.Summary{Read: 9, Duplicates: 6, Known: 3}
	o.want(t, app.MESDataOptions{DryRun: true}, again)
	o.want(t, app.MESDataOptions{}, again)
	// What the ledger has forgotten is told by its id.
	execute(t, o.db, "DELETE FROM delivery")
	o.want(t, app.MESDataOptions{}, again)
	if diff := cmp.Diff(reports, o.reports(t)); diff != "" {
		t.Errorf("reports after the second run (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(quarantined, o.quarantined(t)); diff != "" {
		t.Errorf("quarantine after the second run (-want +got):\n%s", diff)
	}
	if n := count(t, o.db, store.NameBefore); n != 9 {
		t.Errorf("%d rows are left in the table", n)
	}
	// A row that was changed is another message of the same name.
	execute(t, o.db, "UPDATE "+store.NameBefore+` SET Payload = '{"Value":8}' WHERE Id = 3`)
	o.want(t, app.MESDataOptions{}, mesdata.Summary{Read: 9, Duplicates: 5, Quarantined: 1, Known: 3})
}

// manyRows are more than a page and a part, alike in pairs.
func manyRows(embedded bool) string {
	if embedded {
		return `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 2499)
			INSERT INTO MES_Data (DataType, Payload, CreatedAt)
			SELECT 'Production', '{"MachineID":"M' || (i % 7) || '","Value":' || (i / 2) || '}', '2025-11-03 06:45:23' FROM n`
	}
	var b strings.Builder
	b.WriteString("INSERT INTO MES_Data (DataType, Payload, CreatedAt) VALUES ")
	for i := range 500 {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, `('Production', '{"MachineID":"M%d","Value":%d}', '2025-11-03T06:45:23')`, i%7, i/2)
	}
	return b.String()
}

// TestImportWithoutKey reads rows that nothing but their number tells apart.
func TestImportWithoutKey(t *testing.T) {
	t.Parallel()
	o := oldPlant(t, "CREATE TABLE MES_Data (DataType TEXT, Payload BLOB, CreatedAt TEXT)", manyRows(true), "DELETE FROM MES_Data WHERE rowid = 17")
	testImportAgain(t, &o, 2499)
}

// TestSQLServerImportWithoutKey reads rows of which some are the same.
func TestSQLServerImportWithoutKey(t *testing.T) {
	rows := manyRows(false)
	o := oldPlantOfSQLServer(t, "CREATE TABLE MES_Data (DataType VARCHAR(20), Payload VARCHAR(MAX), CreatedAt DATETIME2)",
		rows, rows, rows, `INSERT INTO MES_Data VALUES ('Production', '{"MachineID":"M9","Value":1} ', '2025-11-03T06:45:23'),
			('Production', '{"MachineID":"M9","Value":1}', '2025-11-03T06:45:23'), ('Production', '{"MachineID":"m9","Value":1}', '2025-11-03T06:45:23')`)
	testImportAgain(t, &o, 1503)
}

// TestSQLServerImportWithoutKeyOfBlanks reads rows that only differ in blanks, and in what
// is empty or NULL.
func TestSQLServerImportWithoutKeyOfBlanks(t *testing.T) {
	o := oldPlantOfSQLServer(t, "CREATE TABLE MES_Data (DataType VARCHAR(20), Payload VARCHAR(MAX), MachineId VARCHAR(20), CreatedAt DATETIME2)",
		`INSERT INTO MES_Data SELECT d.v, p.v, m.v, '2025-11-03T06:45:23'
			FROM (VALUES ('Quality'), ('Quality '), (' Quality'), ('Quality  ')) AS d (v),
				(VALUES ('{"Value":1}'), ('{"Value":1} ')) AS p (v),
				(VALUES ('M1'), ('M1 '), (' M1'), ('M2')) AS m (v), (VALUES (1), (2)) AS n (v)`)
	o.want(t, app.MESDataOptions{}, mesdata.Summary{Read: 64, Created: 64})
	o.want(t, app.MESDataOptions{}, mesdata.Summary{Read: 64, Duplicates: 64})
	if n := count(t, o.db, "MES_Data WHERE MachineId = 'M2'"); n != 16 {
		t.Errorf("%d records of M2", n)
	}
}

// TestSQLServerImportByPages reads a table that has a key by parts.
func TestSQLServerImportByPages(t *testing.T) {
	rows := manyRows(false)
	o := oldPlantOfSQLServer(t, "CREATE TABLE MES_Data (No BIGINT IDENTITY(-3, 2) PRIMARY KEY, DataType VARCHAR(20), Payload VARCHAR(MAX), CreatedAt DATETIME2)",
		rows, rows, rows, rows)
	testImportAgain(t, &o, 2000)
}

// TestSQLServerImportById tells rows apart by a column that no index is of.
func TestSQLServerImportById(t *testing.T) {
	rows := manyRows(false)
	o := oldPlantOfSQLServer(t, "CREATE TABLE MES_Data (Id INT IDENTITY(1, 1), DataType VARCHAR(20), Payload NTEXT, CreatedAt DATETIME2)", rows, rows, rows)
	var key string
	see := func(l mesdata.Layout, _ mes.TimeOrigin) { key = l.Key }
	if _, err := o.load(t.Context(), t, app.MESDataOptions{DryRun: true, Begin: see}); err != nil || key != "Id" {
		t.Fatalf("key %q, %v", key, err)
	}
	testImportAgain(t, &o, 1500)
	execute(t, o.db, "SET IDENTITY_INSERT "+store.NameBefore+" ON; INSERT INTO "+store.NameBefore+" (Id, DataType, Payload) VALUES (1, 'Quality', '{}')")
	if _, err := o.load(t.Context(), t, app.MESDataOptions{DryRun: true, Begin: see}); err != nil || key != "" {
		t.Fatalf("key %q of ids that are not unique, %v", key, err)
	}
}

// testImportAgain interrupts the first run, and then runs twice to the end.
func testImportAgain(t *testing.T, o *old, rows int64) {
	ctx, cancel := context.WithCancel(t.Context())
	first, err := o.load(ctx, t, app.MESDataOptions{Every: time.Nanosecond, Progress: func(mesdata.Summary) { cancel() }})
	if mes.ErrorCode(err) != mes.CodeUnavailable || !strings.Contains(err.Error(), "run it again") || first.Created != 1000 || first.Read != 1000 {
		t.Fatalf("interrupted: %+v, %v", first, err)
	}
	o.want(t, app.MESDataOptions{}, mesdata.Summary{Read: rows, Created: rows - 1000, Duplicates: 1000})
	o.want(t, app.MESDataOptions{}, mesdata.Summary{Read: rows, Duplicates: rows})
	if n := int64(count(t, o.db, "MES_Data")); n != rows {
		t.Errorf("%d records of %d rows", n, rows)
	}
	in := count(t, o.db, store.NameBefore+" WHERE Payload LIKE '%M3%'")
	if out := count(t, o.db, "MES_Data WHERE MachineId = 'M3'"); in != out {
		t.Errorf("%d records of %d rows of M3", out, in)
	}
}

// TestImportOfTimes reads times of every kind of column.
func TestImportOfTimes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ value, want string }{
		"text":          {"'2025-11-03 06:45:23.5'", "2025-11-03T05:45:23.500000"},
		"with offset":   {"'2025-11-03T06:45:23+05:30'", "2025-11-03T01:15:23"},
		"seconds":       {"1762152323", "2025-11-03T06:45:23"},
		"milliseconds":  {"1762152323250", "2025-11-03T06:45:23.250000"},
		"with fraction": {"1762152323.25", "2025-11-03T06:45:23.250000"},
		"a date":        {"'2025-11-03'", ""},
		"number text":   {"'1762152323'", ""},
		"NULL":          {"NULL", ""},
		"far ahead":     {"'2125-11-03 06:45:23'", ""},
		"skipped hour":  {"'2025-03-30 02:30:00'", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := oldPlant(t, "CREATE TABLE MES_Data (DataType TEXT, Payload TEXT, Timestamp)",
				`INSERT INTO MES_Data VALUES ('Quality', '{"MachineID":"M1","Value":1}', `+c.value+`)`)
			o.cfg.Site.TimeZone = "Europe/Berlin"
			want := mesdata.Summary{Read: 1, Created: 1}
			if c.want == "" {
				want = mesdata.Summary{Read: 1, Quarantined: 1}
			}
			o.want(t, app.MESDataOptions{}, want)
			if c.want == "" {
				return
			}
			if got := o.reports(t); len(got) != 1 || got[0].Time != c.want {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestSQLServerImportOfTimes reads times of every type that can hold them.
func TestSQLServerImportOfTimes(t *testing.T) {
	o := oldPlantOfSQLServer(t, `CREATE TABLE MES_Data (Id INT PRIMARY KEY, DataType NCHAR(12), Payload VARBINARY(MAX), a DATETIME, b DATETIME2, c SMALLDATETIME,
			d DATETIMEOFFSET, e VARCHAR(40), f BIGINT, g FLOAT, h DECIMAL(16, 3), i DATE)`,
		`INSERT INTO MES_Data SELECT 1, 'Quality', CAST('{"MachineID":"M1","Value":1}' AS VARBINARY(MAX)), '2025-11-03T06:45:23', '2025-11-03T06:45:23.1234567', '2025-11-03T06:45:00',
			'2025-11-03T06:45:23+05:30', '2025-11-03 06:45:23', 1762152323, 1762152323.25, 1762152323.25, '2025-11-03'`)
	for column, want := range map[string]string{
		"a": "2025-11-03T05:45:23", "B": "2025-11-03T05:45:23.123457", "c": "2025-11-03T05:45:00", "d": "2025-11-03T01:15:23",
		"e": "2025-11-03T05:45:23", "f": "2025-11-03T06:45:23", "g": "2025-11-03T06:45:23.250000", "h": "2025-11-03T06:45:23.250000",
	} {
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		o.want(t, app.MESDataOptions{TimeColumn: column, Zone: berlin}, mesdata.Summary{Read: 1, Created: 1})
		if got := o.reports(t); len(got) != 1 || got[0].Time != want {
			t.Errorf("%s: %+v, want %s", column, got, want)
		}
		execute(t, o.db, "DELETE FROM record", "DELETE FROM delivery")
	}
	for _, column := range []string{"i", "nothing"} {
		if _, err := o.load(t.Context(), t, app.MESDataOptions{TimeColumn: column}); mes.ErrorCode(err) != mes.CodeInvalid || !strings.Contains(err.Error(), "i date") {
			t.Errorf("%s: %v", column, err)
		}
	}
}

// TestImportSaysWhoseTimesThereAre: a column called Timestamp has those of the machine,
// unless it is said otherwise.
func TestImportSaysWhoseTimesThereAre(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		column string
		given  mes.TimeOrigin
		want   mes.TimeOrigin
	}{
		{"timestamp", "", mes.TimeSource}, {"created_at", "", mes.TimeReceipt}, {"Timestamp", mes.TimeReceipt, mes.TimeReceipt}, {"ReceivedAt", mes.TimeSource, mes.TimeSource},
	} {
		o := oldPlant(t, "CREATE TABLE MES_Data (data_type TEXT, payload TEXT, "+c.column+" TEXT, SITE_ID TEXT, machine_id TEXT)",
			`INSERT INTO MES_Data VALUES ('Quality', '{"Value":1}', '2025-11-03 06:45:23', 'pune', 'M1'), (NULL, '{"x":1}', '2025-11-03 06:45:23', NULL, ' M2 ')`)
		o.cfg.Sites = []config.Site{{ID: "pune", TimeZone: "Asia/Kolkata"}}
		o.want(t, app.MESDataOptions{TimeOrigin: c.given}, mesdata.Summary{Read: 2, Created: 2})
		got := o.texts(t, "SELECT DataType, origin.door, SiteId, MachineId, time_origin FROM MES_Data JOIN record ON position = MES_Data.Id JOIN origin ON origin.number = record.origin")
		want := []reported{{"Quality", "import", "pune", "M1", string(c.want)}, {"Telemetry", "import", "main", "M2", string(c.want)}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c, diff)
		}
	}
}

// TestImportRefusesTables names what was expected.
func TestImportRefusesTables(t *testing.T) {
	t.Parallel()
	o := oldPlant(t, "CREATE TABLE other (DataType TEXT, Body TEXT)")
	for table, want := range map[string]struct {
		code mes.Code
		text string
	}{
		store.NameBefore: {mes.CodeNotFound, "--table"},
		"nothing":        {mes.CodeNotFound, "no table nothing"},
		"mes_data":       {mes.CodeInvalid, "MES_Data is a view"},
		"OTHER":          {mes.CodeInvalid, "table other has the columns DataType text, Body text; expected are DataType and Payload"},
	} {
		if _, err := o.load(t.Context(), t, app.MESDataOptions{Table: table}); mes.ErrorCode(err) != want.code || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s: %v", table, err)
		}
	}
}

// TestImportOfATableWithoutRowNumbers reads in the order of its key.
func TestImportOfATableWithoutRowNumbers(t *testing.T) {
	t.Parallel()
	o := oldPlant(t, "CREATE TABLE MES_Data (a TEXT, b INT, DataType TEXT, Payload TEXT, CreatedAt TEXT, PRIMARY KEY (b, a)) WITHOUT ROWID",
		`INSERT INTO MES_Data VALUES ('x', 1, 'Quality', '{"MachineID":"M1","Value":1}', '2025-11-03 06:45:23'),
			('y', 1, 'Quality', '{"MachineID":"M1","Value":1}', '2025-11-03 06:45:23')`)
	o.want(t, app.MESDataOptions{}, mesdata.Summary{Read: 2, Created: 2})
	o.want(t, app.MESDataOptions{}, mesdata.Summary{Read: 2, Duplicates: 2})
}
