package lease_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	if k.Proven() {
		t.Error("what the database was not asked about is proven")
	}
	away.mu.Lock()
	away.cut = nil
	away.mu.Unlock()
	has(k, map[string]int64{"x": 2, "y": 2})
	time.Sleep(3 * every)
	has(k, map[string]int64{"x": 2, "y": 2})
	if !k.Proven() {
		t.Error("what the database has confirmed is not proven")
	}
	list, _ = left.Leases("test")
	end()
	if list, _ := left.Leases("test"); len(list) != 0 {
		t.Errorf("after a stop that gave everything back it remembers %v", list)
	}

	for _, l := range list { // as if it had not given anything back
		owner := "a"
		if l.Name == "test/x" {
			owner = "b"
		}
		now, taken, err := db.ClaimLease(t.Context(), l.Name, owner, l.Epoch, time.Hour)
		if !taken || err != nil {
			t.Fatal(taken, err)
		}
		left.list = append(left.list, lease.Lease{Name: l.Name, Owner: "a", Epoch: now.Epoch})
	}
	k, end = run(db, opts)
	has(k, map[string]int64{"y": 4})
	eventually(t, "it knows whose they are", func() bool { return k.Owner("x") == "b" && k.Owner("y") == "a" })
	end()
}

// TestOneOfTwoByOneNameGoesOn: of two processes of one name that remember the same (a
// virtual machine was copied with its disk) each lease is one's; the other can prove
// nothing by it.
func TestOneOfTwoByOneNameGoesOn(t *testing.T) {
	t.Parallel()
	prove := func(db *store.Store, l lease.Lease) error {
		_, err := db.Follow(context.WithoutCancel(t.Context()), nil, []lease.Lease{l}, 1, func(*store.Tx, *journal.Batch) error { return nil })
		return err
	}
	for name, outage := range map[string]bool{"the database is there": false, "the database is away at the start": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openStore(t)
			ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
			var running sync.WaitGroup
			defer func() { cancel(); running.Wait(); _ = db.Close() }()
			names := []string{"v", "w", "x", "y", "z"}
			var list []lease.Lease
			for _, name := range names {
				l, taken, err := db.ClaimLease(ctx, "test/"+name, "a", 0, time.Hour)
				if !taken || err != nil {
					t.Fatal(taken, err)
				}
				list = append(list, l)
			}
			before := list
			var mu sync.Mutex
			using := map[lease.Lease]int{}
			start := func(link *link, list []lease.Lease) *lease.Keeper {
				k := lease.New(link, "test", "a", names, lease.Options{Keep: time.Hour, Every: every, Memory: &memory{list: list, away: outage}})
				running.Go(func() { k.Run(ctx) })
				for _, name := range names {
					running.Go(func() {
						_ = k.While(ctx, name, func(working context.Context, l lease.Lease) error {
							mu.Lock()
							using[l]++
							mu.Unlock()
							<-working.Done()
							mu.Lock()
							defer mu.Unlock()
							using[l]--
							return nil
						})
					})
				}
				return k
			}
			links := []*link{{Store: db}, {Store: db}}
			var keepers []*lease.Keeper
			holds := func(n int) bool {
				all := 0
				for _, k := range keepers {
					held, _ := k.Held()
					all += len(held)
				}
				return all == n
			}
			if outage {
				for _, l := range links {
					l.cut = mes.Wrap(mes.CodeUnavailable, mes.ErrStoreAway, "away")
				}
			}
			for i, l := range links {
				keepers = append(keepers, start(l, list))
				if outage {
					continue
				}
				eventually(t, "one that starts has all", func() bool { held, _ := keepers[i].Held(); return len(held) == len(names) })
				held, _ := keepers[i].Held()
				list = slices.Collect(maps.Values(held)) // which is copied
			}
			if outage {
				eventually(t, "each goes on with all", func() bool { return holds(2 * len(names)) })
				for _, l := range links {
					l.mu.Lock()
					l.cut = nil
					l.mu.Unlock()
				}
			}
			eventually(t, "each lease is one's", func() bool { return holds(len(names)) && keepers[0].Proven() && keepers[1].Proven() })
			time.Sleep(4 * every)
			if !holds(len(names)) {
				t.Error("later it is not any more")
			}
			for _, l := range before {
				if err := prove(db, l); !errors.Is(err, mes.ErrLeaseLost) {
					t.Errorf("%s is proven by what both remember: %v", l.Name, err)
				}
			}
			for _, k := range keepers {
				held, _ := k.Held()
				for _, l := range held {
					if err := prove(db, l); err != nil {
						t.Errorf("%s is not proven by its owner: %v", l.Name, err)
					}
				}
			}
			if held, _ := keepers[0].Held(); !outage && len(held) != 0 {
				t.Errorf("the first still has %v", held)
			} else if owner := keepers[0].Owner("x"); !outage && owner != "a" {
				t.Errorf("to the first x is %q's", owner)
			}
			eventually(t, "nobody uses a lease by what both remember", func() bool {
				mu.Lock()
				defer mu.Unlock()
				n := 0
				for l, users := range using {
					if users > 0 && slices.Contains(before, l) {
						return false
					}
					n += users
				}
				return n == len(names)
			})
		})
	}
}

