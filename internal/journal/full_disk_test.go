package journal_test

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/store/storetest"
	"plantgate/internal/wal"
)

// fullDisk has no room for another file while it is full.
type fullDisk struct {
	wal.FS
	full atomic.Bool
}

func (d *fullDisk) OpenFile(path string, flag int) (wal.File, error) {
	if d.full.Load() && flag&os.O_CREATE != 0 {
		return nil, &os.PathError{Op: "open", Path: path, Err: syscall.ENOSPC}
	}
	return d.FS.OpenFile(path, flag)
}

// TestFullDiskIsTold: while nothing can be committed since the disk is full the journal
// says so, and no longer once there is room, also if nobody tries to commit.
func TestFullDiskIsTold(t *testing.T) {
	t.Parallel()
	disk := &fullDisk{FS: wal.System()}
	log, err := wal.Open(t.TempDir(), wal.Options{SegmentSize: 16 << 10, FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	j, err := journal.Open(t.Context(), log, newIndex(), journal.Applied{LogID: log.ID(), Position: log.End()}, plenty())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	commit := func() error {
		n++
		r := storetest.NewRecord("s", "m", time.Now())
		r.Signals[0].Unit = strings.Repeat("x", 2000)
		return j.Update(t.Context(), func(tx ingest.Tx) error {
			_, err := tx.AppendRecords(t.Context(), []mes.Record{r}, ingest.LedgerWindow{})
			return err
		})
	}
	if err := errors.Join(commit(), j.Refused()); err != nil {
		t.Fatal(err)
	}
	disk.full.Store(true)
	for err = nil; err == nil && n < 1000; {
		err = commit()
	}
	var fault *mes.Error
	if !errors.As(err, &fault) || fault.Code != mes.CodeUnavailable || fault.RetryAfter == 0 || !strings.Contains(fault.Message, "the disk is full") {
		t.Fatalf("a commit to a full disk: %v", err)
	}
	end := time.Now().Add(1500 * time.Millisecond) // it is tried again, in vain
	for time.Now().Before(end) {
		if err := j.Refused(); !errors.As(err, &fault) || !strings.Contains(fault.Message, "the disk is full") {
			t.Fatalf("the disk is full, and the journal says %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	disk.full.Store(false)
	for end = time.Now().Add(30 * time.Second); j.Refused() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("there is room again, and the journal does not say so")
		}
	}
	if err := errors.Join(commit(), j.Refused()); err != nil {
		t.Error(err)
	}
}
