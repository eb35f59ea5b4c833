package lease_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"plantgate/internal/journal"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
	"plantgate/internal/store"
)

// memory is a lease.Memory without a file.
type memory struct {
	mu   sync.Mutex
	list []lease.Lease
	away bool
}

func (m *memory) Leases(string) ([]lease.Lease, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.list, m.away
}

func (m *memory) KeepLeases(_ string, list []lease.Lease, away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list, m.away = list, away
}

// TestARestartGoesOn: a server that starts again, by the same name and with what it
// remembers, has its leases at once, even while the database is away; but not what
// another has taken meanwhile.
func TestARestartGoesOn(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	defer db.Close()
	opts := lease.Options{Keep: time.Hour, Every: every, Memory: &memory{}}
	run := func(l lease.Store, o lease.Options) (k *lease.Keeper, end func()) {
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		k = lease.New(l, "test", "a", []string{"x", "y"}, o)
		ended := make(chan struct{})
		go func() { k.Run(ctx); close(ended) }()
		return k, func() { cancel(); <-ended }
	}
	has := func(k *lease.Keeper, epochs map[string]int64) {
		t.Helper()
		eventually(t, fmt.Sprintf("it has %v", epochs), func() bool {
			held, _ := k.Held()
			same := len(held) == len(epochs)
			for name, l := range held {
				same = same && epochs[name] == l.Epoch
			}
			return same
		})
	}
	dead := &link{Store: db} // a process that ends without a word
	k, end := run(dead, opts)
	has(k, map[string]int64{"x": 1, "y": 1})
	time.Sleep(2 * every)
	dead.mu.Lock()
	dead.cut = mes.Wrap(mes.CodeUnavailable, mes.ErrStoreAway, "away")
	dead.mu.Unlock()
	eventually(t, "it knows that the database is away", func() bool { _, away := opts.Memory.Leases("test"); return away })
	list, _ := opts.Memory.Leases("test")
	left := &memory{list: list}
	end()

	opts.Memory = left // as if it had ended before
	away := &link{Store: db, cut: mes.Wrap(mes.CodeUnavailable, mes.ErrStoreAway, "away")}
	k, end = run(away, opts)
	time.Sleep(3 * every)
	has(k, map[string]int64{})
	end()
	left = &memory{list: list, away: true}
	opts.Memory = left
	k, end = run(away, opts)
	has(k, map[string]int64{"x": 1, "y": 1})
	away.mu.Lock()
	away.cut = nil
	away.mu.Unlock()
	time.Sleep(3 * every)
	has(k, map[string]int64{"x": 1, "y": 1})
	end()
	if list, _ := left.Leases("test"); len(list) != 0 {
		t.Errorf("after a stop that gave everything back it remembers %v", list)
	}

	left.KeepLeases("test", []lease.Lease{{Name: "test/x", Owner: "a", Epoch: 1}, {Name: "test/y", Owner: "a", Epoch: 1}}, false)
	if _, taken, err := db.ClaimLease(t.Context(), "test/x", "b", 1, time.Hour); !taken || err != nil {
		t.Fatal(taken, err)
	}
	opts.Memory = left
	k, end = run(db, opts)
	has(k, map[string]int64{"y": 2})
	if k.Owner("x") != "b" || k.Owner("y") != "a" {
		t.Errorf("x is %q's and y %q's", k.Owner("x"), k.Owner("y"))
	}
	end()
}

// TestWhatIsUsedIsGivenLater: a lease that is to go to a server that came later goes
// when its user has ended, and not before.
func TestWhatIsUsedIsGivenLater(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	defer func() { cancel(); running.Wait(); _ = db.Close() }()
	keeper := func(name string) *lease.Keeper {
		k := lease.New(db, "test", name, []string{"x", "y"}, lease.Options{Keep: time.Minute, Every: every})
		running.Go(func() { k.Run(ctx) })
		return k
	}
	first := keeper("a")
	told, finish := make(chan struct{}, 1), make(chan struct{})
	for _, name := range []string{"x", "y"} {
		running.Go(func() {
			_ = first.While(ctx, name, func(working context.Context, l lease.Lease) error {
				<-working.Done()
				if ctx.Err() == nil {
					told <- struct{}{}
					<-finish
					if _, err := db.Follow(ctx, nil, []lease.Lease{l}, 1, func(*store.Tx, *journal.Batch) error { return nil }); err != nil {
						t.Errorf("what it is about to give away is not its own any more: %v", err)
					}
				}
				return nil
			})
		})
	}
	eventually(t, "it has both", func() bool { held, _ := first.Held(); return len(held) == 2 })
	second := keeper("b")
	<-told
	time.Sleep(4 * every)
	if held, _ := second.Held(); len(held) != 0 {
		t.Errorf("the other has %v while it is used", held)
	}
	close(finish)
	eventually(t, "the other has one", func() bool { held, _ := second.Held(); return len(held) == 1 })
}

// TestEverythingHasAnOwner: servers that are configured differently leave nothing that
// only one of them knows.
func TestEverythingHasAnOwner(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	defer func() { cancel(); running.Wait(); _ = db.Close() }()
	var keepers []*lease.Keeper
	for name, list := range map[string][]string{"a": {"1", "2", "3"}, "b": {"3", "4", "5"}, "c": {"1", "2", "3"}} {
		k := lease.New(db, "test", name, list, lease.Options{Keep: time.Minute, Every: every})
		running.Go(func() { k.Run(ctx) })
		keepers = append(keepers, k)
	}
	eventually(t, "all have an owner", func() bool {
		all := map[string]bool{}
		for _, k := range keepers {
			held, _ := k.Held()
			for name := range held {
				all[name] = true
			}
		}
		return len(all) == 5
	})
}
