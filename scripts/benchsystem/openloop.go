package main

import (
	"context"
	"fmt"
	"time"
)

// openClients are the connections of the open loop.
const openClients = 64

// How far plantgate's latency may be above the echo's, in fdatasyncs as slow as
// 99 % of them are not.
const (
	syncsP99  = 10
	syncsP999 = 40
)

// openLoop measures latencies at steady rates: those of the options, and half of
// what plantgate can take.
func (b *bench) openLoop(ctx context.Context) error {
	echo, err := b.startEcho(ctx)
	if err != nil {
		return err
	}
	capacity, err := b.capacity(ctx)
	if err != nil {
		return err
	}
	rates := make(map[string]float64)
	names := make([]string, 0, len(b.rates)+1)
	for _, r := range b.rates {
		name := fmt.Sprintf("rate=%d", r)
		names = append(names, name)
		rates[name] = float64(r)
	}
	const half = "rate=half"
	names = append(names, half)
	rates[half] = max(capacity/2, 1)
	for round := range b.rounds {
		if err := b.disk(ctx); err != nil {
			return err
		}
		for _, name := range names {
			b.progress("single posts, open loop, %.0f a second, round %d of %d", rates[name], round+1, b.rounds)
			if err := b.openRound(ctx, echo, name, rates[name]); err != nil {
				return err
			}
		}
	}
	for _, name := range names {
		b.judgeOpen(name)
	}
	return nil
}

// capacity is what plantgate takes in a closed loop of as many clients.
func (b *bench) capacity(ctx context.Context) (float64, error) {
	if measured, ok := b.report.median(closedName(openClients, namePlantgate), unitRate); ok {
		return measured, nil
	}
	b.progress("measuring what plantgate can take")
	t, _, err := b.loadPlantgate(ctx, openClients, func(l *load) (tally, error) { return l.closed(ctx, b.seconds) })
	return float64(t.answers) / t.elapsed.Seconds(), err
}

func (b *bench) openRound(ctx context.Context, echo target, name string, rate float64) error {
	loop := func(l *load) (tally, error) { return l.open(ctx, rate, b.seconds, b.seconds+5*time.Second) }
	t, u, err := b.loadEcho(ctx, echo, openClients, loop)
	if err != nil {
		return err
	}
	b.openFigures(openName(name, nameEcho), rate, t, u)
	if t, u, err = b.loadPlantgate(ctx, openClients, loop); err != nil {
		return err
	}
	b.openFigures(openName(name, namePlantgate), rate, t, u)
	b.backlogs(openName(name, namePlantgate), t, u)
	return nil
}

func openName(rate, server string) string {
	return fmt.Sprintf("single/open/%s/server=%s", rate, server)
}

func (b *bench) openFigures(name string, rate float64, t tally, u usage) {
	b.report.add(name, "planned-req/s", rate)
	b.answers(name, t, u)
	b.report.add(name, "unsent", float64(t.unsent))
}

func (b *bench) judgeOpen(rate string) {
	sync, ok := b.report.median("machine/fdatasync", unitP99)
	if !ok {
		return
	}
	for _, target := range []struct {
		unit  string
		syncs float64
	}{{unitP99, syncsP99}, {unitP999, syncsP999}} {
		value, _ := b.report.median(openName(rate, namePlantgate), target.unit)
		echo, _ := b.report.median(openName(rate, nameEcho), target.unit)
		b.report.atMost(fmt.Sprintf("%s at %s against echo's and %.0f times the p99 of fdatasync", target.unit[:len(target.unit)-len("-ms")], rate, target.syncs),
			"ms", value, echo+target.syncs*sync)
	}
}
