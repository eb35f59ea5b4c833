package series

import (
	"math"
	"time"

	"plantgate/internal/mes"
)

// Bucket sums up the samples of one signal within a span of time. The zero
// Bucket has none. Sums of the same samples are equal whatever the order and
// grouping in which they were added, but for the last bits of Sum.
type Bucket struct {
	// Start is where the span begins.
	Start time.Time
	// Count is the number of samples that the figures are of, Bad the number of
	// those that are left out: of bad quality, or without a number.
	Count, Bad int64
	// The figures mean nothing while Count is 0.
	Min, Max, First, Last float64
	// FirstAt and LastAt are the places of First and Last in the order of the
	// machine. Those of a stored bucket have a time only.
	FirstAt, LastAt mes.Position
	// The sum as Neumaier adds it (1974): what rounding lost is kept apart.
	sum, lost float64
}

// Add adds a number to the bucket.
func (b *Bucket) Add(at mes.Position, value float64) {
	b.merge(Bucket{
		Count: 1, Min: value, Max: value, First: value, Last: value,
		FirstAt: at, LastAt: at, sum: value,
	})
}

// AddBad adds a sample without a number of good quality.
func (b *Bucket) AddBad() { b.Bad++ }

// AddSample adds a sample as a number, or as bad where it has none.
func (b *Bucket) AddSample(s Sample) {
	if value, ok := s.Number(); ok {
		b.Add(s.Position, value)
		return
	}
	b.AddBad()
}

// Merge adds the samples of another bucket; Start stays.
func (b *Bucket) Merge(other Bucket) { b.merge(other) }

func (b *Bucket) merge(o Bucket) {
	b.Bad += o.Bad
	if o.Count == 0 {
		return
	}
	if b.Count == 0 {
		start, bad := b.Start, b.Bad
		*b = o
		b.Start, b.Bad = start, bad
		return
	}
	b.Count += o.Count
	b.Min, b.Max = min(b.Min, o.Min), max(b.Max, o.Max)
	if comparePlaces(o.FirstAt, o.First, b.FirstAt, b.First) < 0 {
		b.FirstAt, b.First = o.FirstAt, o.First
	}
	if comparePlaces(o.LastAt, o.Last, b.LastAt, b.Last) > 0 {
		b.LastAt, b.Last = o.LastAt, o.Last
	}
	b.lost += o.lost
	b.plus(o.sum)
}

// comparePlaces orders values by their places, and equal places, which only
// buckets of overlapping spans have, by the values.
func comparePlaces(p mes.Position, v float64, q mes.Position, w float64) int {
	if c := p.Compare(q); c != 0 {
		return c
	}
	switch {
	case v < w:
		return -1
	case v > w:
		return 1
	default:
		return 0
	}
}

func (b *Bucket) plus(v float64) {
	sum := b.sum + v
	if math.Abs(b.sum) >= math.Abs(v) {
		b.lost += (b.sum - sum) + v
	} else {
		b.lost += (v - sum) + b.sum
	}
	b.sum = sum
}

// Sum is the sum of the numbers. It is not finite where a double can't hold it.
func (b *Bucket) Sum() float64 {
	if math.IsInf(b.sum, 0) || math.IsNaN(b.sum) {
		return b.sum
	}
	return b.sum + b.lost
}

// Avg is the arithmetic mean of the numbers, whatever the time between them. It
// is not finite where Sum is not, and NaN without numbers.
func (b *Bucket) Avg() float64 { return b.Sum() / float64(b.Count) }

// IsEmpty tells whether there is no sample at all.
func (b *Bucket) IsEmpty() bool { return b.Count == 0 && b.Bad == 0 }
