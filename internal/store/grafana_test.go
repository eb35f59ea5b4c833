package store_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/mes"
	"plantgate/internal/store/storetest"
)

// dashboard is what the tests look at of one of deploy/grafana.
type dashboard struct {
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []struct {
		Title   string
		Targets []struct{ RawSQL, QueryText, RawQueryText string }
	}
}

// queriesOfDashboard returns the queries of the variables and of the panels, by their
// names.
func queriesOfDashboard(t *testing.T, file string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", "grafana", file))
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	queries := map[string]string{}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			queries["$"+v.Name] = v.Query
		}
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			if target.RawQueryText != target.QueryText {
				t.Errorf("%s: the query stands twice, and differs", p.Title)
			}
			queries[p.Title] = target.RawSQL + target.QueryText
		}
	}
	return queries
}

// grafana is what a dashboard is looked at with.
type grafana struct {
	from, to  time.Time
	variables map[string]string
}

var (
	timeFilter = regexp.MustCompile(`\$__timeFilter\(([^()]+)\)`)
	timeGroup  = regexp.MustCompile(`\$__timeGroup\(([^(),]+), '1m'\)`)
	left       = regexp.MustCompile(`\$[_{a-z]\w*`)
)

// expand puts in what Grafana does: variables, and the macros of its data source for SQL
// Server as their documentation has them.
func (g grafana) expand(t *testing.T, query string) string {
	t.Helper()
	for name, value := range g.variables {
		query = strings.ReplaceAll(query, "${"+name+":sqlstring}", "'"+strings.ReplaceAll(value, "'", "''")+"'")
	}
	iso := func(at time.Time) string { return at.UTC().Format("'2006-01-02T15:04:05Z'") }
	query = timeFilter.ReplaceAllString(query, "$1 BETWEEN "+iso(g.from)+" AND "+iso(g.to))
	query = timeGroup.ReplaceAllString(query, "FLOOR(DATEDIFF(second, '1970-01-01', $1)/60)*60")
	query = strings.ReplaceAll(query, "$__from", fmt.Sprint(g.from.UnixMilli()))
	query = strings.ReplaceAll(query, "$__to", fmt.Sprint(g.to.UnixMilli()))
	if rest := left.FindString(query); rest != "" {
		t.Fatalf("%s is not put in:\n%s", rest, query)
	}
	return query
}

