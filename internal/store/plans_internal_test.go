package store

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"plantgate/internal/mes"
)

// scans are the statements that may read a table from end to end, and why.
var scans = map[string]string{
	"apiKeys":                           "all of them are asked for, and there are few",
	"newestArrival":                     "it is an end of the table's own order, which SQLite does not say",
	"oldestArrival":                     "it is an end of the table's own order, which SQLite does not say",
	"columnsBefore":                     "it is the columns of one table",
	"newestVersion":                     "there are as many versions as migrations",
	"forgetOfConnections":               "to find the newest of each connection it has to; it runs once in thousands that are added",
	"MES_Data of a machine of any site": "equipment, which is small, has no order by id alone",
	"MES_Data since":                    "times are texts in the view of SQLite: reports on all machines go by Id, or read record",
}

// beginnings are statements that only begin a query; the whole is looked at below and in
// TestRecordListsWalkAnIndex.
var beginnings = []string{"quarantineList", "recordByTime"}

// walked begins the names of lists that walk an index, in order, until they are full.
const walked = "walked "

// queries are what is looked at besides the statements by name: lists, and reports.
func queries(s *Store) map[string]statement {
	all := map[string]statement{}
	for name, text := range map[string]string{
		"MES_Data of a machine":             "SELECT * FROM MES_Data WHERE SiteId = ? AND MachineId = ?",
		"MES_Data of a machine since":       "SELECT * FROM MES_Data WHERE SiteId = ? AND MachineId = ? AND Timestamp >= ?",
		"MES_Data of a machine of any site": "SELECT * FROM MES_Data WHERE MachineId = ? AND Timestamp >= ?",
		"MES_Data since":                    "SELECT * FROM MES_Data WHERE Timestamp >= ?",
		"MES_Data that came since":          "SELECT * FROM MES_Data WHERE Id > ? ORDER BY Id",
	} {
		all[name] = statement{sqlite: text}
	}
	parts := []func(*mes.QuarantineFilter){
		func(f *mes.QuarantineFilter) { f.State = mes.QuarantineOpen },
		func(f *mes.QuarantineFilter) { f.Door = mes.DoorMQTT },
		func(f *mes.QuarantineFilter) { f.SiteID = "s" },
		func(f *mes.QuarantineFilter) { f.After = mes.NewID() },
		func(f *mes.QuarantineFilter) { f.Scope.Machines = []string{"a", "b"} },
	}
	for combination := range 1 << len(parts) {
		f := mes.QuarantineFilter{Limit: 100}
		for i, set := range parts {
			if combination&(1<<i) != 0 {
				set(&f)
			}
		}
		name := "quarantine"
		if f.State == "" {
			name = walked + name
		}
		all[name+" "+strconv.FormatInt(int64(combination), 2)] = s.quarantineQuery(f).statement()
	}
	for name, f := range map[string]mes.CommandFilter{
		"commands":           {SiteID: "s", MachineID: "m"},
		"commands of before": {SiteID: "s", MachineID: "m", Before: mes.NewID()},
		"commands by state":  {SiteID: "s", MachineID: "m", State: mes.CommandSent, Limit: 10},
	} {
		all[name] = s.commandQuery(f).statement()
	}
	return all
}

// explain returns the plan of a statement.
func explain(db *sqlx.DB, text string) (string, error) {
	args := strings.Count(text, "?")
	for n := 9; n > 0 && strings.Contains(text, "?1"); n-- {
		if strings.Contains(text, "?"+strconv.Itoa(n)) {
			args = n
			break
		}
	}
	var steps []struct {
		ID, Parent, NotUsed int
		Detail              string
	}
	err := db.Select(&steps, "EXPLAIN QUERY PLAN "+text, make([]any, args)...)
	var lines []string
	for _, step := range steps {
		lines = append(lines, step.Detail)
	}
	return strings.Join(lines, "\n"), err
}

// readsAll tells whether a step of a plan reads a whole table, or sorts.
func readsAll(step string, walked bool) bool {
	table, scan := strings.CutPrefix(step, "SCAN ")
	switch {
	case strings.HasPrefix(step, "USE TEMP B-TREE"):
		return true
	case strings.HasPrefix(step, "SEARCH "):
		return !strings.Contains(step, " USING ") // of a maximum without an index
	case !scan, table == "CONSTANT ROW", strings.HasPrefix(table, "sqlite_"), strings.HasPrefix(table, "("),
		strings.Contains(table, " VIRTUAL TABLE "):
		return false
	default:
		return !walked || !strings.Contains(table, " USING ")
	}
}

// fullReads explains every statement that SQLite has a form of, and returns the plans
// that read a whole table, by the names of the statements.
func fullReads(s *Store, db *sqlx.DB) map[string]string {
	faults := map[string]string{}
	look := func(name string, q statement, walked bool) {
		first, _, _ := strings.Cut(q.sqlite, " ")
		switch first {
		case "", "ALTER", "PRAGMA", "BEGIN", "COMMIT", "ROLLBACK":
			return
		}
		plan, err := explain(db, q.sqlite)
		if err != nil {
			faults[name] = err.Error()
			return
		}
		for step := range strings.Lines(plan) {
			if readsAll(strings.TrimSpace(step), walked) {
				faults[name] = plan
			}
		}
	}
	for name, q := range statements {
		if !slices.Contains(beginnings, name) {
			look(name, q, false)
		}
	}
	for name, q := range queries(s) {
		look(name, q, strings.HasPrefix(name, walked))
	}
	return faults
}

// TestNothingReadsAWholeTable explains every statement there is: those of intake, of
// what follows, of leases, draining and forgetting too.
func TestNothingReadsAWholeTable(t *testing.T) {
	t.Parallel()
	s := openInternal(t)
	found := fullReads(s, s.readers)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if _, meant := scans[name]; !meant {
			t.Errorf("%s reads all:\n%s", name, found[name])
		}
	}
	for name := range scans {
		if _, needed := found[name]; !needed {
			t.Errorf("%s reads no whole table any more: it is no exception", name)
		}
	}
}

// covering are indexes that only keep a query from the rows themselves: others test that.
var covering = map[string]bool{"outbox_waiting": true}

// TestEveryIndexIsNeeded leaves out one index after the other: a plan gets worse with
// each, so that the test above can fail, and no index is there for nothing.
func TestEveryIndexIsNeeded(t *testing.T) {
	t.Parallel()
	s := openInternal(t)
	var indexes []struct{ Name, SQL string }
	if err := s.readers.Select(&indexes, "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"); err != nil {
		t.Fatal(err)
	}
	if len(indexes) < 6 {
		t.Fatalf("indexes: %v", indexes)
	}
	// A plan is made by what its connection knows of the schema.
	db, err := sqlx.Open("sqlite", "file:"+s.Path())
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	defer func() { _ = db.Close() }()
	change := func(text string) {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(fmt.Errorf("%s: %w", text, err))
		}
	}
	before := fullReads(s, db)
	for _, index := range indexes {
		if covering[index.Name] {
			continue
		}
		change("DROP INDEX " + index.Name)
		if after := fullReads(s, db); len(after) == len(before) {
			t.Errorf("nothing reads a whole table without %s", index.Name)
		} else if testing.Verbose() {
			maps.DeleteFunc(after, func(name, _ string) bool { _, there := before[name]; return there })
			t.Logf("without %s: %s", index.Name, slices.Sorted(maps.Keys(after)))
		}
		change(index.SQL)
	}
}
