package lease_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"plantgate/internal/lease"
)

// TestAwaitLoss: who works by a lease is told at once that another server has it, in the
// middle of what it still brings to an end too; not that another is to have it later.
func TestAwaitLoss(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	defer func() { cancel(); running.Wait(); _ = db.Close() }()
	k := lease.New(db, "test", "a", []string{"held", "leaving"}, lease.Options{Keep: time.Minute, Every: every})
	running.Go(func() { k.Run(ctx) })

	type use struct {
		lease        lease.Lease
		ended, lost  chan struct{}
		finish, left chan struct{}
	}
	begin := func(name string) *use {
		u := &use{ended: make(chan struct{}), lost: make(chan struct{}), finish: make(chan struct{}), left: make(chan struct{})}
		began := make(chan struct{})
		running.Go(func() {
			defer close(u.left)
			working, stop := context.WithCancel(ctx)
			_ = k.While(working, name, func(ctx context.Context, l lease.Lease) error {
				defer stop()
				u.lease = l
				close(began)
				<-ctx.Done()
				close(u.ended)
				<-u.finish
				return nil
			})
		})
		<-began
		running.Go(func() {
			if k.AwaitLoss(ctx, name, u.lease.Epoch) {
				close(u.lost)
			}
		})
		return u
	}
	taken := func(u *use) {
		t.Helper()
		if err := db.ReleaseLease(ctx, u.lease); err != nil { // the row is another's from one renewal to the next
			t.Fatal(err)
		}
		if l, ok, err := db.ClaimLease(ctx, u.lease.Name, "b", u.lease.Epoch, time.Minute); err != nil || !ok {
			t.Fatal(l, ok, err)
		}
		select {
		case <-u.lost:
		case <-time.After(10 * time.Second):
			t.Errorf("nobody tells that %s is lost", u.lease.Name)
		}
	}
	held, leaving := begin("held"), begin("leaving")
	taken(held)
	<-held.ended
	close(held.finish)

	k.Decline("leaving")
	<-leaving.ended
	select {
	case <-leaving.lost:
		t.Error("what is used until it is given back is lost")
	case <-time.After(5 * every):
	}
	taken(leaving)
	close(leaving.finish)
	<-leaving.left
	if !k.AwaitLoss(ctx, "leaving", leaving.lease.Epoch) || !k.AwaitLoss(ctx, "never", 1) {
		t.Error("what this server has not is lost")
	}
}
