package wal_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"

	"plantgate/internal/powerloss"
	"plantgate/internal/wal"
)

var powerlossCases = flag.Int("powerloss.cases", 300, "number of power cuts to try")

// recorder is a log on a disk that loses power, and what it acknowledged.
type recorder struct {
	disk *powerloss.Disk
	log  *wal.Log
	mu   sync.Mutex
	// acked is how many frames were acknowledged; their numbers begin with 0.
	acked    int
	released int
	ends     []wal.Position
}

func record(t *testing.T) *recorder {
	t.Helper()
	root := t.TempDir()
	r := &recorder{disk: powerloss.New(root)}
	// Short segments are begun and recycled many times a run.
	r.log = open(t, filepath.Join(root, "data", "log"), wal.Options{SegmentSize: smallSegment, FS: r.disk.Files()})
	return r
}

// step appends a frame, and now and then releases some.
func (r *recorder) step(random *rand.Rand) error {
	end, err := r.log.Append(numbered(r.acked))
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.acked++
	r.ends = append(r.ends, end)
	r.mu.Unlock()
	if random.IntN(10) > 0 {
		return nil
	}
	r.mu.Lock()
	r.released += random.IntN(r.acked - r.released + 1)
	r.mu.Unlock()
	if r.released == 0 {
		return nil
	}
	return r.log.Release(r.ends[r.released-1])
}

// left is what a power cut leaves.
type left struct {
	folder          string
	acked, released int
	ends            []wal.Position
}

// cut works until the power is cut before the given operation.
func (r *recorder) cut(t *testing.T, operation int, random, kept *rand.Rand) left {
	t.Helper()
	dst := t.TempDir()
	l := left{folder: filepath.Join(dst, "data", "log")}
	var failed error
	done := make(chan struct{})
	r.disk.AtOperation(powerloss.All, operation, func(s powerloss.Still) {
		r.mu.Lock()
		defer r.mu.Unlock()
		l.acked, l.released, l.ends = r.acked, r.released, r.ends
		failed = s.Snapshot(dst, kept)
		close(done)
	})
	for {
		select {
		case <-done:
			if failed != nil {
				t.Fatal(failed)
			}
			return l
		default:
		}
		if err := r.step(random); err != nil {
			t.Fatal(err)
		}
	}
}

// verify opens what is left and says what is wrong with it. At most the frame
// that was being appended may be there besides those acknowledged.
func (l left) verify() (err error) {
	log, err := wal.Open(l.folder, wal.Options{SegmentSize: smallSegment})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	n, from := l.released, wal.Position(0)
	if n > 0 {
		from = l.ends[n-1]
	}
	if log.First() > from {
		return fmt.Errorf("the log begins at %d, released is what is before %d", log.First(), from)
	}
	frames, _, err := read(log, from)
	if err != nil {
		return err
	}
	for _, frame := range frames {
		if !bytes.Equal(frame, numbered(n)) {
			return fmt.Errorf("instead of frame %d there is %.20q", n, frame)
		}
		n++
	}
	if n != l.acked && n != l.acked+1 {
		return fmt.Errorf("%d frames are there and %d were acknowledged", n, l.acked)
	}
	if scanned, err := scan(l.folder, from); err != nil || !equal(scanned, frames) {
		return fmt.Errorf("scanned %d frames of %d: %w", len(scanned), len(frames), err)
	}
	// The log goes on.
	for range 10 {
		if _, err := log.Append(numbered(n)); err != nil {
			return err
		}
		n++
	}
	more, _, err := read(log, from)
	if err == nil && len(more) != len(frames)+10 {
		err = fmt.Errorf("%d frames of %d can be read after the log went on", len(more), len(frames)+10)
	}
	return err
}

// TestPowerLoss cuts the power again and again. What was acknowledged is there
// after, in order, once, and nothing else.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	const cutsPerLog = 10
	total := 0
	for first := 0; first < *powerlossCases; first += cutsPerLog {
		r := record(t)
		for seed := first; seed < min(first+cutsPerLog, *powerlossCases); seed++ {
			random := rand.New(rand.NewPCG(uint64(seed), 13))
			kept := random // what was not synced is kept in part
			if seed%3 == 0 {
				kept = nil // or lost
			}
			l := r.cut(t, 1+random.IntN(200), random, kept)
			if err := l.verify(); err != nil {
				t.Fatalf("cut %d after %d frames: %v", seed, l.acked, err)
			}
			total += l.acked - l.released
		}
		shut(t, r.log)
	}
	t.Logf("%d frames that were acknowledged and not released were there after %d cuts", total, *powerlossCases)
}

