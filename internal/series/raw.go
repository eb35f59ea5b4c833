package series

import (
	"context"

	"plantgate/internal/mes"
)

// readRaw gives samples as they are, or as many points of them as are asked for.
// What all of them have is known before the first is read, from the roll-ups.
func (r *Reader) readRaw(ctx context.Context, q Query, units map[string]string, sink Sink) error {
	counts, err := r.count(ctx, q)
	if err != nil {
		return err
	}
	if fault := tooManySamples(q, counts); fault != nil {
		return fault
	}
	for signals := q.Signals; len(signals) > 0; {
		n := together(signals, counts)
		samples, err := r.collect(ctx, q, signals[:n])
		if err != nil {
			return err
		}
		for _, signal := range signals[:n] {
			if err := sink.Signal(signal, units[signal]); err != nil {
				return err
			}
			for _, s := range downSampled(samples[signal], q.Points) {
				if err := sink.Point(s); err != nil {
					return err
				}
			}
		}
		signals = signals[n:]
	}
	return nil
}

// count returns how many samples each signal has.
func (r *Reader) count(ctx context.Context, q Query) (map[string]int64, error) {
	first, last := minuteOf(q.From), minuteOf(q.To)
	q.Percentiles = nil
	q.Width = Width(last-first+1)/Day*Day + Day
	counts := counter{counts: map[string]int64{}}
	return counts.counts, r.Read(ctx, q, &counts)
}

// counter is a sink that counts.
type counter struct {
	signal string
	counts map[string]int64
}

func (c *counter) Signal(name, _ string) error {
	c.signal = name
	return nil
}

func (c *counter) Bucket(b *Bucket, _ []float64) error {
	c.counts[c.signal] += b.Count + b.Bad
	return nil
}

func (c *counter) Point(Sample) error { return nil }

func tooManySamples(q Query, counts map[string]int64) error {
	limit := int64(MaxBuckets)
	if q.Points > 0 {
		limit = MaxSamples
	}
	for _, signal := range q.Signals {
		n := counts[signal]
		if n <= limit {
			continue
		}
		hint := fitting(q.From, q.To, MaxBuckets)
		more := ""
		if q.Points == 0 && n <= MaxSamples {
			more = ", for raw with points"
		}
		return mes.Invalid([]mes.FieldError{{Pointer: "/width", Detail: mes.Errorf(mes.CodeInvalid,
			"%q has %d samples in this time, and %d is the limit of raw; ask for %s%s, or for less time",
			signal, n, limit, hint, more).Message}})
	}
	return nil
}

// together is how many of the signals are read at once.
func together(signals []string, counts map[string]int64) int {
	total := int64(0)
	for i, signal := range signals {
		if total += counts[signal]; total > MaxSamples && i > 0 {
			return i
		}
	}
	return len(signals)
}

// collect reads the samples of signals. Those that arrived since they were
// counted are few; where they are not, the answer is given up.
func (r *Reader) collect(ctx context.Context, q Query, signals []string) (map[string][]Sample, error) {
	samples := make(map[string][]Sample, len(signals))
	total := 0
	err := r.source.Samples(ctx, q.Unit, signals, q.From, q.To, func(s Sample) error {
		if total++; total > 2*MaxSamples {
			return mes.Errorf(mes.CodeUnavailable, "too many samples arrive at once; ask again")
		}
		samples[s.Signal] = append(samples[s.Signal], s)
		return nil
	})
	return samples, err
}

// downSampled returns all samples if points is 0, else at most so many of those
// that have a number.
func downSampled(samples []Sample, points int) []Sample {
	if points == 0 {
		return samples
	}
	plotted := make([]Point, 0, len(samples))
	numbers := make([]Sample, 0, len(samples))
	for _, s := range samples {
		if v, ok := s.Number(); ok {
			plotted = append(plotted, Point{s.Position.Time, v})
			numbers = append(numbers, s)
		}
	}
	chosen := LTTB(plotted, points)
	for i, place := range chosen {
		numbers[i] = numbers[place]
	}
	return numbers[:len(chosen)]
}
