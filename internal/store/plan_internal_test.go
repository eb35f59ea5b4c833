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
		q := recordQuery(f)
		got := plan(t, s, q.text(), q.args...)
		want := "SEARCH record USING INDEX record_by_time ("
		switch {
		case f.SiteID != "" && f.MachineID != "":
			want = "SEARCH record USING INDEX record_by_machine (site_id=? AND machine_id=?"
		case f.From.IsZero() && f.To.IsZero() && f.After == nil:
			want = "SCAN record USING INDEX record_by_time"
		}
		if f.After != nil && !strings.Contains(got, "(time,sequence_given,sequence,id)") {
			t.Fatalf("%+v\nplan: %s\nthe page does not begin at its position", f, got)
		}
		if !strings.HasPrefix(got, want) || strings.Contains(got, "\n") {
			t.Fatalf("%+v\nplan: %s\nwant: %s", f, got, want)
		}
	}
}

// TestOtherReadsUseAnIndex covers the reads of record and of the ledger that are
// not lists.
func TestOtherReadsUseAnIndex(t *testing.T) {
	t.Parallel()
	s := openInternal(t)
	for query, want := range map[string]string{
		"SELECT * FROM record WHERE id = x'00'": "SEARCH record USING INDEX sqlite_autoindex_record_1 (id=?)",
		snapshotsAfter:                          "SEARCH record USING INDEX record_snapshots (site_id=? AND machine_id=? AND (time,sequence_given,sequence,id)>(?,?,?,?))",
		forgetDelivery:                          "SEARCH delivery USING PRIMARY KEY",
	} {
		args := make([]any, strings.Count(query, "?"))
		got := plan(t, s, query, args...)
		if !strings.Contains(got, want) || strings.Contains(got, "SCAN") || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("%s\nplan: %s\nwant: %s", query, got, want)
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
