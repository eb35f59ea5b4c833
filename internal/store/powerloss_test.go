package store_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/powerloss"
	"plantgate/internal/store"
	"plantgate/internal/store/storetest"
)

var powerlossCases = flag.Int("powerloss.cases", 50, "number of power cuts to try")

// plant is a store on a file layer that loses power, and how far it said it is.
type plant struct {
	vfs   *powerloss.VFS
	store *store.Store

	mu      sync.Mutex
	applied journal.Applied
	// durable is the number of the newest record that was to be durable.
	durable int64
}

// shortLog makes SQLite's log be copied into the database many times a run.
const shortLog = 20

// openPlant opens a plant whose database copies its log after so many rows.
func openPlant(t *testing.T, checkpointRows int) *plant {
	t.Helper()
	root := t.TempDir()
	vfs, err := powerloss.New(root).Register("powerloss-" + mes.NewID().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(root, "plant.db"),
		store.Options{VFS: vfs.Name, CheckpointRows: checkpointRows, Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), vfs.Close()); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &plant{vfs: vfs, store: s}
}

// batchSize is how many records one step of the test has.
const batchSize = 3

// step applies the next batch: the times of its records are their numbers.
func (p *plant) step(ctx context.Context, durable bool) error {
	p.mu.Lock()
	before := p.applied
	p.mu.Unlock()
	var g journal.Group
	for i := range batchSize {
		n := before.Arrivals + 1 + int64(i)
		g.Records = append(g.Records, storetest.NewRecord("s", fmt.Sprintf("m%d", n%4), time.UnixMicro(1_700_000_000_000_000+n)))
	}
	to, err := put(ctx, p.store, before, g, durable)
	if err == nil {
		p.mu.Lock()
		p.applied = to
		if durable {
			p.durable = to.Arrivals
		}
		p.mu.Unlock()
	}
	return err
}

// cut lets the plant work, cuts its power before the given operation on the
// files, and returns the folder that is left, and how far the plant was by then.
func (p *plant) cut(t *testing.T, operation int, random, kept *rand.Rand) (folder string, applied, durable int64) {
	t.Helper()
	folder = t.TempDir()
	stop := make(chan struct{})
	var failed error
	p.vfs.AtOperation(powerloss.All, operation, func(s powerloss.Still) {
		p.mu.Lock()
		applied, durable = p.applied.Arrivals, p.durable
		p.mu.Unlock()
		failed = s.Snapshot(folder, kept)
		close(stop)
	})
	for {
		select {
		case <-stop:
			if failed != nil {
				t.Fatal(failed)
			}
			return folder, applied, durable
		default:
		}
		if err := p.step(t.Context(), random.IntN(8) == 0); err != nil {
			t.Fatal(err)
		}
	}
}

// verify opens what a power cut left and says what is wrong with it: there must be
// the records up to some number, those that were to be durable at least, and what
// follows from them.
func verify(t *testing.T, folder string, applied, durable int64) (err error) {
	t.Helper()
	path := filepath.Join(folder, "plant.db")
	s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{Readers: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.CheckSchema(t.Context()); err != nil {
		return err
	}
	var integrity string
	if err := openFile(t, path).QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&integrity); err != nil || integrity != "ok" {
		return fmt.Errorf("integrity: %s, %w", integrity, err)
	}
	now, err := s.Applied(t.Context())
	if err != nil {
		return err
	}
	if now.Arrivals < durable || now.Arrivals > applied+batchSize {
		return fmt.Errorf("%d records are applied; it were %d, %d of them to be durable", now.Arrivals, applied, durable)
	}
	found, err := s.Records(t.Context(), mes.RecordFilter{Limit: 1_000_000})
	if err != nil {
		return err
	}
	if int64(len(found)) != now.Arrivals {
		return fmt.Errorf("%d records are applied and %d there", now.Arrivals, len(found))
	}
	for i := range found {
		if n := found[i].Time.UnixMicro() - 1_700_000_000_000_000; n != int64(i+1) {
			return fmt.Errorf("instead of record %d there is %d", i+1, n)
		}
	}
	return verifyDerived(t, s, found)
}

// verifyDerived compares newest values and equipment with the records.
func verifyDerived(t *testing.T, s *store.Store, records []mes.Record) error {
	newest := map[string]mes.Record{}
	for _, r := range records { // in order
		newest[r.MachineID] = r
	}
	latest, err := s.Latest(t.Context(), mes.LatestFilter{})
	if err != nil {
		return err
	}
	if len(latest) != len(newest) {
		return fmt.Errorf("%d newest values of %d machines", len(latest), len(newest))
	}
	for _, l := range latest {
		if l.RecordID != newest[l.MachineID].ID {
			return fmt.Errorf("the newest value of %s is not its newest record's", l.MachineID)
		}
		e, err := s.Equipment(t.Context(), l.SiteID, l.MachineID)
		if err != nil {
			return err
		}
		if !e.LastTime.Equal(newest[l.MachineID].Time) {
			return fmt.Errorf("%s was last heard of at %s", l.MachineID, e.LastTime)
		}
	}
	return nil
}

