package app_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"plantgate/internal/app"
	"plantgate/internal/apply"
	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/series"
	"plantgate/internal/store"
	"plantgate/internal/store/storetest"
)

// TestStateDoesNotDependOnTheCuts applies one log to several databases, cut into
// batches otherwise each time, with steps that are undone and come again, and with
// restarts between: the databases must hold the same.
func TestStateDoesNotDependOnTheCuts(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	empty := filepath.Join(root, "empty.db")
	s := mustOpen(t, empty)
	if _, err := s.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cases := 0
	rapid.Check(t, func(rt *rapid.T) {
		cases++
		folder := filepath.Join(root, fmt.Sprint(cases))
		defer os.RemoveAll(folder)
		from, err := app.OpenStorage(t.Context(), "sqlite:"+copyOf(rt, empty, filepath.Join(folder, "source", "plant.db")), app.StorageOptions{})
		if err != nil {
			rt.Fatal(err)
		}
		defer from.Close()
		fillLog(rt, from.Journal)
		first := ""
		for i := range 3 {
			path := copyOf(rt, empty, filepath.Join(folder, fmt.Sprint(i), "plant.db"))
			cuts := applyInCuts(rt, t, from.Journal, path)
			state := stateOf(rt, t, path)
			if i == 0 {
				first = state
			} else if diff := cmp.Diff(strings.Split(first, "\n"), strings.Split(state, "\n")); diff != "" {
				rt.Fatalf("after batches of %v the state is another (-first +this):\n%s", cuts, diff)
			}
		}
	})
}

func mustOpen(t testing.TB, path string) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), "sqlite:"+path, store.Options{Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func copyOf(rt *rapid.T, path, to string) string {
	content, err := os.ReadFile(path)
	err = errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, content, 0o600))
	if err != nil {
		rt.Fatal(err)
	}
	return to
}

// fillLog commits groups of everything that a log can hold.
func fillLog(rt *rapid.T, j *journal.Journal) {
	start := time.Date(2026, 11, 22, 10, 14, 50, 0, time.UTC)
	var open []mes.QuarantineItem
	for range rapid.IntRange(1, 12).Draw(rt, "groups") {
		now := start.Add(time.Duration(rapid.IntRange(0, 600).Draw(rt, "now")) * time.Second)
		records := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) mes.Record { return drawRecord(rt, start) }), 0, 5).Draw(rt, "group")
		err := j.Update(context.Background(), func(tx ingest.Tx) error {
			if _, err := tx.AppendRecords(context.Background(), records, storetest.Window(now)); err != nil {
				return err
			}
			if rapid.IntRange(0, 3).Draw(rt, "quarantine") == 0 {
				item := mes.QuarantineItem{ID: mes.NewID(), State: mes.QuarantineOpen, ReceivedAt: mes.Micros(now), Raw: []byte("x")}
				open = append(open, item)
				if err := tx.AppendQuarantine(context.Background(), []mes.QuarantineItem{item}); err != nil {
					return err
				}
			}
			if len(open) > 0 && rapid.IntRange(0, 3).Draw(rt, "resolve") == 0 {
				item := open[0]
				open = open[1:]
				item.State, item.ResolvedAt, item.ResolvedBy = mes.QuarantineDiscarded, mes.Micros(now), "somebody"
				return tx.ResolveQuarantine(context.Background(), item)
			}
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
	}
}

// drawRecord makes a record of one of few machines, close to others in time.
func drawRecord(rt *rapid.T, start time.Time) mes.Record {
	at := start.Add(time.Duration(rapid.IntRange(0, 20).Draw(rt, "second")) * time.Second)
	r := storetest.NewRecord("s", rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "machine"), at)
	r.ReceivedAt = at.Add(time.Duration(rapid.IntRange(0, 90).Draw(rt, "delay")) * time.Second)
	r.Snapshot = rapid.IntRange(0, 3).Draw(rt, "snapshot") > 0
	r.Origin.Door = rapid.SampledFrom([]mes.Door{mes.DoorREST, mes.DoorMQTT, mes.DoorOPCUA}).Draw(rt, "door")
	r.Origin.Address = rapid.SampledFrom([]string{"", "x", "y"}).Draw(rt, "address")
	r.Signals = nil
	for _, name := range []string{"x", "y"} {
		if v := rapid.SampledFrom([]int64{1, 1, 1, 2, 0}).Draw(rt, name); v > 0 {
			r.Signals = append(r.Signals, mes.Signal{Name: name, Value: mes.Int(v)})
		}
	}
	if rapid.IntRange(0, 3).Draw(rt, "status") == 0 || len(r.Signals) == 0 {
		r.Status = rapid.SampledFrom([]mes.Status{mes.Running, mes.Idle}).Draw(rt, "which")
	}
	if rapid.IntRange(0, 4).Draw(rt, "sequenced") == 0 {
		sequence := int64(rapid.IntRange(0, 2).Draw(rt, "sequence"))
		r.Sequence = &sequence
	}
	switch rapid.IntRange(0, 5).Draw(rt, "named") {
	case 0:
		r.MessageID = rapid.SampledFrom([]string{"m1", "m2", "m3"}).Draw(rt, "message")
	case 1:
		r.Idempotency = &mes.Idempotency{Key: rapid.StringN(1, 3, 8).Draw(rt, "key")}
	}
	r.Identify(mes.ID{})
	return r
}

