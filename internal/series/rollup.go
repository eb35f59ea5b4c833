package series

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"plantgate/internal/mes"
)

// Mark says that a minute is due: that its stored buckets do not stand for its
// records. It is made in the transaction that makes the records visible.
type Mark struct {
	Unit   Unit
	Minute time.Time
	// Generation is greater with every record that comes to the minute.
	Generation int64
}

// RollupStore is what roll-ups are made of and kept in.
type RollupStore interface {
	// DueMarks lists marks of minutes that begin before the time: unit by unit, in the
	// order of the store, each in order of time; those after the given one, which
	// is the zero Mark at the beginning.
	DueMarks(ctx context.Context, after Mark, before time.Time, limit int) ([]Mark, error)
	// Samples is that of Source; without signals it yields those of all.
	Samples(ctx context.Context, unit Unit, signals []string, from, to time.Time, yield func(Sample) error) error
	// UpdateRollups runs fn in one transaction. Its error undoes everything.
	UpdateRollups(ctx context.Context, fn func(RollupTx) error) error
}

// RollupTx is the transaction in which roll-ups and marks change together.
type RollupTx interface {
	// ClearMark removes the mark if it still has its generation, and tells whether
	// it did.
	ClearMark(ctx context.Context, mark Mark) (bool, error)
	// RollupBlock returns a block as PutRollupBlock kept it; nil if there is none.
	RollupBlock(ctx context.Context, unit Unit, signal string, block Block) (buckets, sketches []byte, err error)
	// PutRollupBlock makes or replaces a block.
	PutRollupBlock(ctx context.Context, unit Unit, signal string, block Block, buckets, sketches []byte) error
}

// RollupOptions are settings whose zero value is usable.
type RollupOptions struct {
	// Every is the time between passes; 0 means a minute.
	Every time.Duration
	// Age is how long ago a minute began before it is rolled up: long enough for
	// most of its records to be there. 0 means 150 s, 90 s after its end.
	Age time.Duration
	// Clock is time.Now if it is nil.
	Clock  func() time.Time
	Logger *slog.Logger
}

// Rollup keeps roll-ups up to date. Only one may work on a store at a time.
type Rollup struct {
	store   RollupStore
	options RollupOptions
}

