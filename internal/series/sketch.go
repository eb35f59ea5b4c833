package series

import (
	"cmp"
	"math"
	"slices"
)

// sketchAccuracy is the relative error of a quantile; sketchBins bounds the bins
// of positive and of negative numbers: the largest numbers and eight orders of
// magnitude below them are told apart, smaller ones are taken for the smallest
// of these.
const (
	sketchAccuracy = 0.01
	sketchBins     = 1024
)

// Sketch tells quantiles of numbers within a relative error of 1 %. It is a
// DDSketch (Masson, Rim, Lee: DDSketch, VLDB 2019): numbers are counted in bins
// whose bounds grow by a constant factor. Sketches of parts merge to exactly the
// sketch of the whole, in any order.
type Sketch struct {
	zero uint64
	// Bins in ascending order of their indexes; those of negative numbers are
	// indexed by magnitude.
	positive, negative []bin
}

// bin counts the numbers v with growth^(index-1) < |v| ≤ growth^index.
type bin struct {
	index int32
	count uint64
}

const growth = (1 + sketchAccuracy) / (1 - sketchAccuracy)

var logGrowth = math.Log(growth)

// Add counts a number.
func (s *Sketch) Add(v float64) {
	switch {
	case v > 0:
		s.positive = countBin(s.positive, indexOf(v))
	case v < 0:
		s.negative = countBin(s.negative, indexOf(-v))
	default:
		s.zero++
	}
}

func indexOf(magnitude float64) int32 {
	return int32(math.Ceil(math.Log(magnitude) / logGrowth))
}

// magnitudeOf is the number whose relative distance to both bounds of a bin is
// the same.
func magnitudeOf(index int32) float64 {
	return min(math.Exp(float64(index)*logGrowth)*(2/(1+growth)), math.MaxFloat64)
}

func countBin(bins []bin, index int32) []bin {
	if n := len(bins); n > 0 {
		index = max(index, bins[n-1].index-sketchBins+1)
	}
	i, found := slices.BinarySearchFunc(bins, index, func(b bin, index int32) int { return cmp.Compare(b.index, index) })
	if found {
		bins[i].count++
		return bins
	}
	return collapse(slices.Insert(bins, i, bin{index, 1}))
}

// collapse counts what is too far below the greatest bin in the lowest one that
// is kept. Which one that is depends on the greatest alone, so that the order of
// merging changes nothing.
func collapse(bins []bin) []bin {
	if len(bins) == 0 {
		return bins
	}
	lowest := bins[len(bins)-1].index - sketchBins + 1
	var below uint64
	i := 0
	for bins[i].index < lowest {
		below += bins[i].count
		i++
	}
	if i == 0 {
		return bins
	}
	if bins[i].index == lowest {
		bins[i].count += below
		return slices.Delete(bins, 0, i)
	}
	bins[i-1] = bin{lowest, below}
	return slices.Delete(bins, 0, i-1)
}

// Merge counts the numbers of another sketch.
func (s *Sketch) Merge(other *Sketch) {
	s.zero += other.zero
	s.positive = mergeBins(s.positive, other.positive)
	s.negative = mergeBins(s.negative, other.negative)
}

func mergeBins(a, b []bin) []bin {
	if len(b) == 0 {
		return a
	}
	merged := make([]bin, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := cmp.Compare(a[0].index, b[0].index); {
		case c < 0:
			merged, a = append(merged, a[0]), a[1:]
		case c > 0:
			merged, b = append(merged, b[0]), b[1:]
		default:
			merged = append(merged, bin{a[0].index, a[0].count + b[0].count})
			a, b = a[1:], b[1:]
		}
	}
	return collapse(append(append(merged, a...), b...))
}

// Count is how many numbers were counted.
func (s *Sketch) Count() uint64 {
	n := s.zero
	for _, list := range [][]bin{s.positive, s.negative} {
		for _, b := range list {
			n += b.count
		}
	}
	return n
}

// Quantile returns about the number at place ⌊q(n−1)⌋ of n in ascending order,
// for q from 0 to 1. It is NaN without numbers.
func (s *Sketch) Quantile(q float64) float64 {
	n := s.Count()
	if n == 0 {
		return math.NaN()
	}
	rank := uint64(q * float64(n-1))
	for _, b := range slices.Backward(s.negative) {
		if rank < b.count {
			return -magnitudeOf(b.index)
		}
		rank -= b.count
	}
	if rank < s.zero {
		return 0
	}
	rank -= s.zero
	for _, b := range s.positive {
		if rank < b.count {
			return magnitudeOf(b.index)
		}
		rank -= b.count
	}
	return magnitudeOf(s.positive[len(s.positive)-1].index)
}
