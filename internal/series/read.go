package series

import (
	"context"
	"math"
	"time"

	"plantgate/internal/mes"
)

// Reader answers queries.
type Reader struct{ source Source }

// NewReader returns a reader of the source.
func NewReader(source Source) *Reader { return &Reader{source} }

// Sizes of what is held in memory while an answer is made.
const (
	// cellsAtOnce are the buckets of a signal that are filled together.
	cellsAtOnce = 512
	// sharedMinutes is up to how many minutes of records are read once for all
	// signals rather than for each of them.
	sharedMinutes = 180
)

// Read gives the answer to a valid query to the sink. It fails with CodeInvalid,
// before anything is given, if there are more raw samples than may be asked for.
func (r *Reader) Read(ctx context.Context, q Query, sink Sink) error {
	q = q.Resolved()
	q.From, q.To = ceilMicros(q.From), ceilMicros(q.To)
	units, err := r.source.UnitsOfMeasure(ctx, q.Unit, q.Signals)
	if err != nil {
		return err
	}
	if q.Width == Raw {
		return r.readRaw(ctx, q, units, sink)
	}
	p, err := r.plan(ctx, q)
	if err != nil {
		return err
	}
	group := len(q.Signals)
	if p.recordMinutes() > sharedMinutes {
		group = 1
	}
	for start := 0; start < len(q.Signals); start += group {
		signals := q.Signals[start:min(start+group, len(q.Signals))]
		parts, err := r.readRecords(ctx, q, p, signals)
		if err != nil {
			return err
		}
		for _, signal := range signals {
			if err := sink.Signal(signal, units[signal]); err != nil {
				return err
			}
			if err := r.readSignal(ctx, q, p, signal, parts[signal], sink); err != nil {
				return err
			}
		}
	}
	return nil
}

// ceilMicros is the first microsecond that is not before t: times of samples are
// whole microseconds.
func ceilMicros(t time.Time) time.Time {
	cut := mes.Micros(t)
	if cut.Before(t) {
		cut = cut.Add(time.Microsecond)
	}
	return cut
}

func (r *Reader) plan(ctx context.Context, q Query) (*plan, error) {
	var due []time.Time
	if first, last := wholeMinutes(q.From, q.To); first < last {
		var err error
		if due, err = r.source.DueMinutes(ctx, q.Unit, timeOf(first), timeOf(last)); err != nil {
			return nil, err
		}
	}
	return newPlan(q.From, q.To, q.Width, due), nil
}

// cells are buckets by their numbers.
type cells map[int64]*Entry

// readRecords sums up what comes from records, by signal.
func (r *Reader) readRecords(ctx context.Context, q Query, p *plan, signals []string) (map[string]cells, error) {
	parts := make(map[string]cells, len(signals))
	for _, s := range signals {
		parts[s] = cells{}
	}
	for _, span := range p.records() {
		err := r.source.Samples(ctx, q.Unit, signals, span.from, span.to, func(s Sample) error {
			if !p.fromRecords(s.Position.Time) {
				return nil
			}
			i := q.Width.index(minuteOf(s.Position.Time))
			e := parts[s.Signal][i]
			if e == nil {
				e = &Entry{}
				parts[s.Signal][i] = e
			}
			e.add(s, len(q.Percentiles) > 0)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// readSignal gives the buckets of one signal to the sink, a chunk at a time.
func (r *Reader) readSignal(ctx context.Context, q Query, p *plan, signal string, part cells, sink Sink) error {
	first, last := q.Width.index(minuteOf(q.From)), q.Width.index(minuteOf(q.To.Add(-time.Microsecond)))
	chunk := make([]Entry, min(last-first+1, cellsAtOnce))
	percentiles := make([]float64, len(q.Percentiles))
	for ; first <= last; first += cellsAtOnce {
		chunk = chunk[:min(last-first+1, cellsAtOnce)]
		for i := range chunk {
			chunk[i] = Entry{}
			chunk[i].Start = timeOf((first+int64(i))*int64(q.Width) - originMinute)
			if e := part[first+int64(i)]; e != nil {
				chunk[i].merge(*e)
			}
		}
		if err := r.fill(ctx, q, p, signal, first, chunk); err != nil {
			return err
		}
		for i := range chunk {
			if chunk[i].IsEmpty() {
				continue
			}
			chunk[i].percentiles(q.Percentiles, percentiles)
			if err := sink.Bucket(&chunk[i].Bucket, percentiles); err != nil {
				return err
			}
		}
	}
	return nil
}

// fill adds stored buckets to a chunk whose first number is given.
func (r *Reader) fill(ctx context.Context, q Query, p *plan, signal string, first int64, chunk []Entry) error {
	low := first*int64(q.Width) - originMinute
	high := low + int64(len(chunk))*int64(q.Width)
	reads := p.reads(low, high)
	for _, width := range []Width{Day, Hour, Minute} { // in one order, so that equal questions have equal answers
		for _, m := range reads[width] {
			err := r.source.Rollups(ctx, q.Unit, signal, width, timeOf(m.from), timeOf(m.to), len(q.Percentiles) > 0, func(e Entry) error {
				minute := minuteOf(e.Start)
				if w, ok := p.stored(minute); ok && w == width {
					chunk[q.Width.index(minute)-first].merge(e)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// percentiles puts the asked percentiles of the entry into result. They are
// never outside its extremes.
func (e *Entry) percentiles(asked, result []float64) {
	for i, p := range asked {
		switch {
		case e.Sketch == nil:
			result[i] = math.NaN()
		case p == 0:
			result[i] = e.Min
		case p == 100:
			result[i] = e.Max
		default:
			result[i] = min(max(e.Sketch.Quantile(p/100), e.Min), e.Max)
		}
	}
}