// readTable reads all rows as texts, a line each: names of columns first.
func readTable(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(context.WithoutCancel(t.Context()), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	table := []string{strings.Join(columns, " | ")}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		line := make([]string, len(columns))
		for i, v := range values {
			if at, ok := v.(time.Time); ok {
				v = at.Format(time.RFC3339)
			}
			line[i] = fmt.Sprint(v)
		}
		table = append(table, strings.Join(line, " | "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return table
}

// plantInView fills a store with what the dashboards show: of two machines in two
// minutes, of another site, and of a time that nobody looks at.
func plantInView(t *testing.T, s storetest.Store) grafana {
	t.Helper()
	at := time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)
	var records []mes.Record
	add := func(site, machine string, after time.Duration, status mes.Status, payload string) {
		r := storetest.NewRecord(site, machine, at.Add(after))
		r.Status, r.Payload = status, []byte(payload)
		r.Identify(mes.ID{})
		records = append(records, r)
	}
	add("s", "it's", 0, mes.Running, `{"temperature":20}`)
	add("s", "it's", 30*time.Second, mes.Running, `{"temperature":20}`)
	add("s", "M2", 90*time.Second, mes.Idle, `{"temperature":20}`)
	add("s", "M2", -48*time.Hour, mes.Stopped, `{}`)
	add("other", "M2", 0, mes.Stopped, `{}`)
	storetest.Append(t, s, records...)
	// Whoever reads newest values waits until they are there.
	if _, err := s.Latest(t.Context(), mes.LatestFilter{Limit: 1}); err != nil {
		t.Fatal(err)
	}
	return grafana{at.Add(-time.Hour), at.Add(time.Hour), map[string]string{"site": "s", "machine": "it's", "signal": "temperature"}}
}

func checkDashboard(t *testing.T, db *sql.DB, g grafana, queries map[string]string, want map[string][]string) {
	t.Helper()
	for name, query := range queries {
		got := readTable(t, db, g.expand(t, query))
		if diff := cmp.Diff(want[name], got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if len(queries) != len(want) {
		t.Errorf("%d queries, %d are expected", len(queries), len(want))
	}
}

// TestDashboardOfSQLite runs what the dashboard asks an embedded database, and sees that
// no answer takes reading all records.
func TestDashboardOfSQLite(t *testing.T) {
	t.Parallel()
	s := setup(t)
	g := plantInView(t, s)
	db := openFile(t, s.Path())
	queries := queriesOfDashboard(t, "sqlite.json")
	checkDashboard(t, db, g, queries, map[string][]string{
		"$site":    {"site_id", "other", "s"},
		"$machine": {"id", "M2", "it's"},
		"$signal":  {"signal", "temperature"},
		"Newest status": {"Machine | Status | Time | Received",
			"M2 | Idle | 1795342590000 | 1795342591000", "it's | Running | 1795342530000 | 1795342531000"},
		"Records a minute":    {"time | machine | records", "1795342500 | it's | 2", "1795342560 | M2 | 1"},
		"$signal of $machine": {"time | value", "1.7953425e+09 | 20", "1.79534253e+09 | 20"},
		"Newest arrivals": {"ReceivedAt | Timestamp | MachineId | DataType | Payload",
			"2026-11-22T10:15:01.000000Z | 2026-11-22T10:15:00.000000Z | M2 | Telemetry | {}",
			"2026-11-20T10:15:01.000000Z | 2026-11-20T10:15:00.000000Z | M2 | Telemetry | {}",
			`2026-11-22T10:16:31.000000Z | 2026-11-22T10:16:30.000000Z | M2 | Telemetry | {"temperature":20}`,
			`2026-11-22T10:15:31.000000Z | 2026-11-22T10:15:30.000000Z | it's | Telemetry | {"temperature":20}`,
			`2026-11-22T10:15:01.000000Z | 2026-11-22T10:15:00.000000Z | it's | Telemetry | {"temperature":20}`},
	})
	for name, query := range queries {
		for _, step := range readTable(t, db, "EXPLAIN QUERY PLAN "+g.expand(t, query))[1:] {
			// By its time, or from the newest arrival back.
			if strings.Contains(step, " record USING") && !strings.Contains(step, "time>? AND time<?") && !strings.Contains(step, "record_by_position") {
				t.Errorf("%s reads records of all times: %s", name, step)
			}
		}
	}
}

// TestSQLServerDashboard runs what the dashboard asks SQL Server.
func TestSQLServerDashboard(t *testing.T) {
	s, dsn := openSQLServer(t)
	g := plantInView(t, apptest.OpenShared(t, s, app.SharedOptions{}))
	db, err := sql.Open("sqlserver", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	queries := queriesOfDashboard(t, "sqlserver.json")
	checkDashboard(t, db, g, queries, map[string][]string{
		"$site":    {"site_id", "other", "s"},
		"$machine": {"id", "M2", "it's"},
		"$signal":  {"signal", "temperature"},
		"Newest status": {"Machine | Status | Time | Received",
			"M2 | Idle | 2026-11-22T10:16:30Z | 2026-11-22T10:16:31Z", "it's | Running | 2026-11-22T10:15:30Z | 2026-11-22T10:15:31Z"},
		"Records a minute":    {"time | metric | value", "1795342500 | it's | 2", "1795342560 | M2 | 1"},
		"$signal of $machine": {"time | value", "2026-11-22T10:15:00Z | 20", "2026-11-22T10:15:30Z | 20"},
		"Newest records of $machine": {"time | DataType | Payload | ReceivedAt",
			`2026-11-22T10:15:30Z | Telemetry | {"temperature":20} | 2026-11-22T10:15:31Z`,
			`2026-11-22T10:15:00Z | Telemetry | {"temperature":20} | 2026-11-22T10:15:01Z`},
	})
	for name, query := range queries {
		if strings.Contains(query, "MES_Data") && !strings.Contains(query, "$__timeFilter([Timestamp])") {
			t.Errorf("%s reads records of all times", name)
		}
	}
}
