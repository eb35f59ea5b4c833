package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// answerTimeout is how long after the end of a load its answers may take.
const answerTimeout = time.Minute

// tally is what clients saw.
type tally struct {
	latency histogram
	// answers are those with 201, created the records that they promise.
	answers, created int64
	// other counts the other answers by their status.
	other map[int]int64
	// unanswered are requests that were sent and got no answer, unsent those of
	// an open loop that were due and found no client in time.
	unanswered, unsent int64
	elapsed            time.Duration
}

func (t *tally) merge(o *tally) {
	t.latency.merge(&o.latency)
	t.answers += o.answers
	t.created += o.created
	t.unanswered += o.unanswered
	for status, n := range o.other {
		t.count(status, n)
	}
}

func (t *tally) count(status int, n int64) {
	if t.other == nil {
		t.other = make(map[int]int64)
	}
	t.other[status] += n
}

// unexpected is an error for answers that are neither 201 nor one of allowed.
func (t *tally) unexpected(allowed ...int) error {
	for status, n := range t.other {
		ok := false
		for _, a := range allowed {
			ok = ok || a == status
		}
		if !ok {
			return fmt.Errorf("%d requests were answered with %d", n, status)
		}
	}
	return nil
}

// target is a server to load.
type target struct {
	address string
	tls     *tls.Config
}

// kind says what a load sends.
type kind struct {
	clients  int
	records  int // in a request
	machines int // in all
}

// load is a set of clients, each with a connection.
type load struct {
	kind
	list []*client
	// stored counts records while the load runs.
	stored atomic.Int64
	// keepLast makes clients remember their last request that got a 201.
	keepLast bool
}

type client struct {
	conn *conn
	next *message
	seen tally
	last []byte
}

// openLoad connects the clients.
func openLoad(ctx context.Context, to target, k kind, c *clock) (*load, error) {
	l := &load{kind: k, list: make([]*client, k.clients)}
	config := to.tls.Clone()
	config.NextProtos = []string{"http/1.1"}
	errs := make([]error, k.clients)
	var all sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range l.list {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var connection *conn
			if connection, errs[i] = dial(ctx, to.address, config); errs[i] == nil {
				l.list[i] = &client{conn: connection, next: newMessage(to.address, bootstrapKey, k.records, c, i, k.clients, k.machines)}
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range l.list {
		if c != nil {
			c.conn.close()
		}
	}
}

// once sends one request of each client, as a warm-up.
func (l *load) once() (tally, error) {
	return l.run(time.Now(), func(c *client) error {
		_, err := l.post(c)
		return err
	})
}

// refusedPause is how long a client waits before it sends on.
const refusedPause = 100 * time.Millisecond

// closed lets each client send its next request when it has its answer, for the
// length, or until ctx ends. Who is refused waits a moment.
func (l *load) closed(ctx context.Context, length time.Duration) (tally, error) {
	end := time.Now().Add(length)
	return l.run(end, func(c *client) error {
		for start := time.Now(); start.Before(end) && ctx.Err() == nil; {
			refused := c.seen.other[http.StatusServiceUnavailable]
			now, err := l.post(c)
			if err != nil {
				return err
			}
			c.seen.latency.record(now.Sub(start))
			start = now
			if c.seen.other[http.StatusServiceUnavailable] > refused {
				if err := pause(ctx, refusedPause); err != nil {
					return err
				}
				start = time.Now()
			}
		}
		return nil
	})
}

// total lets the clients share a number of requests.
func (l *load) total(ctx context.Context, requests int) (tally, error) {
	var taken atomic.Int64
	return l.run(time.Now().Add(time.Hour), func(c *client) error {
		for taken.Add(1) <= int64(requests) && ctx.Err() == nil {
			refused := c.seen.other[http.StatusServiceUnavailable]
			if _, err := l.post(c); err != nil {
				return err
			}
			if c.seen.other[http.StatusServiceUnavailable] > refused {
				taken.Add(-1)
				if err := pause(ctx, refusedPause); err != nil {
					return err
				}
			}
		}
		return ctx.Err()
	})
}

// open sends requests at a rate, whether or not the server keeps up: each goes by
// the first client that is free, and its latency counts from when it was due. What
// found no client by grace after the end is unsent.
func (l *load) open(ctx context.Context, rate float64, length, grace time.Duration) (tally, error) {
	plan := newSchedule(time.Now().Add(10*time.Millisecond), rate, length)
	due := make(chan int, plan.count)
	paced := make(chan error, 1)
	go func() { paced <- plan.run(due) }()
	end := plan.start.Add(length + grace)
	var unsent atomic.Int64
	t, err := l.run(end, func(c *client) error {
		for i := range due {
			if ctx.Err() != nil || time.Now().After(end) {
				unsent.Add(1)
				continue
			}
			now, err := l.post(c)
			if err != nil {
				return err
			}
			c.seen.latency.record(now.Sub(plan.at(i)))
		}
		return nil
	})
	t.unsent = unsent.Load()
	return t, errors.Join(err, <-paced)
}

// run lets every client work, and adds up what they saw.
func (l *load) run(end time.Time, work func(*client) error) (tally, error) {
	errs := make([]error, len(l.list))
	began := time.Now()
	var all sync.WaitGroup
	for i, c := range l.list {
		c.seen = tally{}
		_ = c.conn.tls.SetDeadline(end.Add(answerTimeout))
		all.Go(func() { errs[i] = work(c) })
	}
	all.Wait()
	sum := tally{elapsed: time.Since(began)}
	for _, c := range l.list {
		sum.merge(&c.seen)
	}
	return sum, errors.Join(errs...)
}

// post sends a new message and counts its answer, and returns when that was there.
func (l *load) post(c *client) (time.Time, error) {
	c.next.renew()
	status, err := c.conn.do(c.next.bytes)
	now := time.Now()
	if err != nil {
		c.seen.unanswered++
		return now, err
	}
	created := int64(c.conn.created(status, l.records))
	c.seen.created += created
	l.stored.Add(created)
	if status != http.StatusCreated {
		c.seen.count(status, 1)
		return now, nil
	}
	c.seen.answers++
	if l.keepLast {
		c.last = append(c.last[:0], c.next.bytes...)
	}
	return now, nil
}
