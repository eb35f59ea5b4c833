// Package follow brings up to date what follows from records that were committed to a
// database that several servers share: newest values, minutes to roll up, what
// equipment was heard of. Machines are dealt into lanes; each lane is followed by the
// server that has its lease, which every transaction proves.
package follow

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"plantgate/internal/apply"
	"plantgate/internal/journal"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
)

// Store is a database that keeps, with each record, that something is still to follow
// from it.
type Store[T any] interface {
	// Follow takes over about limit records of the lanes: fn brings up to date what
	// follows from them, in one transaction in which the leases are proven. It returns
	// the numbers of their arrivals, those that it tried to take over if it fails.
	Follow(ctx context.Context, lanes []int, leases []lease.Lease, limit int, fn func(tx T, b *journal.Batch) error) (arrivals []int64, err error)
	// Skip drops what is to follow from a record, by the lease of its lane.
	Skip(ctx context.Context, arrival int64, l lease.Lease) error
	// ForgetFollowed is called before a lane is followed that another server had.
	ForgetFollowed()
	// NewestArrival and OldestArrival number the records from which something is still
	// to follow; 0 if there are none.
	NewestArrival(ctx context.Context) (int64, error)
	OldestArrival(ctx context.Context) (int64, error)
}

// Leases are what a server may follow.
type Leases interface {
	Held() (map[string]lease.Lease, <-chan struct{})
}

// Options are the settings of a Follower. The zero value of a field means its default.
type Options struct {
	// Step is how many records one transaction takes over; 0 means 4096.
	Step int
	// Every is how often a server looks for records of others; 0 means 100 ms.
	Every time.Duration
	// ReadWait is how long a reader waits for what is still to follow; 0 means 2 s.
	ReadWait time.Duration
	Logger   *slog.Logger
}

