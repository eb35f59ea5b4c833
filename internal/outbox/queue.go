package outbox

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// Options are the settings of a Queue. The zero value of a field means its default.
type Options struct {
	// Parallel is how many keys are served at once; 0 means 32.
	Parallel int
	// Poll is how often messages are looked for that another server may have put; 0 means
	// 1 s.
	Poll time.Duration
	// Timeout is how long the target may take for one message; 0 means 20 s.
	Timeout time.Duration
	// FirstPause and LongestPause are those before a message is tried again; 0 means
	// 500 ms and 30 s.
	FirstPause, LongestPause time.Duration
	// Grace is how long a message that is on its way at a stop is waited for; 0 means 5 s.
	Grace  time.Duration
	Logger *slog.Logger
}

func (o *Options) setDefaults() {
	o.Parallel = cmp.Or(o.Parallel, 32)
	o.Poll = cmp.Or(o.Poll, time.Second)
	o.Timeout = cmp.Or(o.Timeout, 20*time.Second)
	o.FirstPause = cmp.Or(o.FirstPause, 500*time.Millisecond)
	o.LongestPause = cmp.Or(o.LongestPause, 30*time.Second)
	o.Grace = cmp.Or(o.Grace, 5*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
}

// Queue is what waits for one target. It outlives the connections to it.
type Queue struct {
	store  Store
	target string
	opts   Options
	log    *slog.Logger

	wake chan struct{}
	// connections counts how often the target came within reach.
	connections atomic.Int64

	sent, expired, failures, dropped atomic.Int64
}

// New returns the queue of a target.
func New(store Store, target string, opts Options) *Queue {
	opts.setDefaults()
	return &Queue{
		store: store, target: target, opts: opts,
		log: opts.Logger.With(slog.String("target", target)), wake: make(chan struct{}, 1),
	}
}

// Target is the name of what the queue is for.
func (q *Queue) Target() string { return q.target }

// Wake says that there is a new message. It never waits.
func (q *Queue) Wake() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Connected says that the target is within reach. It never waits.
func (q *Queue) Connected() {
	q.connections.Add(1)
	q.Wake()
}

// Drop counts messages that whoever puts them left out for want of room.
func (q *Queue) Drop(n int) { q.dropped.Add(int64(n)) }

// Stats counts since the start.
type Stats struct {
	// Sent is how many messages the target has taken, Expired how many were not sent any
	// more, and Failures how many attempts failed.
	Sent, Expired, Failures int64
	// Dropped is how many messages were not put, since there was no room.
	Dropped int64
}

// Stats returns what the queue counted.
func (q *Queue) Stats() Stats {
	return Stats{Sent: q.sent.Load(), Expired: q.expired.Load(), Failures: q.failures.Load(), Dropped: q.dropped.Load()}
}

// pause is the next of pauses that double.
func (o *Options) pause(before time.Duration) time.Duration {
	return min(max(2*before, o.FirstPause), o.LongestPause)
}

// attempt bounds one delivery.
func (q *Queue) attempt(ctx context.Context, deliver Deliver, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, q.opts.Timeout)
	defer cancel()
	return deliver(ctx, m)
}
