package apply

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/wal"
)

// The pauses between attempts while the store can't take anything.
const (
	firstPause = 50 * time.Millisecond
	longPause  = 2 * time.Second
)

// apply takes one batch over. While the store is away or busy it tries again, until
// enough is closed. It returns an error if the store is broken.
func (r *Runner[T]) apply(ctx context.Context, b *journal.Batch, enough <-chan struct{}) error {
	pause := firstPause
	for {
		err := r.step(ctx, b)
		if mes.ErrorCode(err) != mes.CodeUnavailable || errors.Is(err, mes.ErrDurability) {
			return err
		}
		r.opts.Logger.Warn("the store does not take records; they stay in the log", slog.Any("error", err), slog.Int("records", len(b.Records)))
		select {
		case <-time.After(pause):
		case <-enough:
			return nil
		}
		pause = min(2*pause, longPause)
	}
}

// step is one transaction.
func (r *Runner[T]) step(ctx context.Context, b *journal.Batch) error {
	start := time.Now()
	to := journal.Applied{LogID: r.applied.LogID, Position: b.To, Arrivals: max(r.applied.Arrivals, b.Arrivals())}
	durable := b.To-r.released >= wal.Position(r.opts.ReleaseAfter)
	err := r.store.Apply(ctx, to, durable, func(tx T) error { return All(ctx, r.steps, tx, b) })
	if err != nil {
		return err
	}
	r.applied = to
	r.stats.observe(len(b.Records), time.Since(start))
	r.finish(b)
	if durable {
		return r.giveBack(b.To)
	}
	return nil
}

// release makes everything that is applied durable and gives the log back.
func (r *Runner[T]) release(ctx context.Context) error {
	if r.applied.Position == r.released {
		return nil
	}
	if err := r.store.Apply(ctx, r.applied, true, func(T) error { return nil }); err != nil {
		return err
	}
	return r.giveBack(r.applied.Position)
}

func (r *Runner[T]) giveBack(p wal.Position) error {
	r.released = p
	return r.journal.Release(p)
}
