package crashtest

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/powerloss"
)

// How often the power is cut, unless PLANTGATE_TEST_CUTS says: as often as the
// time allows (the race detector makes SQLite tens of times slower). A plant sees
// cutsPerPlant of them.
const (
	leastCuts    = 10
	cutsPerPlant = 5
	cutTime      = 8 * time.Second
	longestPause = 10 * time.Millisecond
)

// TestPowerLoss cuts the power at moments by chance. Every receipt that was given
// before must hold, and what follows from records must follow.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	cuts := int(number(t, "PLANTGATE_TEST_CUTS", 0))
	var score score
	for begun := time.Now(); ; {
		if done := score.cuts; cuts > 0 && done >= cuts || cuts == 0 && done >= leastCuts && time.Since(begun) > cutTime {
			break
		}
		// Every other plant has a rest now and then, in which the database catches up.
		in := openIntake(t, time.Duration(score.cuts/cutsPerPlant%2)*longestPause)
		for range cutsPerPlant {
			seed := score.cuts
			random := rand.New(rand.NewPCG(uint64(seed), 11))
			kept := random // what was not synced is kept in part
			if random.IntN(3) == 0 {
				kept = nil // or lost
			}
			c := in.cut(t, aims()[seed%len(aims())], random, kept)
			replayed, err := verify(t, c, random.IntN(2) == 0)
			if err != nil {
				t.Fatalf("cut %d before a change of %s, after %d receipts, with %d records to be applied: %v",
					seed, c.path, len(c.receipts), c.pending, err)
			}
			score.count(c, replayed)
		}
	}
	t.Log(score)
	// Cuts that fall elsewhere prove little.
	if score.between*2 < score.cuts || score.replayed*2 < score.cuts {
		t.Error("too few cuts fall between a commit of the log and the end of its step")
	}
}

// TestPowerLossIsFound makes sure that the check can fail: on files that are
// never synced, receipts do not hold.
func TestPowerLossIsFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ignored powerloss.Paths
		kept    *rand.Rand
	}{
		"nothing synced, nothing kept": {powerloss.All, nil},
		"nothing synced, some kept":    {powerloss.All, rand.New(rand.NewPCG(1, 11))},
		"the log not synced":           {isLog, nil},
		// The log is given back once steps are durable. If they are not, it is given
		// back too early.
		"the database not synced": {isDatabase, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// One cut may come when nothing is under way.
			for range 5 {
				in := openIntake(t, 0)
				in.vfs.IgnoreSync(test.ignored)
				// Files of the log are given back a few times before.
				c := in.cut(t, func(disk *powerloss.Disk, _ *rand.Rand, fn func(powerloss.Still)) {
					disk.AtOperation(isLogFolder, 20, fn)
				}, nil, test.kept)
				if len(c.receipts) == 0 {
					t.Fatal("no receipt was given before the cut")
				}
				if _, err := verify(t, c, false); err != nil {
					t.Log(err)
					return
				}
			}
			t.Error("without syncs nothing was lost")
		})
	}
}

// failedSync is the result code of a sync that failed (SQLITE_IOERR_FSYNC).
const failedSync = 10 | 4<<8

// TestFailedSyncEndsIngest fails the syncs while several senders wait: none gets
// a receipt, neither then nor when the disk seems well again, and Run ends with
// ErrDurability.
func TestFailedSyncEndsIngest(t *testing.T) {
	t.Parallel()
	in := openIntake(t, 0)
	for range 20 {
		if err := in.send(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	kept := len(in.given)
	in.vfs.FailSync(failedSync)
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			if err := in.send(t.Context()); mes.ErrorCode(err) != mes.CodeUnavailable {
				t.Errorf("a sender got %v", err)
			}
		})
	}
	senders.Wait()
	err := <-in.written
	if !errors.Is(err, mes.ErrDurability) {
		t.Errorf("Run ended with %v", err)
	}
	in.written <- err // for the clean-up
	in.vfs.FailSync(0)
	if err := in.send(t.Context()); mes.ErrorCode(err) != mes.CodeUnavailable {
		t.Errorf("after the failure a sender got %v", err)
	}
	if len(in.given) != kept {
		t.Errorf("%d batches got a receipt", len(in.given)-kept)
	}
}