// TestPowerLossIsFound makes sure that the check can fail.
func TestPowerLossIsFound(t *testing.T) {
	t.Parallel()
	for name, kept := range map[string]*rand.Rand{"nothing kept": nil, "some kept": rand.New(rand.NewPCG(1, 13))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := record(t)
			r.disk.IgnoreSync(powerloss.All)
			l := r.cut(t, 200, rand.New(rand.NewPCG(2, 13)), kept)
			if l.acked == 0 {
				t.Fatal("nothing was acknowledged before the cut")
			}
			err := l.verify()
			if err == nil {
				t.Error("without syncs nothing was lost")
			}
			t.Log(err)
		})
	}
}

// TestFailureEndsAppending: after a failed sync or write nothing is appended any
// more, even when the disk seems well again; what was durable can be read.
func TestFailureEndsAppending(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*powerloss.Disk, int32){
		"sync": (*powerloss.Disk).FailSync, "write": (*powerloss.Disk).FailWrites,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := record(t)
			end := add(t, r.log, numbered(0))
			fail(r.disk, sqlite3.SQLITE_IOERR_FSYNC)
			_, first := r.log.Append(numbered(1))
			fail(r.disk, 0)
			_, second := r.log.Append(numbered(1))
			if !errors.Is(first, wal.ErrFailed) || second == nil || second.Error() != first.Error() {
				t.Errorf("appended to a disk that failed: %v, %v", first, second)
			}
			frames, _, err := read(r.log, 0)
			if err != nil || r.log.End() != end || !equal(frames, [][]byte{numbered(0)}) {
				t.Errorf("%d frames can be read, %v", len(frames), err)
			}
		})
	}
}

// TestDiskFull: while there is no room for a segment nothing is appended, and
// nothing is broken.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	disk := powerloss.New(root)
	disk.FailWrites(sqlite3.SQLITE_FULL)
	l := open(t, filepath.Join(root, "log"), wal.Options{FS: disk.Files()})
	for range 3 {
		if _, err := l.Append(numbered(1)); !errors.Is(err, wal.ErrFull) || errors.Is(err, wal.ErrFailed) {
			t.Errorf("appended to a full disk: %v", err)
		}
	}
	disk.FailWrites(0)
	add(t, l, numbered(1))
}

// TestUnsyncedFrameIsSettled: a frame that a failed sync left in the system's
// memory counts once the log was opened again, and is durable then.
func TestUnsyncedFrameIsSettled(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	disk := powerloss.New(root)
	folder := filepath.Join(root, "log")
	o := wal.Options{FS: disk.Files()}
	l := open(t, folder, o)
	add(t, l, numbered(0))
	disk.FailSync(sqlite3.SQLITE_IOERR_FSYNC)
	if _, err := l.Append(numbered(1)); err == nil {
		t.Fatal("the sync did not fail")
	}
	shut(t, l)
	if _, err := wal.Open(folder, o); err == nil {
		t.Fatal("a log was opened whose last frame can't be made durable")
	}
	disk.FailSync(0)
	l = open(t, folder, o)
	want := [][]byte{numbered(0), numbered(1)}
	wantFrames(t, l, folder, 0, want)
	wantDurable(t, disk, want)
}

// wantDurable compares what is left after a power cut.
func wantDurable(t *testing.T, disk *powerloss.Disk, want [][]byte) {
	t.Helper()
	dst := t.TempDir()
	if err := disk.Snapshot(dst, nil); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dst, "log")
	wantFrames(t, open(t, folder, wal.Options{}), folder, 0, want)
}

// unsyncedFolder is a file system that can't sync folders.
type unsyncedFolder struct{ wal.FS }

func (unsyncedFolder) SyncFolder(string) error { return errors.New("the folder was not synced") }

// TestUnsyncedNameIsSettled is the same for a segment whose name was not synced.
func TestUnsyncedNameIsSettled(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	disk := powerloss.New(root)
	folder := filepath.Join(root, "log")
	l := open(t, folder, wal.Options{FS: unsyncedFolder{disk.Files()}})
	if _, err := l.Append(numbered(0)); !errors.Is(err, wal.ErrFailed) {
		t.Fatalf("appended to a folder that can't be synced: %v", err)
	}
	shut(t, l)
	l = open(t, folder, wal.Options{FS: disk.Files()})
	want := [][]byte{numbered(0)}
	wantFrames(t, l, folder, 0, want)
	wantDurable(t, disk, want)
}
