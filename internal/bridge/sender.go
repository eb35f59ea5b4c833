package bridge

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"plantgate/internal/outbox"
)

// Bounds of what waits.
const (
	// putTimeout bounds the wait for the outbox.
	putTimeout = 5 * time.Second
	// retryAfter is how long after a failure it is not tried.
	retryAfter = time.Second
	// maxHeld bounds the messages that wait in memory for the database, maxPut those of
	// one transaction.
	maxHeld = 10_000
	maxPut  = 100
	// countAfter is how old a count of what waits in the outbox may be.
	countAfter = 5 * time.Second
)

// sender puts messages into the outbox, in their order, by a goroutine of its own: no
// value waits for that. What the database does not take waits in memory, the newest
// maxHeld; a kill forgets it, while its records are safe.
type sender struct {
	target     string
	maxWaiting int64
	store      Store
	queue      Queue
	now        func() time.Time
	log        *slog.Logger
	came       chan struct{}
	dropping   atomic.Bool

	mu   sync.Mutex
	held []outbox.Message
	// first is the number of the first message that is held.
	first int64

	// Of run alone: when what waits at the target was counted, whether it was too much,
	// and whether the database took the last messages.
	counted time.Time
	full    bool
	failing bool
}

func newSender(s Settings, d Deps) *sender {
	return &sender{
		target: s.Target, maxWaiting: s.MaxWaiting, store: d.Store, queue: d.Queue, now: d.Now,
		log: d.Logger.With("connection", s.Connection, "target", s.Target), came: make(chan struct{}, 1),
	}
}

// send takes messages over. It does not wait.
func (s *sender) send(list []outbox.Message) {
	if len(list) == 0 {
		return
	}
	s.mu.Lock()
	s.held = append(s.held, list...)
	over := max(len(s.held)-maxHeld, 0)
	s.forget(over)
	s.mu.Unlock()
	s.drop(over, "the outbox does not take messages as fast as they come")
	select {
	case s.came <- struct{}{}:
	default:
	}
}

// forget removes the oldest n. The lock is held.
func (s *sender) forget(n int) {
	s.held = slices.Delete(s.held, 0, n)
	s.first += int64(n)
}

// next are the oldest messages, and the number of the first that they are not.
func (s *sender) next() (list []outbox.Message, end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list = slices.Clone(s.held[:min(maxPut, len(s.held))])
	return list, s.first + int64(len(list))
}

// done removes the messages before a number.
func (s *sender) done(end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(int(max(end-s.first, 0)))
}

// flush brings what is held into the outbox.
func (s *sender) flush(ctx context.Context) error {
	for {
		list, end := s.next()
		if len(list) == 0 {
			return nil
		}
		if err := s.put(ctx, list); err != nil {
			return err
		}
		s.done(end)
	}
}

func (s *sender) put(ctx context.Context, list []outbox.Message) error {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	full, err := s.isFull(ctx)
	if err != nil {
		return err
	}
	if full {
		s.drop(len(list), "too many messages wait for the broker")
		return nil
	}
	if err := s.store.EnqueueMessages(ctx, list); err != nil {
		return err
	}
	s.queue.Wake()
	return nil
}

// isFull tells whether too much waits at the target.
func (s *sender) isFull(ctx context.Context) (bool, error) {
	if s.now().Sub(s.counted) < countAfter {
		return s.full, nil
	}
	w, err := s.store.WaitingOf(ctx, s.target)
	if err != nil {
		return false, err
	}
	s.counted = s.now()
	full := w.Messages >= s.maxWaiting
	if full != s.full {
		s.full = full
		s.log.Warn("what waits for the broker of the bridge", "messages", w.Messages, "most", s.maxWaiting, "publishes", !full)
	}
	return full, nil
}

// drop counts what is not published. The first time is told, for the rest there is the
// count.
func (s *sender) drop(n int, reason string) {
	if n == 0 {
		return
	}
	s.queue.Drop(n)
	if s.dropping.CompareAndSwap(false, true) {
		s.log.Error("the bridge does not publish everything any more; the records are stored", "reason", reason)
	}
}

// run brings messages to the outbox until ctx ends, and then what is left, if the database
// takes it at once.
func (s *sender) run(ctx context.Context) {
	for {
		select {
		case <-s.came:
		case <-ctx.Done():
			s.finish(context.WithoutCancel(ctx))
			return
		}
		for err := s.flush(ctx); err != nil && ctx.Err() == nil; err = s.flush(ctx) {
			s.fail(err)
			if !sleep(ctx, retryAfter) {
				break
			}
		}
		s.failing = false
	}
}

func (s *sender) fail(err error) {
	if !s.failing {
		s.failing = true
		s.log.Warn("messages of the bridge wait in memory for the database", "error", err, "cause", errors.Unwrap(err))
	}
}

func (s *sender) finish(ctx context.Context) {
	err := s.flush(ctx)
	if err == nil {
		return
	}
	s.mu.Lock()
	left := len(s.held)
	s.forget(left)
	s.mu.Unlock()
	s.queue.Drop(left)
	s.log.Error("messages of the bridge are not published; their records are stored",
		"messages", left, "error", err, "cause", errors.Unwrap(err))
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
