package app_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plantgate/internal/app/apptest"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
	"plantgate/internal/outbox"
	"plantgate/internal/store"
)

// leasesCut is a server's way to leases, which can be cut: it goes on with those it has.
type leasesCut struct {
	*store.Store
	cut atomic.Bool
}

var errCut = mes.Wrap(mes.CodeUnavailable, mes.ErrStoreAway, "cut")

func (c *leasesCut) Leases(ctx context.Context, prefix string) ([]lease.Lease, error) {
	if c.cut.Load() {
		return nil, errCut
	}
	return c.Store.Leases(ctx, prefix)
}

func (c *leasesCut) RenewLease(ctx context.Context, l lease.Lease, keep time.Duration) (bool, error) {
	if c.cut.Load() {
		return false, errCut
	}
	return c.Store.RenewLease(ctx, l, keep)
}

// sending is what a server sends of an outbox, up to a number at which it waits.
type sending struct {
	mu   sync.Mutex
	sent []string
	hold string
	gate chan struct{}
}

func (s *sending) deliver(_ context.Context, m outbox.Message) error {
	if string(m.Payload) == s.hold {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, string(m.Payload))
	return nil
}

func (s *sending) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent)
}

// TestOutboxGoesOver: a server that was cut off and has lost the connection to another
// sends nothing more than what it had on its way, and its note of that changes nothing.
func TestOutboxGoesOver(t *testing.T) {
	t.Parallel()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "plant.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() {
		running.Wait()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for n := range 12 {
		if err := db.EnqueueMessages(t.Context(), []outbox.Message{{ID: mes.NewID(), Target: "mqtt:hall", Key: "main~M1", Payload: fmt.Appendf(nil, "%d", n), QoS: 1, CreatedAt: time.Now()}}); err != nil {
			t.Fatal(err)
		}
	}
	start := func(server string, s *sending) *leasesCut {
		way := &leasesCut{Store: db}
		keeper := lease.New(way, "connection", server, []string{"mqtt:hall"}, lease.Options{Keep: 400 * time.Millisecond, Every: 40 * time.Millisecond})
		queue := outbox.New(db, "mqtt:hall", outbox.Options{Poll: 50 * time.Millisecond})
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		t.Cleanup(cancel)
		running.Go(func() { keeper.Run(ctx) })
		running.Go(func() {
			err := keeper.While(ctx, "mqtt:hall", func(ctx context.Context, l lease.Lease) error {
				owner := l.Ownership()
				return queue.Run(ctx, s.deliver, &owner)
			})
			if err != nil {
				t.Error(err)
			}
		})
		return way
	}
	first := &sending{hold: "3", gate: make(chan struct{})}
	openFirst := sync.OnceFunc(func() { close(first.gate) })
	t.Cleanup(openFirst)
	way := start("a", first)
	apptest.Eventually(t, "three messages of the first", func() bool { return first.count() == 3 })
	way.cut.Store(true)
	second := &sending{hold: "6", gate: make(chan struct{})}
	openSecond := sync.OnceFunc(func() { close(second.gate) })
	t.Cleanup(openSecond)
	start("b", second)
	apptest.Eventually(t, "three messages of the second", func() bool { return second.count() == 3 })
	openFirst()
	apptest.Eventually(t, "what the first had on its way", func() bool { return first.count() >= 4 })
	time.Sleep(200 * time.Millisecond)
	openSecond()
	apptest.Eventually(t, "everything", func() bool {
		w, err := db.WaitingOf(t.Context(), "mqtt:hall")
		return err == nil && w.Messages == 0
	})
	if got := fmt.Sprint(first.sent, second.sent); got != "[0 1 2 3] [3 4 5 6 7 8 9 10 11]" {
		t.Errorf("sent: %s", got)
	}
}
