package store

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/powerloss"
	"plantgate/internal/store/storetest"
)

var powerlossCases = flag.Int("powerloss.cases", 50, "number of power cuts to try")

// plant is a store on a file layer that loses power, and what it acknowledged.
type plant struct {
	vfs   *powerloss.VFS
	store *Store

	mu    sync.Mutex
	acked []mes.Record
	begun int // how many batches were begun
}

func openPlant(t *testing.T) *plant {
	t.Helper()
	root := t.TempDir()
	vfs, err := powerloss.New(root).Register("powerloss-" + mes.NewID().String())
	if err != nil {
		t.Fatal(err)
	}
	// A short log makes it be copied into the database many times a run.
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(root, "plant.db"),
		Options{VFS: vfs.Name, CheckpointPages: 20, Readers: 1})
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

// batchSize is how many records one commit of the test has.
const batchSize = 3

// work commits numbered records from several goroutines until stop is closed.
func (p *plant) work(t *testing.T, writers int, stop <-chan struct{}) {
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := p.commit(t, w); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// commit stores a batch of a machine, with times that no other batch has.
func (p *plant) commit(t *testing.T, machine int) error {
	p.mu.Lock()
	n := p.begun
	p.begun++
	p.mu.Unlock()
	batch := make([]mes.Record, batchSize)
	for i := range batch {
		at := time.UnixMicro(int64(1_700_000_000_000_000 + n*batchSize + i))
		batch[i] = storetest.NewRecord("s", fmt.Sprintf("m%d", machine), at)
	}
	err := p.store.Update(t.Context(), func(tx ingest.Tx) error {
		if _, err := tx.AppendRecords(t.Context(), batch, storetest.Window(time.Now())); err != nil {
			return err
		}
		return tx.ApplyRecords(t.Context(), batch)
	})
	if err == nil {
		p.mu.Lock()
		p.acked = append(p.acked, batch...)
		p.mu.Unlock()
	}
	return err
}

// cut lets the plant work, cuts its power before the given operation on the
// files, and returns the folder that is left and what was acknowledged by then.
func (p *plant) cut(t *testing.T, operation int, random *rand.Rand) (folder string, acked []mes.Record) {
	t.Helper()
	folder = t.TempDir()
	stop := make(chan struct{})
	var failed error
	p.vfs.AtOperation(operation, func(s powerloss.Still) {
		p.mu.Lock()
		acked = append(acked, p.acked...)
		p.mu.Unlock()
		failed = s.Snapshot(folder, random)
		close(stop)
	})
	p.work(t, 3, stop)
	if failed != nil {
		t.Fatal(failed)
	}
	return folder, acked
}

// verify opens what a power cut left and says what is wrong with it.
func verify(t *testing.T, folder string, acked []mes.Record) (err error) {
	t.Helper()
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(folder, "plant.db"), Options{Readers: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var integrity string
	if err := s.readers.Get(&integrity, "PRAGMA integrity_check"); err != nil {
		return err
	}
	if integrity != "ok" {
		return fmt.Errorf("integrity: %s", integrity)
	}
	if err := s.CheckSchema(t.Context()); err != nil {
		return err
	}
	found, err := s.Records(t.Context(), mes.RecordFilter{Limit: 1_000_000})
	if err != nil {
		return err
	}
	times := map[mes.ID]int{}
	for _, r := range found {
		times[r.ID]++
	}
	for _, r := range acked {
		if times[r.ID] != 1 {
			return fmt.Errorf("a record that was acknowledged is there %d times", times[r.ID])
		}
	}
	if len(found)%batchSize != 0 {
		return fmt.Errorf("%d records are not whole commits of %d", len(found), batchSize)
	}
	return verifyDerived(t, s, found)
}

// verifyDerived compares newest values and equipment with the records.
func verifyDerived(t *testing.T, s *Store, records []mes.Record) error {
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

// TestPowerLoss cuts the power again and again while three writers commit.
// What was acknowledged before must be there after, once, and nothing by half.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	const cutsPerPlant = 5
	for first := 0; first < *powerlossCases; first += cutsPerPlant {
		p := openPlant(t)
		for seed := first; seed < min(first+cutsPerPlant, *powerlossCases); seed++ {
			random := rand.New(rand.NewPCG(uint64(seed), 7))
			kept := random // what was not synced is kept in part
			if seed%3 == 0 {
				kept = nil // or lost
			}
			folder, acked := p.cut(t, 1+random.IntN(1500), kept)
			if err := verify(t, folder, acked); err != nil {
				t.Fatalf("cut %d after %d records: %v", seed, len(acked), err)
			}
		}
	}
}

// TestPowerLossIsFound makes sure that the check can fail: without syncs it must
// find what is lost, whether the disk kept nothing or some of the writes.
func TestPowerLossIsFound(t *testing.T) {
	t.Parallel()
	for name, random := range map[string]*rand.Rand{
		"nothing kept": nil,
		"some kept":    rand.New(rand.NewPCG(1, 7)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openPlant(t)
			p.vfs.IgnoreSync()
			folder, acked := p.cut(t, 600, random)
			if len(acked) == 0 {
				t.Fatal("nothing was acknowledged before the cut")
			}
			if err := verify(t, folder, acked); err == nil {
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
			p := openPlant(t)
			if err := p.commit(t, 0); err != nil {
				t.Fatal(err)
			}
			p.vfs.FailSync(code)
			if err := p.commit(t, 0); !errors.Is(err, mes.ErrDurability) {
				t.Errorf("a failed sync: %v", err)
			}
			p.vfs.FailSync(0)
			if err := p.commit(t, 0); !errors.Is(err, mes.ErrDurability) {
				t.Errorf("the commit after a failed sync: %v", err)
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
	p := openPlant(t)
	p.vfs.FailWrites(sqlite3.SQLITE_FULL)
	err := p.commit(t, 0)
	if mes.ErrorCode(err) != mes.CodeUnavailable || errors.Is(err, mes.ErrDurability) {
		t.Errorf("a full disk: %v", err)
	}
	p.vfs.FailWrites(0)
	if err := p.commit(t, 0); err != nil {
		t.Errorf("after there was room again: %v", err)
	}
	if err := verifyDerived(t, p.store, p.acked); err != nil {
		t.Error(err)
	}
}