// TestAProofWaitsForTheUser: a lease that is not proven gets its new epoch when what
// comes by the old one has ended, and nobody else takes it meanwhile.
func TestAProofWaitsForTheUser(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	defer func() { cancel(); running.Wait(); _ = db.Close() }()
	const keep = 10 * every
	before, taken, err := db.ClaimLease(ctx, "test/x", "a", 0, keep)
	if !taken || err != nil {
		t.Fatal(taken, err)
	}
	away := &link{Store: db, cut: mes.Wrap(mes.CodeUnavailable, mes.ErrStoreAway, "away")}
	k := lease.New(away, "test", "a", []string{"x"}, lease.Options{Keep: keep, Every: every, Memory: &memory{list: []lease.Lease{before}, away: true}})
	running.Go(func() { k.Run(ctx) })
	used, told, finish := make(chan lease.Lease, 2), make(chan struct{}, 2), make(chan struct{})
	running.Go(func() {
		_ = k.While(ctx, "x", func(working context.Context, l lease.Lease) error {
			used <- l
			<-working.Done()
			told <- struct{}{}
			<-finish
			return nil
		})
	})
	if l := <-used; l.Epoch != 1 {
		t.Errorf("it goes on with %v", l)
	}
	away.mu.Lock()
	away.cut = nil
	away.mu.Unlock()
	<-told
	other := lease.New(db, "test", "b", []string{"x"}, lease.Options{Keep: keep, Every: every})
	running.Go(func() { other.Run(ctx) })
	time.Sleep(2 * keep)
	if held, _ := other.Held(); len(held) != 0 || k.Proven() {
		t.Errorf("the other has %v, proven: %t", held, k.Proven())
	}
	if _, err := db.Follow(ctx, nil, []lease.Lease{before}, 1, func(*store.Tx, *journal.Batch) error { return nil }); err != nil {
		t.Errorf("what is still used is not its own any more: %v", err)
	}
	close(finish)
	if l := <-used; l.Epoch != 2 || !k.Proven() {
		t.Errorf("afterwards it has %v", l)
	}
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

// TestWhatIsDeclinedGoesToTheOthers: a server that can't use a lease leaves it to another,
// beyond the fair part of that, until it wants it again.
func TestWhatIsDeclinedGoesToTheOthers(t *testing.T) {
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
	holds := func(k *lease.Keeper, n int) bool { held, _ := k.Held(); return len(held) == n }
	alone := keeper("a")
	eventually(t, "it has both", func() bool { return holds(alone, 2) })
	alone.Decline("x")
	time.Sleep(5 * every)
	if held, _ := alone.Held(); len(held) != 1 || held["y"].Name == "" || alone.Owner("x") != "" {
		t.Errorf("it has %v, and x is %q's", held, alone.Owner("x"))
	}
	alone.Want("x")
	eventually(t, "it has both again", func() bool { return holds(alone, 2) })

	other := keeper("b")
	eventually(t, "each has one", func() bool { return holds(alone, 1) && holds(other, 1) })
	held, _ := other.Held()
	for name := range held {
		other.Decline(name)
	}
	for range 2 { // and it stays so
		eventually(t, "the first has both", func() bool { return holds(alone, 2) && holds(other, 0) })
		time.Sleep(5 * every)
	}
	for name := range held {
		other.Want(name)
	}
	eventually(t, "each has one again", func() bool { return holds(alone, 1) && holds(other, 1) })
}
