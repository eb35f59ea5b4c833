package store

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plantgate/internal/mes"
)

func openInternal(t testing.TB) *Store {
	t.Helper()
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "plant.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// plan returns the steps of SQLite's plan for a query, one a line.
func plan(t *testing.T, s *Store, query string, args ...any) string {
	t.Helper()
	var steps []struct {
		ID, Parent, NotUsed int
		Detail              string
	}
	if err := s.readers.Select(&steps, "EXPLAIN QUERY PLAN "+query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	var lines []string
	for _, step := range steps {
		lines = append(lines, step.Detail)
	}
	return strings.Join(lines, "\n")
}

// TestRecordListsWalkAnIndex tries every combination of filters that the list
// offers. A list of one machine searches the machine's own index. Any other
// walks the index of time: it may begin at its end (SCAN ... USING INDEX) where
// no time bounds it, since it stops after LIMIT rows. Nothing reads the table
// from end to end, and nothing sorts.
func TestRecordListsWalkAnIndex(t *testing.T) {
	t.Parallel()
	s := openInternal(t)
	at := time.Now()
	parts := []func(*mes.RecordFilter){
		func(f *mes.RecordFilter) { f.SiteID = "s" },
		func(f *mes.RecordFilter) { f.MachineID = "m" },
		func(f *mes.RecordFilter) { f.DataType = mes.Quality },
		func(f *mes.RecordFilter) { f.Door = mes.DoorMQTT },
		func(f *mes.RecordFilter) { f.Status = mes.Idle },
		func(f *mes.RecordFilter) { f.From = at.Add(-time.Hour) },
		func(f *mes.RecordFilter) { f.To = at.Add(time.Hour) },
		func(f *mes.RecordFilter) { f.After = &mes.Position{Time: at} },
		func(f *mes.RecordFilter) { f.Descending = true },
		func(f *mes.RecordFilter) { f.Scope.Sites = []string{"a", "b"} },
		func(f *mes.RecordFilter) { f.Scope.Machines = []string{"a", "b"} },
	}
	for combination := range 1 << len(parts) {
		var f mes.RecordFilter
		for i, set := range parts {
			if combination&(1<<i) != 0 {
				set(&f)
			}
		}
		var unit int64
		if f.SiteID != "" && f.MachineID != "" {
			unit = 1
		}
		q := s.recordQuery(f, unit)
		walk, rest, _ := strings.Cut(plan(t, s, q.text(), q.args...), "\n")
		want := "SEARCH record USING INDEX record_by_time ("
		switch {
		case unit != 0:
			want = "SEARCH record USING PRIMARY KEY (unit=?"
		case f.From.IsZero() && f.To.IsZero() && f.After == nil:
			want = "SCAN record USING INDEX record_by_time"
		}
		if f.After != nil && !strings.Contains(walk, "(time,sequence_given,sequence,id)") {
			t.Fatalf("%+v\nplan: %s\nthe page does not begin at its position", f, walk)
		}
		if !strings.HasPrefix(walk, want) || !looksUpNames(rest) {
			t.Fatalf("%+v\nplan: %s\n%s\nwant: %s", f, walk, rest, want)
		}
	}
}

// looksUpNames tells whether all that is done for a row is to look up the names
// behind its numbers.
func looksUpNames(plan string) bool {
	for line := range strings.Lines(plan) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "CORRELATED SCALAR SUBQUERY"),
			line == "SEARCH equipment USING INDEX equipment_by_number (number=?)",
			line == "SEARCH equipment USING COVERING INDEX equipment_by_number (number=?)",
			line == "SEARCH origin USING INTEGER PRIMARY KEY (rowid=?)":
		default:
			return false
		}
	}
	return true
}

// TestOtherReadsUseAnIndex covers the reads of record and of the ledger that are
// not lists.
func TestOtherReadsUseAnIndex(t *testing.T) {
	t.Parallel()
	s := openInternal(t)
	for query, want := range map[statement]string{
		recordByID:      "SEARCH record USING INDEX record_by_time (time>? AND time<?)",
		hasRecordAt:     "SEARCH record USING COVERING INDEX record_by_time (time=? AND sequence_given=? AND sequence=? AND id=? AND unit=?)",
		hasRecordNear:   "SEARCH record USING PRIMARY KEY (unit=? AND time>? AND time<?)",
		snapshotsAfter:  "SEARCH record USING INDEX record_snapshots (unit=? AND (time,sequence_given,sequence,id)>(?,?,?,?))",
		deliveryByName:  "SEARCH delivery USING PRIMARY KEY (kind=? AND site_id=? AND machine_id=? AND key=?)",
		readings:        "SEARCH record USING PRIMARY KEY (unit=? AND time>? AND time<?)",
		oldestDue:       "SEARCH rollup_due USING PRIMARY KEY (unit=? AND minute<?)",
		boundOfExpired:  "SEARCH record USING PRIMARY KEY (unit=? AND time<?)",
		deleteExpired:   "SEARCH record USING PRIMARY KEY (unit=? AND time<?)",
		nextUnit:        "SEARCH equipment USING COVERING INDEX equipment_by_number (number>?)",
		forgetDelivery:  "SEARCH delivery USING PRIMARY KEY",
		lastTimeOfUnit:  "SEARCH equipment USING PRIMARY KEY (site_id=? AND id=?)",
		waitingKeys:     "SEARCH outbox USING COVERING INDEX",
		waitingOf:       "SEARCH outbox USING COVERING INDEX outbox_waiting (target=?)",
		quarantineState: "SEARCH quarantine USING INDEX sqlite_autoindex_quarantine_1 (id=?)",
	} {
		args := make([]any, strings.Count(query.sqlite, "?"))
		got := plan(t, s, query.sqlite, args...)
		if !strings.Contains(got, want) || strings.Contains(got, "SCAN") || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("%s\nplan: %s\nwant: %s", query.sqlite, got, want)
		}
	}
}

// TestPlanTestCanFail makes sure that the plans tell a scan from a search.
func TestPlanTestCanFail(t *testing.T) {
	t.Parallel()
	s := openInternal(t)
	if got := plan(t, s, "SELECT * FROM record ORDER BY received_at"); !strings.HasPrefix(got, "SCAN record\n") {
		t.Error(fmt.Errorf("a full scan is planned as %q", got))
	}
}
