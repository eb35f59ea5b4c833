package crashtest

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"plantgate/internal/powerloss"
)

// cut is a power cut: what was promised when it came, and what it left.
type cut struct {
	folder   string
	receipts []given
	// path is the file or folder that was about to change.
	path string
	// pending is how many records were acknowledged and not applied.
	pending int64
}

// aim decides when the power is cut, and calls fn then.
type aim func(disk *powerloss.Disk, random *rand.Rand, fn func(powerloss.Still))

// aims are the moments that matter most. Each is found by waiting for some
// operation, and then for some more of any kind.
func aims() []aim {
	after := func(of powerloss.Paths, most, more int) aim {
		return func(disk *powerloss.Disk, random *rand.Rand, fn func(powerloss.Still)) {
			n, m := 1+random.IntN(most), random.IntN(more+1)
			disk.AtOperation(of, n, func(s powerloss.Still) {
				if m == 0 {
					fn(s)
					return
				}
				s.AtOperation(powerloss.All, m, fn)
			})
		}
	}
	is := func(name string) powerloss.Paths {
		return func(path string) bool { return filepath.Base(path) == name }
	}
	return []aim{
		// Anywhere.
		after(powerloss.All, 1500, 0),
		// A commit of the log: before its write, before its sync, or right behind it.
		after(isLog, 100, 10),
		// A step: what SQLite writes of it.
		after(is(databaseName+"-wal"), 500, 5),
		// A checkpoint.
		after(is(databaseName), 40, 5),
		// The next file of the log begins, or one is given back.
		after(isLogFolder, 10, 3),
	}
}

// cut cuts the power while several senders are at work.
func (in *intake) cut(t *testing.T, aim aim, random, kept *rand.Rand) cut {
	t.Helper()
	c := cut{folder: t.TempDir()}
	done := make(chan struct{})
	var failed error
	aim(in.vfs.Disk, random, func(s powerloss.Still) {
		in.mu.Lock()
		c.receipts = append(c.receipts, in.given...)
		in.mu.Unlock()
		c.path, c.pending = s.Path, in.storage.Journal.Pending()
		failed = s.Snapshot(c.folder, kept)
		close(done)
	})
	in.sendUntil(t, done)
	if failed != nil {
		t.Fatal(failed)
	}
	return c
}

// score counts where the cuts fell.
type score struct {
	cuts, receipts int
	// between counts cuts when a record was acknowledged and not applied yet,
	// replayed those after which the log held what the database did not.
	between, replayed int
	// log and steps count cuts before a change of the files of the log, and of
	// SQLite's log, the others were before one of the database.
	log, steps int
}

func (s *score) count(c cut, replayed bool) {
	s.cuts++
	s.receipts += len(c.receipts)
	if c.pending > 0 {
		s.between++
	}
	if replayed {
		s.replayed++
	}
	switch {
	case isLog(c.path):
		s.log++
	case strings.HasSuffix(c.path, "-wal"):
		s.steps++
	}
}

func (s score) String() string {
	return fmt.Sprintf("%d power cuts, %d receipts hold; %d cuts lie between a commit of the log and the end of its step, "+
		"after %d there was something to apply; %d fell on the log, %d on steps, %d on checkpoints",
		s.cuts, s.receipts, s.between, s.replayed, s.log, s.steps, s.cuts-s.log-s.steps)
}
