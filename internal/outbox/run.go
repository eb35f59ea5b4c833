package outbox

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"plantgate/internal/mes"
)

// turn is how many messages of a key go before it is another key's turn.
const turn = 16

// run is one time that the queue is served.
type run struct {
	*Queue
	deliver Deliver
	owner   *mes.Ownership
	// work outlives the end of the run by the time of grace.
	work context.Context

	workers  sync.WaitGroup
	finished chan outcome

	// What follows is the scheduler's alone. ready are keys whose turn it is, busy those
	// that are served, with whether there is more since, and resting those whose message
	// failed.
	ready   []string
	busy    map[string]bool
	resting map[string]rest
	// away is until when the target is taken to be out of reach, unless there are more
	// connections than seen.
	away time.Time
	seen int64
	// lookAt is when to look for messages of other servers.
	lookAt time.Time
	// blind is set while the outbox can't be read.
	blind bool
	// lost is set once another server serves the queue.
	lost bool
}

// rest is a key that is left alone for a while.
type rest struct {
	until time.Time
	pause time.Duration
}

// outcome is how serving a key ended.
type outcome struct {
	key  string
	more bool
	err  error
	// connections is their count when it began.
	connections int64
}

// Run delivers until ctx ends, and returns when nothing is on its way any more: at most
// so much later as a message may take, or the time of grace. owner is the right to the
// target, nil where it needs none. It fails with mes.ErrDurability only.
func (q *Queue) Run(ctx context.Context, deliver Deliver, owner *mes.Ownership) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(q.opts.Grace, stop) })()
	r := &run{
		Queue: q, deliver: deliver, owner: owner, work: work,
		finished: make(chan outcome, q.opts.Parallel),
		busy:     map[string]bool{}, resting: map[string]rest{},
	}
	err := r.schedule(ctx)
	if err != nil {
		stop()
	}
	r.workers.Wait()
	return err
}

// schedule serves keys until ctx ends.
func (r *run) schedule(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			r.look(ctx)
		case <-r.wake:
			if n := r.connections.Load(); n != r.seen {
				r.seen, r.away = n, time.Time{}
			}
			r.look(ctx)
		case o := <-r.finished:
			if err := r.settle(o); err != nil {
				return err
			}
		}
		r.serve(ctx)
		timer.Reset(r.untilNext())
	}
}

// look finds the keys that have messages.
func (r *run) look(ctx context.Context) {
	if r.isAway() {
		return
	}
	r.lookAt = time.Now().Add(r.opts.Poll)
	keys, err := r.store.WaitingKeys(ctx, r.target)
	if err != nil {
		if ctx.Err() == nil && !r.blind {
			r.blind = true
			r.log.Warn("the outbox can't be read; what is in it waits", slog.Any("error", err))
		}
		return
	}
	r.blind = false
	r.ready = r.ready[:0]
	waiting := make(map[string]bool, len(keys))
	for _, key := range keys {
		waiting[key] = true
		if _, served := r.busy[key]; served {
			r.busy[key] = true
			continue
		}
		if time.Now().Before(r.resting[key].until) {
			continue
		}
		r.ready = append(r.ready, key)
	}
	for key := range r.resting {
		if !waiting[key] {
			delete(r.resting, key)
		}
	}
}

func (r *run) isAway() bool { return r.lost || time.Now().Before(r.away) }

// serve begins with as many keys as may be served at once.
func (r *run) serve(ctx context.Context) {
	if r.isAway() {
		r.ready = r.ready[:0] // found again once the target is there
		return
	}
	for len(r.ready) > 0 && len(r.busy) < r.opts.Parallel {
		key := r.ready[0]
		r.ready = r.ready[1:]
		r.busy[key] = false
		connections := r.connections.Load()
		r.workers.Go(func() {
			more, err := r.serveKey(ctx, key)
			r.finished <- outcome{key, more, err, connections} // there is room for every worker
		})
	}
}

// settle takes note of how serving a key ended.
func (r *run) settle(o outcome) error {
	more := r.busy[o.key] || o.more
	delete(r.busy, o.key)
	switch {
	case o.err == nil:
		delete(r.resting, o.key)
		if more {
			r.ready = append(r.ready, o.key)
		}
	case errors.Is(o.err, mes.ErrDurability):
		return o.err
	case errors.Is(o.err, mes.ErrLeaseLost):
		r.lost = true
	case errors.Is(o.err, ErrAway) && o.connections == r.connections.Load():
		// Connected ends it; the time is for a target that says nothing.
		r.away = time.Now().Add(r.opts.LongestPause)
	case errors.Is(o.err, ErrAway): // it came back meanwhile
		r.ready = append(r.ready, o.key)
	default:
		pause := r.opts.pause(r.resting[o.key].pause)
		r.resting[o.key] = rest{until: time.Now().Add(pause/2 + rand.N(pause/2+1)), pause: pause}
	}
	return nil
}

// untilNext is when to look again.
func (r *run) untilNext() time.Duration {
	if r.isAway() {
		if r.lost {
			return r.opts.LongestPause
		}
		return max(time.Until(r.away), time.Millisecond)
	}
	next := max(time.Until(r.lookAt), time.Millisecond)
	for _, rest := range r.resting {
		next = min(next, max(time.Until(rest.until), time.Millisecond))
	}
	return next
}

// serveKey delivers messages of a key in their order, and tells whether there may be
// more. Each is read right before it goes: meanwhile it may have been withdrawn, or
// another may have taken its place.
func (r *run) serveKey(ctx context.Context, key string) (more bool, err error) {
	for range turn {
		if ctx.Err() != nil {
			return false, nil
		}
		list, err := r.store.NextMessages(r.work, r.target, key, 1)
		if err != nil {
			r.log.Warn("the outbox can't be read", slog.Any("error", err))
			return false, err
		}
		if len(list) == 0 {
			return false, nil
		}
		if err := r.serveMessage(list[0]); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (r *run) serveMessage(m Message) error {
	if !m.ExpiresAt.IsZero() && !time.Now().Before(m.ExpiresAt) {
		err := r.note(m, r.store.MessageExpired)
		if err == nil {
			r.expired.Add(1)
		}
		return err
	}
	if err := r.attempt(r.work, r.deliver, m); err != nil {
		if !errors.Is(err, ErrAway) {
			r.failures.Add(1)
			r.log.Warn("a message of the outbox was not taken and is sent again",
				slog.String("id", m.ID.String()), slog.String("key", m.Key), slog.Any("error", err))
		}
		return err
	}
	// Between here and the commit the message would be sent again after a crash.
	err := r.note(m, r.store.MessageSent)
	if err == nil {
		r.sent.Add(1)
	}
	return err
}

// note commits what became of a message. While that fails the next of its key does not
// go: it would be repeated behind it.
func (r *run) note(m Message, commit func(context.Context, Message, time.Time, *mes.Ownership) error) error {
	at, pause := mes.Micros(time.Now()), time.Duration(0)
	for {
		err := commit(r.work, m, at, r.owner)
		if err == nil || errors.Is(err, mes.ErrDurability) || errors.Is(err, mes.ErrLeaseLost) {
			return err
		}
		pause = r.opts.pause(pause)
		r.log.Warn("what became of a message of the outbox can't be stored, and is tried again",
			slog.String("id", m.ID.String()), slog.Any("error", err), slog.Duration("retry_in", pause))
		select {
		case <-time.After(pause):
		case <-r.work.Done():
			return err
		}
	}
}