var errUndone = errors.New("undone")

// applyInCuts applies the log to a database, and returns the sizes of the batches.
func applyInCuts(rt *rapid.T, t *testing.T, j *journal.Journal, path string) (cuts []int) {
	ctx := t.Context()
	s := mustOpen(t, path)
	defer func() { _ = s.Close() }()
	steps := app.Steps(app.StorageOptions{})
	reader := j.Reader(0)
	var applied journal.Applied
	for {
		var b journal.Batch
		err := reader.Next(&b, rapid.SampledFrom([]int{1, 1, 2, 4, 8, 1000}).Draw(rt, "cut"), 1<<20)
		if errors.Is(err, io.EOF) {
			return cuts
		}
		if err != nil {
			rt.Fatal(err)
		}
		cuts = append(cuts, len(b.Records))
		applied = journal.Applied{LogID: 1, Position: b.To, Arrivals: max(applied.Arrivals, b.Arrivals())}
		durable := rapid.Bool().Draw(rt, "durable")
		if rapid.IntRange(0, 3).Draw(rt, "undo") == 0 {
			err := s.Apply(ctx, applied, durable, func(tx *store.Tx) error {
				return errors.Join(apply.All(ctx, steps, tx, &b), errUndone)
			})
			if !errors.Is(err, errUndone) {
				rt.Fatal(err)
			}
		}
		if err := s.Apply(ctx, applied, durable, func(tx *store.Tx) error { return apply.All(ctx, steps, tx, &b) }); err != nil {
			rt.Fatal(err)
		}
		if rapid.IntRange(0, 5).Draw(rt, "restart") == 0 {
			if err := s.Close(); err != nil {
				rt.Fatal(err)
			}
			s = mustOpen(t, path)
		}
	}
}

// stateOf is everything that a database holds, but for the numbers that stand for
// names, and the generations of marks.
func stateOf(rt *rapid.T, t *testing.T, path string) string {
	ctx := t.Context()
	s := mustOpen(t, path)
	defer s.Close()
	var state strings.Builder
	records, err := s.Records(ctx, mes.RecordFilter{Limit: 1000})
	for _, r := range records {
		sequence := "none"
		if r.Sequence != nil {
			sequence = fmt.Sprint(*r.Sequence)
		}
		r.Sequence = nil
		fmt.Fprintf(&state, "record %+v %s\n", r, sequence)
	}
	equipment, failed := s.EquipmentList(ctx, mes.EquipmentFilter{Limit: 1000})
	err = errors.Join(err, failed)
	for _, e := range equipment {
		fmt.Fprintf(&state, "equipment %+v\n", e)
	}
	marks, failed := s.DueMarks(ctx, series.Mark{}, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), 1000)
	err = errors.Join(err, failed)
	named := map[string]bool{}
	for _, m := range marks {
		named[fmt.Sprintf("%s of %s", m.Minute, m.Unit)] = true
	}
	if fmt.Fprintf(&state, "due %v\n", named); err != nil {
		rt.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		rt.Fatal(err)
	}
	defer db.Close()
	for _, query := range []string{
		"SELECT * FROM latest ORDER BY site_id, machine_id, signal",
		"SELECT * FROM delivery ORDER BY kind, site_id, machine_id, key",
		"SELECT * FROM quarantine ORDER BY position",
		"SELECT Id, RecordId FROM MES_Data ORDER BY Id",
		"SELECT door, connection, address, format FROM origin ORDER BY door, connection, address, format",
		"SELECT position, arrivals FROM applied",
	} {
		if err := dump(ctx, &state, db, query); err != nil {
			rt.Fatalf("%s: %v", query, err)
		}
	}
	return state.String()
}

// dump writes the rows of a query.
func dump(ctx context.Context, w io.Writer, db *sql.DB, query string) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		values, places := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			return err
		}
		fmt.Fprintf(w, "%s: %v\n", query, values)
	}
	return rows.Err()
}
