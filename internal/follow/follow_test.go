package follow_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plantgate/internal/follow"
	"plantgate/internal/journal"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
)

// arrivals is a database in which only so many records wait to be followed.
type arrivals struct {
	mu        sync.Mutex
	waiting   int64
	fail      error
	poison    map[int64]bool // of what waits, by how many wait with it
	skipped   []int64
	forgotten int
	lanes     []int
}

func (a *arrivals) Follow(_ context.Context, lanes []int, _ []lease.Lease, limit int, fn func(struct{}, *journal.Batch) error) ([]int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lanes = lanes
	if a.fail != nil {
		return nil, a.fail
	}
	n := min(int64(limit), a.waiting)
	taken := make([]int64, n)
	for i := range n {
		taken[i] = a.waiting - i
	}
	for _, arrival := range taken {
		if a.poison[arrival] {
			return taken, mes.Wrap(mes.CodeInternal, mes.ErrUnstorable, "the store can't hold it")
		}
	}
	if err := fn(struct{}{}, &journal.Batch{}); err != nil {
		return taken, err
	}
	a.waiting -= n
	return taken, nil
}

func (a *arrivals) Skip(_ context.Context, arrival int64, _ lease.Lease) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.skipped = append(a.skipped, arrival)
	a.waiting--
	return nil
}

func (a *arrivals) ForgetFollowed() { a.forgotten++ }

func (a *arrivals) NewestArrival(context.Context) (int64, error) { return a.left(), nil }

func (a *arrivals) OldestArrival(context.Context) (int64, error) { return min(1, a.left()), nil }

func (a *arrivals) left() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.waiting
}

func (a *arrivals) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

// held are leases that do not change.
type held map[string]lease.Lease

func (h held) Held() (map[string]lease.Lease, <-chan struct{}) { return h, make(chan struct{}) }

func run(t *testing.T, a *arrivals, h held) (f *follow.Follower[struct{}], stop func()) {
	t.Helper()
	f = follow.New[struct{}](a, h, nil, follow.Options{Step: 10})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	return f, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestReadersWait: a reader has what had arrived when it came, and does not wait for ever.
func TestReadersWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &arrivals{waiting: 95}
		f, stop := run(t, a, held{"3": {Epoch: 1}, "server:x": {Epoch: 1}, "1": {Epoch: 1}})
		defer stop()
		if err := f.Settle(t.Context()); err != nil || a.left() != 0 {
			t.Errorf("%v, %d left", err, a.left())
		}
		if steps, records := f.Stats(); steps != 10 || records != 95 {
			t.Errorf("%d records in %d steps", records, steps)
		}
		if len(a.lanes) != 2 || a.lanes[0] != 1 || a.lanes[1] != 3 {
			t.Errorf("lanes %v", a.lanes)
		}
		if a.forgotten != 1 {
			t.Errorf("what another server followed was forgotten %d times", a.forgotten)
		}
		a.set(func() { a.waiting, a.fail = 5, errors.New("away") })
		began := time.Now()
		if err := f.Settle(t.Context()); mes.ErrorCode(err) != mes.CodeUnavailable || time.Since(began) < 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		a.set(func() { a.fail = nil })
		time.Sleep(5 * time.Second)
		if a.left() != 0 {
			t.Error("nothing follows once the database is well")
		}
	})
}

// TestPoisonIsLeftOut: a record of which the database can't hold what follows does not
// hold up the others.
func TestPoisonIsLeftOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &arrivals{waiting: 95, poison: map[int64]bool{95: true, 60: true, 59: true, 1: true}}
		f, stop := run(t, a, held{"3": {Epoch: 1}})
		defer stop()
		if err := f.Settle(t.Context()); err != nil || a.left() != 0 {
			t.Errorf("%v, %d left", err, a.left())
		}
		if !slices.Equal(a.skipped, []int64{95, 60, 59, 1}) {
			t.Errorf("left out %v", a.skipped)
		}
	})
}

// TestNothingFollowsWithoutALease: another server does that.
func TestNothingFollowsWithoutALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &arrivals{waiting: 5}
		_, stop := run(t, a, held{"server:x": {}})
		time.Sleep(time.Minute)
		stop()
		if a.left() != 5 {
			t.Error("it followed")
		}
	})
}
