package main

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// burstFactor is how much more than it can take the server gets in a burst.
	burstFactor  = 3
	burstClients = 64
	// progressSpan is between two looks at a load that goes on.
	progressSpan = 5 * time.Second
)

// batches measures a load of batches that lasts, and then a burst of more than
// the server can take.
func (b *bench) batches(ctx context.Context) error {
	b.progress("batches of %d by %d clients", b.batch, b.batchClients)
	const name = "batch/sustained"
	rate, err := b.sustained(ctx, name)
	if err != nil {
		return err
	}
	if err := b.storeSizes(name); err != nil {
		return err
	}
	b.progress("a burst of batches at %d times that rate", burstFactor)
	return b.burstOf(ctx, rate*burstFactor)
}

// sustained returns the records a second that were stored and taken over: the time
// that the backlog takes afterwards counts, so that it is what the server can go on
// with for ever. Where it refuses batches because its log is full, they are sent again.
func (b *bench) sustained(ctx context.Context, name string) (rate float64, err error) {
	_, err = b.post(ctx, kind{b.batchClients, b.batch, b.machines}, func(l *load) (tally, error) {
		t, u, err := watch(ctx, b.server.process, b.server, b.sustain, func() (tally, error) {
			stop := b.sample(l, name)
			defer stop()
			return l.closed(ctx, b.sustain)
		})
		b.report.fail(t.unexpected(http.StatusServiceUnavailable))
		rate = float64(t.created) / (t.elapsed + u.drained).Seconds()
		b.report.add(name+"/mean", "records/s", float64(t.created)/t.elapsed.Seconds())
		b.report.add(name+"/mean", "applied-records/s", rate)
		b.report.add(name+"/mean", "batches-refused-503", float64(t.other[http.StatusServiceUnavailable]))
		b.latencies(name, &t.latency)
		b.report.add(name, "server-cpu-us/record", perThing(u.server, t.created))
		b.report.add(name, "client-cpu-us/record", perThing(u.client, t.created))
		b.report.add(name, "RSS-MB", megabytes(u.now))
		b.report.add(name, "peak-RSS-MB", megabytes(u.peak))
		b.backlogs(name, t, u)
		return t, err
	})
	return rate, err
}

// sample reports the rate of each few seconds of a load, until stop is called.
func (b *bench) sample(l *load, name string) (stop func()) {
	span := min(progressSpan, b.sustain/3)
	done := make(chan struct{})
	var sampled sync.WaitGroup
	sampled.Go(func() {
		ticks := time.NewTicker(span)
		defer ticks.Stop()
		last, at := int64(0), time.Now()
		for {
			select {
			case <-done:
				return
			case now := <-ticks.C:
				stored := l.stored.Load()
				b.report.add(name, "records/s", float64(stored-last)/now.Sub(at).Seconds())
				last, at = stored, now
			}
		}
	})
	return func() {
		close(done)
		sampled.Wait()
	}
}

// storeSizes reports what the data take on the disk.
func (b *bench) storeSizes(name string) error {
	sizes, err := b.server.sizes()
	for _, part := range slices.Sorted(maps.Keys(sizes)) {
		b.report.add(name+"/disk", part+"-MB", megabytes(sizes[part]))
	}
	return err
}

// burstOf sends records at a rate, by batches, whether or not the server keeps
// up. It may refuse them, and must neither lose them nor grow without bound.
func (b *bench) burstOf(ctx context.Context, rate float64) error {
	const name = "batch/burst"
	_, err := b.post(ctx, kind{min(burstClients, b.machines), b.batch, b.machines}, func(l *load) (tally, error) {
		t, u, err := watch(ctx, b.server.process, b.server, b.burst, func() (tally, error) {
			return l.open(ctx, max(rate/float64(b.batch), 1), b.burst, 0)
		})
		if err != nil {
			return t, err
		}
		b.report.fail(t.unexpected(http.StatusServiceUnavailable))
		b.report.add(name, "offered-records/s", rate)
		b.report.add(name, "records/s", float64(t.created)/t.elapsed.Seconds())
		b.latencies(name, &t.latency)
		b.report.add(name, "batches-stored", float64(t.answers))
		b.report.add(name, "batches-refused-503", float64(t.other[http.StatusServiceUnavailable]))
		b.report.add(name, "batches-unsent", float64(t.unsent))
		b.report.add(name, "peak-RSS-MB", megabytes(u.peak))
		b.report.add(name, "backlog-records", u.backlog)
		b.report.add(name, "drain-s", u.drained.Seconds())
		return t, b.storeSizes(name)
	})
	return err
}