// NewRollup returns the maintenance of a store's roll-ups.
func NewRollup(store RollupStore, options RollupOptions) *Rollup {
	if options.Every == 0 {
		options.Every = time.Minute
	}
	if options.Age == 0 {
		options.Age = 150 * time.Second
	}
	if options.Clock == nil {
		options.Clock = time.Now
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	return &Rollup{store, options}
}

// Run rolls up what is due, pass by pass, until ctx ends. It fails only where the
// store can't make anything durable any more.
func (r *Rollup) Run(ctx context.Context) error {
	ticker := time.NewTicker(r.options.Every)
	defer ticker.Stop()
	for {
		n, err := r.Pass(ctx, r.options.Clock().Add(-r.options.Age))
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, mes.ErrDurability):
			return err
		case mes.ErrorCode(err) == mes.CodeUnavailable:
			r.options.Logger.Warn("roll-ups wait for the store", "error", err)
		case err != nil:
			r.options.Logger.Error("roll-ups failed", "error", err)
		case n > 0:
			r.options.Logger.Debug("minutes rolled up", "minutes", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Sizes of the work at hand: how many marks are listed at a time, and after how
// many signals a transaction ends, for which all writers wait: some 30 ms.
const (
	marksAtOnce   = 600
	signalsAtOnce = 200
)

// batch is due minutes of one unit and hour, and what their records sum up to:
// their buckets by signal, in order of time.
type batch struct {
	marks []Mark
	fresh map[string][]Entry
}

// Pass rolls up every due minute that began before the time, and returns how many
// it did. A minute that gets records meanwhile stays due. Records are read before
// the transactions, so that nobody waits for it; the generations of the marks tell
// whether any came since.
func (r *Rollup) Pass(ctx context.Context, before time.Time) (done int, err error) {
	var after Mark
	var failed error // of single hours; the others go on
	for {
		marks, err := r.store.DueMarks(ctx, after, before, marksAtOnce)
		if err != nil || len(marks) == 0 {
			return done, errors.Join(failed, err)
		}
		after = marks[len(marks)-1]
		var pending []batch
		signals := 0
		for len(marks) > 0 {
			b := batch{marks: marks[:sameHour(marks)]}
			marks = marks[len(b.marks):]
			if b.fresh, err = r.sumUp(ctx, b.marks); err != nil {
				return done, errors.Join(failed, err)
			}
			pending = append(pending, b)
			if signals += len(b.fresh); signals < signalsAtOnce && len(marks) > 0 {
				continue
			}
			n, err := r.commitAll(ctx, pending)
			if done += n; err != nil && mes.ErrorCode(err) != mes.CodeInternal {
				return done, errors.Join(failed, err)
			}
			failed = errors.Join(failed, err)
			pending, signals = nil, 0
		}
	}
}

// sameHour is how many of the marks are of one unit and hour.
func sameHour(marks []Mark) int {
	first := marks[0]
	hour := Hour.Start(first.Minute)
	n := slices.IndexFunc(marks, func(m Mark) bool { return m.Unit != first.Unit || !Hour.Start(m.Minute).Equal(hour) })
	if n < 0 {
		return len(marks)
	}
	return n
}

// commitAll commits the batches in one transaction; if one of them can't be
// made, each in its own.
func (r *Rollup) commitAll(ctx context.Context, batches []batch) (int, error) {
	done, err := r.commit(ctx, batches)
	if mes.ErrorCode(err) != mes.CodeInternal || len(batches) == 1 {
		return done, err
	}
	var failed error
	for i := range batches {
		n, err := r.commit(ctx, batches[i:i+1])
		if done += n; err != nil && mes.ErrorCode(err) != mes.CodeInternal {
			return done, err
		}
		failed = errors.Join(failed, err)
	}
	return done, failed
}

func (r *Rollup) commit(ctx context.Context, batches []batch) (done int, err error) {
	err = r.store.UpdateRollups(ctx, func(tx RollupTx) error {
		done = 0
		for _, b := range batches {
			n, err := b.put(ctx, tx)
			if err != nil {
				return fmt.Errorf("roll up %s~%s at %s: %w", b.marks[0].Unit.SiteID, b.marks[0].Unit.MachineID,
					b.marks[0].Minute.Format(time.RFC3339), err)
			}
			done += n
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return done, nil
}

// put takes the marks away, and puts the minutes of those that were as they were
// read.
func (b batch) put(ctx context.Context, tx RollupTx) (int, error) {
	cleared := make(map[int64]bool, len(b.marks))
	for _, m := range b.marks {
		ok, err := tx.ClearMark(ctx, m)
		if err != nil {
			return 0, err
		}
		if ok {
			cleared[minuteOf(m.Minute)] = true
		}
	}
	for _, signal := range slices.Sorted(maps.Keys(b.fresh)) {
		var entries []Entry
		for _, e := range b.fresh[signal] {
			if cleared[minuteOf(e.Start)] {
				entries = append(entries, e)
			}
		}
		if len(entries) == 0 {
			continue
		}
		if err := putEntries(ctx, tx, b.marks[0].Unit, signal, entries); err != nil {
			return 0, err
		}
	}
	return len(cleared), nil
}

// sumUp returns the buckets of the marked minutes by signal, in order of time.
func (r *Rollup) sumUp(ctx context.Context, marks []Mark) (map[string][]Entry, error) {
	fresh := make(map[string][]Entry)
	for len(marks) > 0 {
		n := 1
		for n < len(marks) && marks[n].Minute.Equal(marks[n-1].Minute.Add(time.Minute)) {
			n++
		}
		from, to := marks[0].Minute, marks[n-1].Minute.Add(time.Minute)
		err := r.store.Samples(ctx, marks[0].Unit, nil, from, to, func(s Sample) error {
			list, start := fresh[s.Signal], Minute.Start(s.Position.Time)
			if len(list) == 0 || !list[len(list)-1].Start.Equal(start) {
				list = append(list, Entry{Bucket: Bucket{Start: start}})
				fresh[s.Signal] = list
			}
			list[len(list)-1].add(s, true)
			return nil
		})
		if err != nil {
			return nil, err
		}
		marks = marks[n:]
	}
	return fresh, nil
}

// putEntries replaces minutes of one hour in their block, and then the hour and
// the day that they are part of.
func putEntries(ctx context.Context, tx RollupTx, unit Unit, signal string, entries []Entry) error {
	for _, width := range []Width{Minute, Hour, Day} {
		block := BlockOf(width, entries[0].Start)
		buckets, sketches, err := tx.RollupBlock(ctx, unit, signal, block)
		if err != nil {
			return err
		}
		var stored []Entry
		if buckets != nil {
			if stored, err = block.Decode(buckets, sketches); err != nil {
				return mes.Wrap(mes.CodeInternal, fmt.Errorf("%s of %q: %w", width, signal, err), "a roll-up is damaged")
			}
		}
		for _, e := range entries {
			stored = replace(stored, e)
		}
		buckets, sketches = block.Encode(stored)
		if err := tx.PutRollupBlock(ctx, unit, signal, block, buckets, sketches); err != nil {
			return err
		}
		// A block of minutes is an hour, one of hours a day.
		whole := Entry{Bucket: Bucket{Start: block.Start()}}
		for _, e := range stored {
			whole.merge(e)
		}
		entries = []Entry{whole}
	}
	return nil
}

// replace puts an entry into its place, as it will be read again: so that what is
// above it is the same whenever it is made.
func replace(entries []Entry, e Entry) []Entry {
	e.sum, e.lost = e.Sum(), 0
	e.FirstAt, e.LastAt = mes.Position{Time: e.FirstAt.Time}, mes.Position{Time: e.LastAt.Time}
	i, found := slices.BinarySearchFunc(entries, e, func(a, b Entry) int { return a.Start.Compare(b.Start) })
	if found {
		entries[i] = e
		return entries
	}
	return slices.Insert(entries, i, e)
}
