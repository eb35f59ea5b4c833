package lease_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"plantgate/internal/lease"
	"plantgate/internal/mes"
)

// TestTheCauseTellsALoss: who works by a lease is told whether another server has it, or
// is to have it once the work has ended.
func TestTheCauseTellsALoss(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end  func(t *testing.T, first *server, db lease.Store)
		lost bool
	}{
		"taken by another": {func(t *testing.T, first *server, db lease.Store) {
			// The row of the lease is another's from one renewal to the next.
			if err := db.ReleaseLease(t.Context(), first.held()["x"]); err != nil {
				t.Fatal(err)
			}
		}, true},
		"given away": {func(_ *testing.T, first *server, _ lease.Store) { first.Decline("x") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openStore(t)
			ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
			var running sync.WaitGroup
			defer func() { cancel(); running.Wait(); _ = db.Close() }()
			l := &link{Store: db}
			first := &server{lease.New(l, "test", "a", []string{"x"}, lease.Options{Keep: time.Minute, Every: every}), l, "a"}
			running.Go(func() { first.Run(ctx) })
			causes := make(chan error, 10)
			running.Go(func() {
				_ = first.While(ctx, "x", func(working context.Context, _ lease.Lease) error {
					<-working.Done()
					causes <- context.Cause(working)
					return nil
				})
			})
			eventually(t, "it has the lease", func() bool { return len(first.held()) == 1 })
			tt.end(t, first, db)
			if cause := <-causes; errors.Is(cause, mes.ErrLeaseLost) != tt.lost {
				t.Errorf("ended since %v", cause)
			}
		})
	}
}
