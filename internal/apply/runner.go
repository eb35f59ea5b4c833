package apply

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/wal"
)

// Options are the settings of a Runner. The zero value of a field means its default.
type Options struct {
	// MaxDelay is how long records wait for company; 0 means 2 s. Readers do
	// not wait for it.
	MaxDelay time.Duration
	// FullStep is how many records are worth a step at once; 0 means 8192.
	FullStep int
	// MaxRecords and MaxBytes bound one step; 0 means 8192 and 16 MiB.
	MaxRecords, MaxBytes int
	// ReleaseAfter is after how many bytes of the log it is made durable that they
	// are applied, so that they can be given back; 0 means 8 MiB.
	ReleaseAfter int
	// ReadWait is how long a reader waits for the records before it; 0 means 2 s.
	ReadWait time.Duration
	// StopTime is how long a stop goes on applying; what is left then is applied
	// after the next start. 0 means 10 s.
	StopTime time.Duration
	Logger   *slog.Logger
}

func (o *Options) setDefaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.MaxDelay, 2*time.Second)
	set(&o.ReadWait, 2*time.Second)
	set(&o.StopTime, 10*time.Second)
	for _, n := range []struct {
		field *int
		value int
	}{{&o.FullStep, 8 << 10}, {&o.MaxRecords, 8 << 10}, {&o.MaxBytes, 16 << 20}, {&o.ReleaseAfter, 8 << 20}} {
		if *n.field == 0 {
			*n.field = n.value
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Runner applies a journal to a store.
type Runner[T any] struct {
	journal *journal.Journal
	store   Store[T]
	steps   []Step[T]
	opts    Options
	reader  *journal.Reader
	batch   journal.Batch
	// applied is how far the store is, released how far the log was given back.
	applied  journal.Applied
	released wal.Position
	// stepRecords is how many records the step at work has, stepEnd where it ends.
	stepRecords int
	stepEnd     wal.Position
	pacer       pacer
	stats       counters

	mu      sync.Mutex
	done    wal.Position  // everything before it is applied
	failed  error         // why nothing more will be
	moved   chan struct{} // closed and replaced when done moves
	hurried chan struct{} // has a token when somebody begins to wait
	waiting atomic.Int32  // counts who waits
}

// New returns a runner that goes on where the store is.
func New[T any](j *journal.Journal, store Store[T], applied journal.Applied, steps []Step[T], opts Options) *Runner[T] {
	opts.setDefaults()
	r := &Runner[T]{
		journal: j, store: store, steps: steps, opts: opts, reader: j.Reader(applied.Position),
		applied: applied, released: applied.Position, done: applied.Position,
		moved: make(chan struct{}), hurried: make(chan struct{}, 1),
	}
	r.reader.Pause = r.pacer.pause
	r.pacer = pacer{span: min(opts.MaxDelay, maxSpan), gathered: r.gathered, urgent: r.urgent, hurry: r.hurried}
	return r
}

// gathered is how much of the next step is there, by records or by bytes.
func (r *Runner[T]) gathered() float64 {
	records := r.journal.Pending() - int64(r.stepRecords)
	bytes := r.journal.End() - r.stepEnd
	return max(float64(records)/float64(r.opts.FullStep), float64(bytes)/float64(r.opts.MaxBytes))
}

// urgent tells whether somebody waits for the step: readers, or all who send records.
func (r *Runner[T]) urgent() bool { return r.waiting.Load() > 0 || r.journal.Room() != nil }

// Pause is for the store to call all along the work of Apply: it takes a while if
// there is no hurry.
func (r *Runner[T]) Pause() { r.pacer.pause() }

// Hurry ends a rest. It is for the store to call when another write begins to wait.
func (r *Runner[T]) Hurry() {
	select {
	case r.hurried <- struct{}{}:
	default:
	}
}

// Run applies what is committed until ctx ends, and then what is left, for a
// while. It returns an error if nothing more can be applied: the process must end
// then, and will go on after its next start.
func (r *Runner[T]) Run(ctx context.Context) error {
	err := r.run(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed = err; err == nil {
		r.failed = errStopped
	}
	close(r.moved)
	return err
}

var errStopped = mes.Errorf(mes.CodeUnavailable, "the server is stopping")

func (r *Runner[T]) run(ctx context.Context) error {
	r.pacer.stop = ctx.Done()
	// A step that began is finished.
	work := context.WithoutCancel(ctx)
	// What is left from before the start comes first, and waits for nobody.
	for more := true; more; more = r.waitForWork(ctx) {
		if err := r.applyAll(work, ctx.Done()); err != nil {
			return err
		}
	}
	enough := make(chan struct{})
	timer := time.AfterFunc(r.opts.StopTime, func() { close(enough) })
	defer timer.Stop()
	if err := r.applyAll(work, enough); err != nil {
		return err
	}
	err := r.release(work)
	if mes.ErrorCode(err) == mes.CodeUnavailable && !errors.Is(err, mes.ErrDurability) {
		r.opts.Logger.Warn("the log could not be given back at the stop; the next start does it", slog.Any("error", err))
		return nil
	}
	return err
}

// waitForWork returns once a step is worth it, and false when ctx ended.
func (r *Runner[T]) waitForWork(ctx context.Context) bool {
	var delay <-chan time.Time
	for {
		if r.journal.Pending() >= int64(r.opts.FullStep) {
			return ctx.Err() == nil
		}
		select {
		case <-r.journal.Grown():
			if delay == nil {
				delay = time.After(r.opts.MaxDelay)
			}
		case <-r.hurried:
			return true
		case <-delay:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// applyAll applies what is durable by now, until it is done or enough is closed.
func (r *Runner[T]) applyAll(ctx context.Context, enough <-chan struct{}) error {
	until := r.journal.End()
	for r.applied.Position < until {
		r.beginStep()
		err := r.reader.Next(&r.batch, r.opts.MaxRecords, r.opts.MaxBytes)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			r.stepRecords, r.stepEnd = len(r.batch.Records), r.batch.To
			r.pacer.expect(r.stepRecords)
			err = r.apply(ctx, &r.batch, enough)
		}
		if errors.Is(err, errGivenUp) {
			r.reader = r.journal.Reader(r.applied.Position) // the batch comes again
			r.reader.Pause = r.pacer.pause
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-enough:
			return nil
		default:
		}
	}
	return nil
}

// beginStep begins a step of a size that is known when it was read.
func (r *Runner[T]) beginStep() {
	r.stepRecords = int(min(r.journal.Pending(), int64(r.opts.MaxRecords)))
	r.stepEnd = min(r.journal.End(), r.applied.Position+wal.Position(r.opts.MaxBytes))
	r.pacer.begin(r.stepRecords)
}

// finish tells everybody that the batch is applied.
func (r *Runner[T]) finish(b *journal.Batch) {
	r.journal.Applied(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = b.To
	close(r.moved)
	r.moved = make(chan struct{})
}

// Wait returns once everything is applied that was durable when it was called, so
// that a read that follows misses nothing. It fails with CodeUnavailable when that
// takes longer than ReadWait.
func (r *Runner[T]) Wait(ctx context.Context) error {
	target := r.journal.End()
	if done, _, _ := r.progress(); done >= target {
		return nil
	}
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	timeout := time.NewTimer(r.opts.ReadWait)
	defer timeout.Stop()
	for {
		done, moved, failed := r.progress()
		if done >= target {
			return nil
		}
		if failed != nil {
			return failed
		}
		r.Hurry()
		select {
		case <-moved:
		case <-timeout.C:
			return &mes.Error{Code: mes.CodeUnavailable, RetryAfter: r.opts.ReadWait,
				Message: "the data that arrived just now are not ready to be read yet; try again"}
		case <-ctx.Done():
			return mes.Wrap(mes.CodeUnavailable, ctx.Err(), "the query was cut short")
		}
	}
}

// progress returns what is applied, what is closed when that changes, and why nothing
// more will be.
func (r *Runner[T]) progress() (done wal.Position, moved <-chan struct{}, failed error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done, r.moved, r.failed
}