// TestPowerLoss cuts the power again and again while steps are applied, durable
// ones and others. What was to be durable must be there after, and nothing by half.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	const cutsPerPlant = 5
	for first := 0; first < *powerlossCases; first += cutsPerPlant {
		p := openPlant(t, shortLog)
		for seed := first; seed < min(first+cutsPerPlant, *powerlossCases); seed++ {
			random := rand.New(rand.NewPCG(uint64(seed), 7))
			kept := random // what was not synced is kept in part
			if seed%3 == 0 {
				kept = nil // or lost
			}
			folder, applied, durable := p.cut(t, 1+random.IntN(1500), random, kept)
			if err := verify(t, folder, applied, durable); err != nil {
				t.Fatalf("cut %d after %d records: %v", seed, applied, err)
			}
		}
	}
}

// TestPowerLossIsFound makes sure that the check can fail: without syncs it must
// find what is lost, whether the disk kept nothing or some of the writes.
func TestPowerLossIsFound(t *testing.T) {
	t.Parallel()
	for name, kept := range map[string]*rand.Rand{
		"nothing kept": nil,
		"some kept":    rand.New(rand.NewPCG(1, 7)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openPlant(t, shortLog)
			p.vfs.IgnoreSync(powerloss.All)
			folder, applied, durable := p.cut(t, 1500, rand.New(rand.NewPCG(2, 7)), kept)
			if durable == 0 {
				t.Fatal("nothing was to be durable before the cut")
			}
			if err := verify(t, folder, applied, durable); err == nil {
				t.Error("without syncs nothing was lost")
			} else {
				t.Log(err)
			}
		})
	}
}

// TestFailedSyncEndsWriting fails one sync: that commit and all later ones are
// failures of durability, even when the disk seems well again.
func TestFailedSyncEndsWriting(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]int32{
		"sync": sqlite3.SQLITE_IOERR_FSYNC, "write": sqlite3.SQLITE_IOERR_WRITE, "other": sqlite3.SQLITE_IOERR_FSTAT,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openPlant(t, shortLog)
			if err := p.step(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			p.vfs.FailSync(code)
			if err := p.step(t.Context(), true); !errors.Is(err, mes.ErrDurability) {
				t.Errorf("a failed sync: %v", err)
			}
			p.vfs.FailSync(0)
			for _, durable := range []bool{true, false} {
				if err := p.step(t.Context(), durable); !errors.Is(err, mes.ErrDurability) {
					t.Errorf("a commit after a failed sync: %v", err)
				}
			}
			found, err := p.store.Records(t.Context(), mes.RecordFilter{})
			if err != nil || len(found) != batchSize {
				t.Errorf("%d records can be read, %v", len(found), err)
			}
		})
	}
}

// TestFullDisk refuses writes for a while: nothing is stored, nothing is broken.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for name, durable := range map[string]bool{"durable": true, "not durable": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openPlant(t, shortLog)
			p.vfs.FailWrites(sqlite3.SQLITE_FULL)
			err := p.step(t.Context(), durable)
			if mes.ErrorCode(err) != mes.CodeUnavailable || errors.Is(err, mes.ErrDurability) {
				t.Errorf("a full disk: %v", err)
			}
			p.vfs.FailWrites(0)
			if err := p.step(t.Context(), durable); err != nil {
				t.Errorf("after there was room again: %v", err)
			}
			found, err := p.store.Records(t.Context(), mes.RecordFilter{})
			if err == nil {
				err = verifyDerived(t, p.store, found)
			}
			if err != nil || len(found) != batchSize {
				t.Errorf("%d records can be read, %v", len(found), err)
			}
		})
	}
}

// TestFailedCheckpointEndsWriting fails the syncs that only copies of SQLite's log
// make: steps that were not synced can no longer be counted on, and the log of
// arrivals must not be given back for them.
func TestFailedCheckpointEndsWriting(t *testing.T) {
	t.Parallel()
	p := openPlant(t, 200)
	// SQLite's log is neither new nor about to be copied: no other sync is due.
	for range 2 {
		if err := p.step(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	p.vfs.FailSync(sqlite3.SQLITE_IOERR_FSYNC)
	var err error
	for range 100 {
		if err = p.step(t.Context(), false); err != nil {
			break
		}
	}
	if !errors.Is(err, mes.ErrDurability) {
		t.Fatalf("syncs failed, and the steps went on: %v", err)
	}
	p.vfs.FailSync(0)
	if err := p.step(t.Context(), true); !errors.Is(err, mes.ErrDurability) {
		t.Errorf("a synced step after that: %v", err)
	}
}
