package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"plantgate/internal/journal"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
	"plantgate/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	every = 50 * time.Millisecond
	names = 12
)

// server is one of several that share a database.
type server struct {
	*lease.Keeper
	link *link
	name string
}

// link is a server's way to the database, which can be held up or cut.
type link struct {
	*store.Store
	mu  sync.RWMutex // held for writing while it is held up
	cut error
}

func (l *link) call() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.cut
}

func (l *link) Leases(ctx context.Context, prefix string) ([]lease.Lease, error) {
	if err := l.call(); err != nil {
		return nil, err
	}
	return l.Store.Leases(ctx, prefix)
}

func (l *link) ClaimLease(ctx context.Context, name, owner string, epoch int64, keep time.Duration) (lease.Lease, bool, error) {
	if err := l.call(); err != nil {
		return lease.Lease{}, false, err
	}
	return l.Store.ClaimLease(ctx, name, owner, epoch, keep)
}

func (l *link) RenewLease(ctx context.Context, held lease.Lease, keep time.Duration) (bool, error) {
	if err := l.call(); err != nil {
		return false, err
	}
	return l.Store.RenewLease(ctx, held, keep)
}

func (l *link) ResumeLease(ctx context.Context, held lease.Lease, keep time.Duration) (lease.Lease, bool, error) {
	if err := l.call(); err != nil {
		return lease.Lease{}, false, err
	}
	return l.Store.ResumeLease(ctx, held, keep)
}

func (l *link) ReleaseLease(ctx context.Context, held lease.Lease) error {
	if err := l.call(); err != nil {
		return err
	}
	return l.Store.ReleaseLease(ctx, held)
}

func openStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "plant.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t *testing.T, s *store.Store, n int, keep time.Duration) []*server {
	t.Helper()
	var list []string
	for i := range names {
		list = append(list, fmt.Sprintf("%02d", i))
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	var servers []*server
	for i := range n {
		l := &link{Store: s}
		name := fmt.Sprintf("server %d", i)
		k := lease.New(l, "test", name, list, lease.Options{Keep: keep, Every: every, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
		running.Go(func() { k.Run(ctx) })
		servers = append(servers, &server{k, l, name})
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return servers
}

func (s *server) held() map[string]lease.Lease {
	all, _ := s.Held()
	return all
}

func eventually(t *testing.T, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > 20*time.Second {
			t.Fatal("never: " + what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start)
}

func counts(servers ...*server) (list []int) {
	for _, s := range servers {
		list = append(list, len(s.held()))
	}
	return list
}

// TestOwnersChangeOnce: three servers share fairly; one that is held up loses what it
// has to the others, can write nothing as the owner that it was, and gets its part back
// when it goes on.
func TestOwnersChangeOnce(t *testing.T) {
	t.Parallel()
	const keep = 500 * time.Millisecond
	db := openStore(t)
	servers := start(t, db, 3, keep)
	eventually(t, "each has a third", func() bool { return fmt.Sprint(counts(servers...)) == "[4 4 4]" })
	stopped, others := servers[0], servers[1:]
	before := stopped.held()

	stopped.link.mu.Lock()
	took := eventually(t, "the others have all", func() bool { return fmt.Sprint(counts(others...)) == "[6 6]" })
	if took < keep/2 {
		t.Errorf("they took over after %v, and leases are kept for %v", took, keep)
	}
	for name, l := range before {
		_, err := db.Follow(t.Context(), nil, []lease.Lease{l}, 1, func(*store.Tx, *journal.Batch) error { return nil })
		if !errors.Is(err, mes.ErrLeaseLost) {
			t.Errorf("the former owner of %s may still write: %v", name, err)
		}
	}
	if n := len(stopped.held()); n != 4 {
		t.Errorf("a server that is held up knows that it has %d left", n)
	}
	stopped.link.mu.Unlock()
	eventually(t, "each has a third again", func() bool { return fmt.Sprint(counts(servers...)) == "[4 4 4]" })
	for name, l := range stopped.held() {
		if old, ok := before[name]; ok && l.Epoch <= old.Epoch {
			t.Errorf("%s came back with the epoch %d, it was %d", name, l.Epoch, old.Epoch)
		}
	}
	all := map[string]int{}
	for _, s := range servers {
		for name := range s.held() {
			all[name]++
		}
	}
	if len(all) != names {
		t.Errorf("%d of %d have an owner: %v", len(all), names, all)
	}
	t.Logf("taken over within %v, of leases that are kept for %v", took.Round(time.Millisecond), keep)
}

// TestNothingChangesHandsWhileTheDatabaseIsAway: owners keep what they have, however
// long nobody can renew anything.
func TestNothingChangesHandsWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	const keep = 2 * time.Second // longer than a busy machine holds a keeper up
	servers := start(t, openStore(t), 2, keep)
	eventually(t, "each has half", func() bool { return fmt.Sprint(counts(servers...)) == "[6 6]" })
	time.Sleep(4 * every) // each has seen what the other has
	before := []map[string]lease.Lease{servers[0].held(), servers[1].held()}
	cut := func(s *server, err error) {
		s.link.mu.Lock()
		defer s.link.mu.Unlock()
		s.link.cut = err
	}
	away := mes.Wrap(mes.CodeUnavailable, mes.ErrStoreAway, "away")
	cut(servers[1], away)
	time.Sleep(3 * every) // the other sees what it renewed last
	cut(servers[0], away)
	time.Sleep(keep + keep/2)
	cut(servers[0], nil)
	time.Sleep(4 * every) // one is back a little earlier, and finds the other's expired
	cut(servers[1], nil)
	time.Sleep(keep / 2)
	for i, s := range servers {
		after := s.held()
		if len(after) != len(before[i]) {
			t.Errorf("%s has %d, had %d", s.name, len(after), len(before[i]))
		}
		for name, l := range before[i] {
			if after[name].Epoch != l.Epoch {
				t.Errorf("%s: %s went from epoch %d to %d", s.name, name, l.Epoch, after[name].Epoch)
			}
		}
	}
}

// TestAStopGivesBack: nobody waits for the leases of a server that stops.
func TestAStopGivesBack(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	defer db.Close()
	ctx, cancel := context.WithCancel(t.Context())
	k := lease.New(db, "test", "a", []string{"x"}, lease.Options{Keep: time.Hour, Every: every})
	ended := make(chan struct{})
	go func() { k.Run(ctx); close(ended) }()
	working := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- k.While(ctx, "x", func(ctx context.Context, _ lease.Lease) error { close(working); <-ctx.Done(); return nil })
	}()
	<-working
	cancel()
	<-ended
	if err := <-done; err != nil {
		t.Error(err)
	}
	list, err := db.Leases(t.Context(), "test/")
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	for _, l := range list {
		if l.Owner != "" {
			t.Errorf("%s is still %s's", l.Name, l.Owner)
		}
	}
}
