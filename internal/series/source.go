package series

import (
	"context"
	"time"
)

// Source is what answers are read from. It need not be a snapshot: every span of
// time is read in one place only, and no record that was there when DueMinutes was asked
// is missed or counted twice.
type Source interface {
	// Samples yields the samples of the signals with from ≤ time < to in the order
	// of their positions; see Samples for what those of a record are.
	Samples(ctx context.Context, unit Unit, signals []string, from, to time.Time, yield func(Sample) error) error
	// Rollups yields the stored buckets of a signal that begin with from ≤ time <
	// to, in order of time, with their sketches only if they are asked for.
	Rollups(ctx context.Context, unit Unit, signal string, width Width, from, to time.Time, sketches bool, yield func(Entry) error) error
	// DueMinutes lists, ascending, the minutes that begin with from ≤ time < to and whose
	// stored buckets do not stand for the records, by their beginnings. The stored
	// hour or day of a due minute does not stand for them either.
	DueMinutes(ctx context.Context, unit Unit, from, to time.Time) ([]time.Time, error)
	// UnitsOfMeasure returns those of the newest values of the signals, where there
	// are any.
	UnitsOfMeasure(ctx context.Context, unit Unit, signals []string) (map[string]string, error)
}

// Sink takes an answer as it is made: each signal of the query in order, after it
// its buckets or its points in order of time. An error ends the answer.
type Sink interface {
	Signal(name, unit string) error
	// Bucket gets the percentiles in the order of the query; they are NaN where
	// the bucket has no numbers. Buckets without any sample are left out.
	Bucket(b *Bucket, percentiles []float64) error
	Point(s Sample) error
}