func (o *Options) setDefaults() {
	o.Step = cmp.Or(o.Step, 4096)
	o.Every = cmp.Or(o.Every, 100*time.Millisecond)
	o.ReadWait = cmp.Or(o.ReadWait, 2*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
}

// Follower follows the lanes whose leases its server has.
type Follower[T any] struct {
	store  Store[T]
	leases Leases
	steps  []apply.Step[T]
	opts   Options
	// epochs are those of the lanes that were followed last.
	epochs map[int]int64
	wake   chan struct{} // has a token when there may be something to follow
	// taken and transactions count what was followed.
	taken, transactions atomic.Int64
}

// New returns a follower; lanes are named in the leases by LaneName.
func New[T any](store Store[T], leases Leases, steps []apply.Step[T], opts Options) *Follower[T] {
	opts.setDefaults()
	return &Follower[T]{store: store, leases: leases, steps: steps, opts: opts, wake: make(chan struct{}, 1)}
}

// LaneName names a lane in leases.
func LaneName(lane int) string { return strconv.Itoa(lane) }

// Wake says that there is something to follow.
func (f *Follower[T]) Wake() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run follows until ctx ends. A database that is away is waited for.
func (f *Follower[T]) Run(ctx context.Context) error {
	pause := f.opts.Every
	failing := false
	for {
		n, err := f.step(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			pause, failing = f.opts.Every, false
		case errors.Is(err, mes.ErrUnstorable):
			n, err = f.isolate(ctx)
		case errors.Is(err, mes.ErrLeaseLost):
			f.opts.Logger.Info("another server follows some of the machines now")
		default:
			if !failing {
				f.opts.Logger.Warn("what follows from records can't be brought up to date now", slog.String("error", mes.WithCauses(err)))
			}
			failing = true
			pause = min(2*pause, longestPause)
		}
		if n > 0 && err == nil {
			continue // there may be more
		}
		if err := f.wait(ctx, pause, err == nil); err != nil {
			return nil
		}
	}
}

// longestPause is how long a database that refuses is left alone.
const longestPause = 2 * time.Second

func (f *Follower[T]) wait(ctx context.Context, pause time.Duration, wakeable bool) error {
	wake := f.wake
	if !wakeable {
		wake = nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	_, changed := f.leases.Held()
	select {
	case <-timer.C:
	case <-wake:
	case <-changed:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// step is one transaction.
func (f *Follower[T]) step(ctx context.Context) (int, error) {
	held, _ := f.leases.Held()
	epochs := map[int]int64{}
	var leases []lease.Lease
	for name, l := range held {
		lane, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		epochs[lane] = l.Epoch
		leases = append(leases, l)
	}
	if len(epochs) == 0 {
		return 0, nil
	}
	// Nearly always there is nothing, which one look tells.
	if newest, err := f.store.NewestArrival(ctx); err != nil || newest == 0 {
		return 0, err
	}
	for lane, epoch := range epochs {
		if f.epochs[lane] != epoch {
			f.store.ForgetFollowed()
			break
		}
	}
	f.epochs = epochs
	// Whoever proves several leases proves them in the same order, so that two that
	// change hands don't wait for each other.
	slices.SortFunc(leases, func(a, b lease.Lease) int { return strings.Compare(a.Name, b.Name) })
	lanes := slices.Sorted(maps.Keys(epochs))
	arrivals, err := f.store.Follow(ctx, lanes, leases, f.opts.Step, func(tx T, b *journal.Batch) error {
		return apply.All(ctx, f.steps, tx, b)
	})
	if err == nil && len(arrivals) > 0 {
		f.transactions.Add(1)
		f.taken.Add(int64(len(arrivals)))
	}
	return len(arrivals), err
}

// isolate follows the records of each lane one by one, for a while, and leaves out those
// of which the database can't hold what follows: they would hold up all that come after
// them.
func (f *Follower[T]) isolate(ctx context.Context) (n int, err error) {
	held, _ := f.leases.Held()
	for name, l := range held {
		lane, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		for range f.opts.Step {
			arrivals, err := f.store.Follow(ctx, []int{lane}, []lease.Lease{l}, 1, func(tx T, b *journal.Batch) error {
				return apply.All(ctx, f.steps, tx, b)
			})
			if errors.Is(err, mes.ErrUnstorable) && len(arrivals) == 1 {
				f.opts.Logger.Error("what follows from a record can't be stored and is left out", slog.Int64("arrival", arrivals[0]), slog.String("error", mes.WithCauses(err)))
				err = f.store.Skip(ctx, arrivals[0], l)
			}
			if err != nil {
				return n, err
			}
			if n += len(arrivals); len(arrivals) == 0 {
				break
			}
		}
	}
	return n, nil
}

// Stats counts the transactions in which records were followed, and the records.
func (f *Follower[T]) Stats() (transactions, records int64) {
	return f.transactions.Load(), f.taken.Load()
}

// Settle returns once everything has followed from what was committed when it was
// called, so that a read that comes after misses nothing. It fails with
// CodeUnavailable when that takes longer than ReadWait.
func (f *Follower[T]) Settle(ctx context.Context) error {
	newest, err := f.store.NewestArrival(ctx)
	if err != nil || newest == 0 {
		return err
	}
	f.Wake()
	deadline := time.NewTimer(f.opts.ReadWait)
	defer deadline.Stop()
	pause := firstLook
	for {
		oldest, err := f.store.OldestArrival(ctx)
		if err != nil || oldest == 0 || oldest > newest {
			return err
		}
		select {
		case <-time.After(pause):
		case <-deadline.C:
			return &mes.Error{Code: mes.CodeUnavailable, RetryAfter: f.opts.ReadWait,
				Message: "the data that arrived just now are not ready to be read yet; try again"}
		case <-ctx.Done():
			return mes.Wrap(mes.CodeUnavailable, ctx.Err(), "the query was cut short")
		}
		pause = min(2*pause, longestLook)
	}
}

// A reader looks after the first of these, and then more and more rarely.
const (
	firstLook   = 2 * time.Millisecond
	longestLook = 50 * time.Millisecond
)
