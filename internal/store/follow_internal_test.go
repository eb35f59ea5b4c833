package store

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/store/storetest"
)

func TestFollowGoesOn(t *testing.T) {
	t.Parallel()
	testFollowGoesOn(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
}

func TestSQLServerFollowGoesOn(t *testing.T) {
	t.Parallel()
	testFollowGoesOn(t, storetest.SQLServer(t))
}

// testFollowGoesOn: a transaction of Follow that is made again loses nothing of what it
// keeps in memory, records are not deleted before it, and an arrival whose record was
// deleted all the same holds up nobody.
func testFollowGoesOn(t *testing.T, dsn string) {
	s, err := Open(t.Context(), dsn, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx := t.Context()
	if _, err := s.MigrateUp(ctx); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	put := func(machine string) mes.Record {
		r := storetest.NewRecord("s", machine, now.Add(-time.Hour))
		err := s.Intake().Update(ctx, func(tx ingest.Tx) error {
			_, err := tx.AppendRecords(ctx, []mes.Record{r}, storetest.Window(now))
			return err
		})
		if err != nil {
			t.Fatal(mes.WithCauses(err))
		}
		return r
	}
	var lanes []int
	for lane := range Lanes {
		lanes = append(lanes, lane)
	}
	tries := 0
	follow := func(fail int) {
		t.Helper()
		tries = 0
		_, err := s.Follow(ctx, lanes, nil, 100, func(tx *Tx, b *journal.Batch) error {
			tries++
			for _, step := range []func(context.Context, *Tx, *journal.Batch) error{NoteSightings, PutLatest, MarkRollups} {
				if err := step(ctx, tx, b); err != nil {
					return err
				}
			}
			if tries <= fail {
				return mes.Wrap(mes.CodeUnavailable, fmt.Errorf("%w: a deadlock", errAgain), "the store is busy")
			}
			return nil
		})
		if err != nil && tries > fail {
			t.Fatal(mes.WithCauses(err))
		}
	}
	left := func() int64 {
		oldest, err := s.OldestArrival(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return oldest
	}

	r := put("first")
	if _, n, _, err := s.ExpireRecords(ctx, 0, now, 100); n != 0 || err != nil {
		t.Errorf("%d records were deleted that are not followed yet: %v", n, err)
	}
	if follow(1); left() != 0 { // made again by the store, or by who calls it
		follow(0)
	}
	if list, err := s.Latest(ctx, mes.LatestFilter{}); len(list) != len(r.Signals) || err != nil || left() != 0 {
		t.Errorf("%d newest values of %d, %d arrivals left, %v", len(list), len(r.Signals), left(), err)
	}

	gone := put("second")
	err = s.update(ctx, synced, func(t *Tx) error { return t.exec(ctx, portable("DELETE FROM record WHERE id = ?"), uuid(gone.ID)) })
	if err != nil {
		t.Fatal(err)
	}
	if follow(0); left() != 0 || tries != 0 {
		t.Errorf("the arrival of a record that is gone is left, followed %d times", tries)
	}
}
