package main

import (
	"context"
	"errors"
	"os"
	"time"
)

// usage is what a load cost.
type usage struct {
	server, client time.Duration
	now, peak      int64 // resident memory of the server, in bytes
	// backlog is what was accepted and not yet applied when the load ended, and
	// backlogHalf that in the middle of it: a server that keeps up does not let
	// it grow. drained is how long it took then.
	backlog, backlogHalf float64
	drained              time.Duration
}

// watch runs a load on a process and measures what it cost, with the work that
// the server puts off: it waits until nothing is left of that. s is nil for a
// server that puts nothing off.
func watch(ctx context.Context, p *process, s *server, length time.Duration, run func() (tally, error)) (t tally, u usage, err error) {
	resetPeak(p.pid())
	server, err := cpuOf(p.pid())
	if err != nil {
		return t, u, err
	}
	client, err := cpuOf(os.Getpid())
	if err != nil {
		return t, u, err
	}
	half := make(chan error, 1)
	go func() {
		err := pause(ctx, length/2)
		if err == nil && s != nil {
			u.backlogHalf, err = s.backlog(ctx)
		}
		half <- err
	}()
	t, err = run()
	if err := errors.Join(err, <-half); err != nil {
		return t, u, err
	}
	after, err := cpuOf(os.Getpid())
	if err != nil {
		return t, u, err
	}
	u.client = after - client
	if u.now, _, err = memoryOf(p.pid()); err != nil {
		return t, u, err
	}
	if s != nil {
		if u.backlog, err = s.backlog(ctx); err != nil {
			return t, u, err
		}
		if u.drained, err = s.drain(ctx); err != nil {
			return t, u, err
		}
	}
	if after, err = cpuOf(p.pid()); err != nil {
		return t, u, err
	}
	u.server = after - server
	_, u.peak, err = memoryOf(p.pid())
	return t, u, err
}

// perThing is a duration in microseconds for each of n.
func perThing(d time.Duration, n int64) float64 {
	if n == 0 {
		return 0
	}
	return float64(d.Nanoseconds()) / 1000 / float64(n)
}
