// Package retention deletes records that are older than they are to be kept.
package retention

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"plantgate/internal/mes"
)

// Store deletes records.
type Store interface {
	// Settle waits until everything is applied that was acknowledged, so that nothing
	// older than it is kept is on its way any more.
	Settle(ctx context.Context) error
	// ExpireRecords deletes records of the first work unit after the given one (0 is
	// before all) that has any with an earlier time than before: at most limit of
	// them, the oldest first. It returns the unit to go on after, which is the given
	// one again if there is more to delete in the same, how many it deleted, and
	// whether there is no further unit. Minutes whose roll-ups do not stand for their records are left.
	ExpireRecords(ctx context.Context, after int64, before time.Time, limit int) (next int64, deleted int, done bool, err error)
}

// Options are settings whose zero value is usable, but for Keep.
type Options struct {
	// Keep is how long records are kept after their time.
	Keep time.Duration
	// Every is the time between passes; 0 means ten minutes.
	Every time.Duration
	// Clock is time.Now if it is nil.
	Clock  func() time.Time
	Logger *slog.Logger
}

// Grace is how much longer than Keep records stay: intake refuses what is older
// than Keep, so that by then nothing more comes to what is deleted, and roll-ups
// stand for it.
const Grace = time.Hour

// atOnce is how many records a transaction deletes, for which all writers wait:
// some 20 ms. Between two of them records are applied.
const atOnce = 2000

// Service deletes what has expired.
type Service struct {
	store Store
	opts  Options
}

// New returns the retention of a store.
func New(store Store, o Options) *Service {
	if o.Every == 0 {
		o.Every = 10 * time.Minute
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{store: store, opts: o}
}

// Run deletes what has expired, pass by pass, until ctx ends. It fails only where
// the store can't make anything durable any more.
func (s *Service) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.opts.Every)
	defer ticker.Stop()
	for {
		deleted, err := s.Pass(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, mes.ErrDurability):
			return err
		case err != nil:
			s.opts.Logger.Warn("old records could not be deleted; they will be", slog.Any("error", err))
		case deleted > 0:
			s.opts.Logger.Info("old records deleted", slog.Int("records", deleted))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Pass deletes what has expired by now and returns how many records it were.
func (s *Service) Pass(ctx context.Context) (deleted int, err error) {
	before := s.opts.Clock().Add(-s.opts.Keep - Grace).Truncate(time.Minute)
	if err := s.store.Settle(ctx); err != nil {
		return 0, err
	}
	unit := int64(0)
	for ctx.Err() == nil {
		next, n, done, err := s.store.ExpireRecords(ctx, unit, before, atOnce)
		if deleted += n; err != nil || done {
			return deleted, err
		}
		unit = next
	}
	return deleted, ctx.Err()
}
