package app_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/apply"
	"plantgate/internal/mes"
	"plantgate/internal/store/storetest"
)

// TestSmallLogGoesOn writes many times what a small log may hold, across restarts:
// what is applied is given back before it fills the log.
func TestSmallLogGoesOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "plant.db")
	o := app.StorageOptions{MaxLogBytes: 16 << 10, Apply: apply.Options{MaxDelay: time.Millisecond}}
	at, n := time.Now(), 0
	for range 3 {
		s := apptest.OpenPlant(t, path, o)
		for range 300 {
			for room := s.Room(); room != nil; room = s.Room() {
				select {
				case <-room:
				case <-time.After(10 * time.Second):
					t.Fatalf("the log is full after %d records, and stays so", n)
				}
			}
			storetest.Append(t, s, storetest.NewRecord("s", "m", at.Add(time.Duration(n)*time.Second)))
			n++
		}
		if err := errors.Join(s.Stop(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLeftOverIsApplied kills a plant before it applied its log: the next start does,
// without a reader or a new record.
func TestLeftOverIsApplied(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "plant.db")
	killed, err := app.OpenStorage(t.Context(), "sqlite:"+path, app.StorageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Append(t, apptest.Plant{Storage: killed}, storetest.NewRecord("s", "m", time.Now()))
	if err := killed.Close(); err != nil {
		t.Fatal(err)
	}
	s := apptest.OpenPlant(t, path, app.StorageOptions{Apply: apply.Options{MaxDelay: time.Millisecond}})
	for end := time.Now().Add(10 * time.Second); s.Journal.Pending() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the record waits for somebody to come")
		}
	}
}

// TestStepsOfAPlantAreSpread: records that nobody waits for come to the database little
// by little, and leave the machine to those that come.
func TestStepsOfAPlantAreSpread(t *testing.T) {
	t.Parallel()
	const step = 4096
	o := app.StorageOptions{Apply: apply.Options{MaxDelay: time.Second, FullStep: step, MaxRecords: step}}
	s := apptest.OpenPlant(t, filepath.Join(t.TempDir(), "plant.db"), o)
	var longest time.Duration
	// The first step teaches what a record costs, and a busy machine may teach too much.
	for round := 0; round < 10 && longest < 500*time.Millisecond; round++ {
		records := make([]mes.Record, step)
		for i := range records {
			records[i] = storetest.NewRecord("s", "m", time.UnixMicro(int64(1_700_000_000_000_000+round*step+i)).UTC())
		}
		began := time.Now()
		storetest.Append(t, s, records...)
		for s.Journal.Pending() > 0 {
			time.Sleep(time.Millisecond)
		}
		longest = max(longest, time.Since(began))
	}
	if longest < 500*time.Millisecond {
		t.Errorf("no step for which there was a second took longer than %s", longest)
	}
}

// TestAnEmptyLogIsNotMissed: a server that was started and stopped before anything came
// has lost nothing.
func TestAnEmptyLogIsNotMissed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "plant.db")
	var said strings.Builder
	for range 3 {
		s, err := app.OpenStorage(t.Context(), "sqlite:"+path, app.StorageOptions{Logger: slog.New(slog.NewTextHandler(&said, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(said.String(), "ERROR") {
		t.Error(said.String())
	}
}
