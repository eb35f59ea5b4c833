package series

import (
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"plantgate/internal/mes"
)

// Limits of one query.
const (
	MaxSignals     = 20
	MaxPercentiles = 10
	// MaxBuckets bounds the buckets of a signal, and its points where they are
	// asked for raw.
	MaxBuckets = 10_000
	// MaxSamples bounds the raw samples of a signal that are looked at to choose
	// points from.
	MaxSamples = 100_000
	// MinPoints are the ends and the extremes of a plot.
	MinPoints     = 4
	DefaultPoints = 500
)

// Query asks for signals of one work unit over time.
type Query struct {
	Unit    Unit
	Signals []string
	// From is inclusive, To exclusive.
	From, To time.Time
	Width    Width
	// Points is how many buckets or points a signal should have at most, where the
	// width is Auto or Raw; 0 is DefaultPoints where it is Auto, and all samples
	// where it is Raw.
	Points int
	// Percentiles from 0 to 100 of the numbers of each bucket, within 1 %.
	Percentiles []float64
}

// Resolved returns the query with a width in the place of Auto: the least of 1m,
// 2m, 5m and so on that makes no more buckets than points.
func (q Query) Resolved() Query {
	if q.Width != Auto {
		return q
	}
	n := q.Points
	if n == 0 {
		n = DefaultPoints
	}
	q.Points = 0
	q.Width = fitting(q.From, q.To, int64(n))
	return q
}

// PercentileName is the name of a percentile in an answer, such as p50 or p99.9.
func PercentileName(p float64) string { return "p" + strconv.FormatFloat(p, 'f', -1, 64) }

// Validate returns every fault of the query at once, or nil. Pointers name the
// parameters of a request.
func (q Query) Validate() *mes.Error {
	var faults []mes.FieldError
	add := func(name, format string, args ...any) {
		faults = append(faults, mes.FieldError{Pointer: "/" + name, Detail: fmt.Sprintf(format, args...)})
	}
	q.validateSignals(add)
	q.validatePercentiles(add)
	if q.Points != 0 && (q.Points < MinPoints || q.Points > MaxBuckets) {
		add("points", "must be a whole number from %d to %d", MinPoints, MaxBuckets)
	}
	if q.Points != 0 && q.Width > Raw {
		add("points", "goes with the widths auto and raw only, not with %s", q.Width)
	}
	if q.Width < Auto || q.Width > maxWidth {
		add("width", "must be from 1m to %s", maxWidth)
	}
	switch {
	case q.From.IsZero():
		add("from", "is required")
	case q.To.IsZero():
		add("to", "is required")
	case !q.To.After(q.From):
		add("to", "must be after from")
	case q.Width > Raw && q.Width <= maxWidth:
		if n := q.Width.count(q.From, q.To); n > MaxBuckets {
			add("width", "makes %d buckets a signal, and %d is the limit; ask for %s, or for less time",
				n, MaxBuckets, fitting(q.From, q.To, MaxBuckets))
		}
	}
	return mes.Invalid(faults)
}

func (q Query) validateSignals(add func(name, format string, args ...any)) {
	switch n := len(q.Signals); {
	case n == 0:
		add("signal", "is required")
	case n > MaxSignals:
		add("signal", "may be given %d times, not %d", MaxSignals, n)
		return
	}
	for i, name := range q.Signals {
		switch {
		case name == "" || len(name) > mes.MaxSignalNameLength:
			add("signal", "the name of a signal has 1 to %d bytes", mes.MaxSignalNameLength)
		case !utf8.ValidString(name):
			add("signal", "must be valid UTF-8")
		case slices.Contains(q.Signals[:i], name):
			add("signal", "names %q twice", name)
		}
	}
}

func (q Query) validatePercentiles(add func(name, format string, args ...any)) {
	if n := len(q.Percentiles); n > MaxPercentiles {
		add("percentile", "may be given %d times, not %d", MaxPercentiles, n)
		return
	}
	for i, p := range q.Percentiles {
		switch {
		case !(p >= 0 && p <= 100):
			add("percentile", "must be a number from 0 to 100")
		case slices.Contains(q.Percentiles[:i], p):
			add("percentile", "asks for %s twice", strconv.FormatFloat(p, 'f', -1, 64))
		}
	}
	if len(q.Percentiles) > 0 && q.Width == Raw {
		add("percentile", "goes with buckets, not with the width raw")
	}
}
