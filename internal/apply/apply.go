package apply

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/wal"
)

// The pauses between attempts while the store can't take anything.
const (
	firstPause = 50 * time.Millisecond
	longPause  = 2 * time.Second
	// saidAgain is how often the log says so.
	saidAgain = time.Minute
)

// apply takes one batch over. While the store is away or busy it tries again, until
// enough is closed. A batch that the store refuses is taken over record by record.
// It returns an error if the store is broken.
func (r *Runner[T]) apply(ctx context.Context, b *journal.Batch, enough <-chan struct{}) error {
	pause := firstPause
	var said time.Time
	for {
		b.Skip(r.applied.Arrivals) // of an attempt before, or before the last stop
		err := r.step(ctx, b, b.To)
		if mes.ErrorCode(err) == mes.CodeInternal && !errors.Is(err, mes.ErrDurability) {
			err = r.applySingly(ctx, b)
		}
		if mes.ErrorCode(err) != mes.CodeUnavailable || errors.Is(err, mes.ErrDurability) {
			return err
		}
		r.stats.observeRefusal(b, err)
		if time.Since(said) > saidAgain {
			said = time.Now()
			r.opts.Logger.Warn("the store does not take records; they stay in the log", slog.Any("error", err), slog.Int("records", len(b.Records)))
		}
		select {
		case <-time.After(pause):
		case <-enough:
			return errGivenUp
		}
		pause = min(2*pause, longPause)
	}
}

// errGivenUp ends applying without a failure: the batch is still in the log.
var errGivenUp = errors.New("the store took nothing until the end")

// applySingly takes a batch over record by record. One that the store can't take
// goes to quarantine: it was acknowledged, and must neither vanish nor hold up all
// others for ever.
func (r *Runner[T]) applySingly(ctx context.Context, b *journal.Batch) error {
	for i := range b.Records {
		single := &journal.Batch{To: r.applied.Position}
		single.FirstArrival, single.Records = b.FirstArrival+int64(i), b.Records[i:i+1]
		err := r.step(ctx, single, r.applied.Position)
		if mes.ErrorCode(err) == mes.CodeInternal && !errors.Is(err, mes.ErrDurability) {
			r.opts.Logger.Error("the store refused a record; it goes to quarantine", slog.Any("error", err))
			fault := mes.Errorf(mes.CodeInternal, "the store could not take the record")
			single.Items = []mes.QuarantineItem{ingest.QuarantineItem(&b.Records[i], fault)}
			err = r.stepWithout(ctx, single)
		}
		if err != nil {
			return err
		}
	}
	rest := &journal.Batch{To: b.To}
	rest.Deliveries, rest.ConnectionDeliveries, rest.Items, rest.Resolved = b.Deliveries, b.ConnectionDeliveries, b.Items, b.Resolved
	return r.step(ctx, rest, b.To)
}

// stepWithout takes over a batch but for its records, which count as applied.
func (r *Runner[T]) stepWithout(ctx context.Context, b *journal.Batch) error {
	to := journal.Applied{LogID: r.applied.LogID, Position: r.applied.Position, Arrivals: b.Arrivals()}
	without := &journal.Batch{To: b.To}
	without.Items = b.Items
	err := r.store.Apply(ctx, to, false, func(tx T) error { return All(ctx, r.steps, tx, without) })
	if err == nil {
		r.applied = to
		r.finish(b)
	}
	return err
}

// step is one transaction; the log goes on at the position after it.
func (r *Runner[T]) step(ctx context.Context, b *journal.Batch, position wal.Position) error {
	start := time.Now()
	to := journal.Applied{LogID: r.applied.LogID, Position: position, Arrivals: max(r.applied.Arrivals, b.Arrivals())}
	durable := position-r.released >= wal.Position(r.opts.ReleaseAfter)
	err := r.store.Apply(ctx, to, durable, func(tx T) error {
		r.pacer.resume()
		return All(ctx, r.steps, tx, b)
	})
	if err != nil {
		return err
	}
	r.applied = to
	r.pacer.end(len(b.Records))
	r.stats.observe(len(b.Records), time.Since(start))
	r.finish(b)
	if durable {
		r.giveBack(position)
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
	r.giveBack(r.applied.Position)
	return nil
}

// giveBack says that the log is not needed up to the position. What can't be given
// back now will be with what comes after it.
func (r *Runner[T]) giveBack(p wal.Position) {
	if err := r.journal.Release(p); err != nil {
		r.opts.Logger.Warn("a part of the log can't be given back yet", slog.Any("error", err))
		return
	}
	r.released = p
}
