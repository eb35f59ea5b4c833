package main

import (
	"context"
	"fmt"
)

// Names of the servers in figures.
const (
	nameEcho      = "echo"
	namePlantgate = "plantgate"
)

// Units of figures that verdicts and ratios come back to.
const (
	unitRate = "req/s"
	unitP50  = "p50-ms"
	unitP99  = "p99-ms"
	unitP999 = "p99.9-ms"
	unitCPU  = "server-cpu-us/answer"
	unitPace = "per-s"
)

func closedName(clients int, server string) string {
	return fmt.Sprintf("single/closed/clients=%d/server=%s", clients, server)
}

// singles measures posts of one record in a closed loop. Each round measures the
// disk, the journal, the echo and plantgate one after the other, so that all see
// the machine in the same moods.
func (b *bench) singles(ctx context.Context) error {
	echo, err := b.startEcho(ctx)
	if err != nil {
		return err
	}
	for round := range b.rounds {
		b.progress("single posts, closed loop, round %d of %d", round+1, b.rounds)
		if err := b.disk(ctx); err != nil {
			return err
		}
		for _, clients := range b.clients {
			if err := b.journal(ctx, clients); err != nil {
				return err
			}
			if err := b.closedRound(ctx, echo, clients); err != nil {
				return err
			}
		}
	}
	for _, clients := range b.clients {
		value, okPlantgate := b.report.median(closedName(clients, namePlantgate), unitP99)
		limit, okEcho := b.report.median(closedName(clients, nameEcho), unitP99)
		if okPlantgate && okEcho {
			b.report.atMost(fmt.Sprintf("p99 at saturation by %d clients against 2.5 of echo's", clients), "ms", value, 2.5*limit)
		}
	}
	return nil
}

// disk measures what a sync costs now.
func (b *bench) disk(ctx context.Context) error {
	p, err := measureSync(ctx, b.folder, b.seconds/4)
	b.pace("machine/fdatasync", p)
	return err
}

func (b *bench) journal(ctx context.Context, writers int) error {
	p, err := measureJournal(ctx, b.folder, writers, b.seconds/4)
	b.pace(fmt.Sprintf("machine/journal/writers=%d", writers), p)
	return err
}

func (b *bench) pace(name string, p pace) {
	b.report.add(name, unitPace, p.perSecond)
	b.latencies(name, &p.latency)
}

func (b *bench) latencies(name string, h *histogram) {
	b.report.add(name, unitP50, h.percentile(0.5))
	b.report.add(name, unitP99, h.percentile(0.99))
	b.report.add(name, unitP999, h.percentile(0.999))
}

// closedRound measures both servers and compares them.
func (b *bench) closedRound(ctx context.Context, echo target, clients int) error {
	loop := func(l *load) (tally, error) { return l.closed(ctx, b.seconds) }
	e, eu, err := b.loadEcho(ctx, echo, clients, loop)
	if err != nil {
		return err
	}
	p, pu, err := b.loadPlantgate(ctx, clients, loop)
	if err != nil {
		return err
	}
	b.answers(closedName(clients, nameEcho), e, eu)
	b.answers(closedName(clients, namePlantgate), p, pu)
	b.backlogs(closedName(clients, namePlantgate), p, pu)
	b.ratios(fmt.Sprintf("single/closed/clients=%d/ratio", clients), e, p, eu, pu)
	return nil
}

// loadEcho loads the server to compare with by clients that post single records.
func (b *bench) loadEcho(ctx context.Context, to target, clients int, run func(*load) (tally, error)) (t tally, u usage, err error) {
	l, err := openLoad(ctx, to, kind{clients, 1, b.machines}, &b.clock)
	if err != nil {
		return t, u, err
	}
	defer l.close()
	if _, err := l.once(); err != nil {
		return t, u, err
	}
	t, u, err = watch(ctx, b.echo, nil, b.seconds, func() (tally, error) { return run(l) })
	b.report.fail(t.unexpected())
	return t, u, err
}

// loadPlantgate does the same to plantgate.
func (b *bench) loadPlantgate(ctx context.Context, clients int, run func(*load) (tally, error)) (t tally, u usage, err error) {
	_, err = b.post(ctx, kind{clients, 1, b.machines}, func(l *load) (tally, error) {
		first, err := l.once()
		if err != nil {
			return first, err
		}
		if _, err := b.server.drain(ctx); err != nil {
			return first, err
		}
		t, u, err = watch(ctx, b.server.process, b.server, b.seconds, func() (tally, error) { return run(l) })
		both := t
		both.other = nil
		both.merge(&first)
		b.report.fail(first.unexpected())
		b.report.fail(t.unexpected())
		return both, err
	})
	return t, u, err
}

// answers reports a load of single posts.
func (b *bench) answers(name string, t tally, u usage) {
	b.report.add(name, unitRate, float64(t.answers)/t.elapsed.Seconds())
	b.latencies(name, &t.latency)
	b.report.add(name, unitCPU, perThing(u.server, t.answers))
	b.report.add(name, "client-cpu-us/answer", perThing(u.client, t.answers))
	b.report.add(name, "RSS-MB", megabytes(u.now))
	b.report.add(name, "peak-RSS-MB", megabytes(u.peak))
}

// backlogs reports what plantgate put off. backlog-growth is the share of what it
// accepted in the second half that it did not apply meanwhile: about 0 where the
// backlog is bounded, 1 where nothing is applied.
func (b *bench) backlogs(name string, t tally, u usage) {
	b.report.add(name, "backlog-records", u.backlog)
	b.report.add(name, "backlog-growth", growth(u.backlogHalf, u.backlog, t.created))
	b.report.add(name, "drain-s", u.drained.Seconds())
}

// growth is by how much of half of the records a backlog grew.
func growth(half, end float64, records int64) float64 {
	if records == 0 {
		return 0
	}
	return (end - half) / (float64(records) / 2)
}

// ratios reports how plantgate compares with the echo in one round.
func (b *bench) ratios(name string, e, p tally, eu, pu usage) {
	if e.answers == 0 || p.answers == 0 {
		return
	}
	ofEcho := func(what string, plantgate, echo float64) {
		if echo > 0 {
			b.report.add(name, what, plantgate/echo)
		}
	}
	ofEcho("rate/echo", float64(p.answers)/p.elapsed.Seconds(), float64(e.answers)/e.elapsed.Seconds())
	ofEcho("p99/echo", p.latency.percentile(0.99), e.latency.percentile(0.99))
	ofEcho("cpu/echo", perThing(pu.server, p.answers), perThing(eu.server, e.answers))
}
