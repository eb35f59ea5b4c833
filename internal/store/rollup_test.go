package store_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/mes"
	"plantgate/internal/series"
	"plantgate/internal/store"
	"plantgate/internal/store/storetest"
)

// TestMarkOutlivesItsListing has records come to a minute before, while and after its
// mark is listed, with the pool of readers busy: a mark is taken away only for the
// records that were there when it was listed, and the next one marks the minute again.
func TestMarkOutlivesItsListing(t *testing.T) {
	t.Parallel()
	s := apptest.OpenPlant(t, filepath.Join(t.TempDir(), "plant.db"), app.StorageOptions{Store: store.Options{Readers: 1}})
	at := time.Now().Add(-time.Hour).Truncate(time.Hour)
	unit := series.Unit{SiteID: "s", MachineID: "m"}
	put := func(second int) {
		storetest.Append(t, s, storetest.NewRecord("s", "m", at.Add(time.Duration(second)*time.Second)))
		if err := s.Runner.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	put(0)
	held, release := make(chan struct{}), make(chan struct{})
	queried := make(chan error, 1)
	go func() {
		queried <- s.EachRecord(context.WithoutCancel(t.Context()), mes.RecordFilter{}, func(*mes.Record) error {
			close(held)
			<-release
			return nil
		})
	}()
	<-held
	type answer struct {
		marks []series.Mark
		err   error
	}
	listed := make(chan answer, 1)
	go func() {
		marks, err := s.DueMarks(context.WithoutCancel(t.Context()), series.Mark{}, time.Now(), 10)
		listed <- answer{marks, err}
	}()
	// Whether it waits for the reader or not, a step may come now.
	time.Sleep(50 * time.Millisecond)
	put(1)
	close(release)
	a := <-listed
	if err := <-queried; err != nil || a.err != nil || len(a.marks) != 1 {
		t.Fatalf("%v, %+v", err, a)
	}
	seen := 0
	err := s.Samples(t.Context(), unit, nil, at, at.Add(time.Minute), func(series.Sample) error { seen++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	put(2)
	err = s.UpdateRollups(t.Context(), func(tx series.RollupTx) error {
		cleared, err := tx.ClearMark(t.Context(), a.marks[0])
		if cleared {
			t.Errorf("the mark was taken away for %d samples of 3", seen)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	put(3)
	if due, err := s.DueMinutes(t.Context(), unit, at, at.Add(time.Minute)); err != nil || len(due) != 1 {
		t.Errorf("due: %v, %v", due, err)
	}
}
