package main

import (
	"math/bits"
	"time"
)

// Values of a histogram are microseconds. Each power of two is divided in 128, so
// that a value is off by less than 1 %; longer ones than a minute count as the
// last bucket.
const (
	subBits = 7
	maxBits = 26
	buckets = (maxBits - subBits + 1) << subBits
)

// histogram counts durations without allocating.
type histogram struct {
	counts [buckets]uint32
	total  uint64
}

func bucketOf(us uint64) int {
	if us < 1<<subBits {
		return int(us)
	}
	shift := bits.Len64(us) - subBits - 1
	// The first two powers share the exact buckets, hence shift and not shift+1.
	return min(shift<<subBits+int(us>>shift), buckets-1)
}

// highest is the largest value that falls into a bucket.
func highest(bucket int) uint64 {
	if bucket < 1<<(subBits+1) {
		return uint64(bucket)
	}
	shift := bucket>>subBits - 1
	return uint64(bucket-shift<<subBits+1)<<shift - 1
}

func (h *histogram) record(d time.Duration) {
	h.counts[bucketOf(uint64(max(d.Microseconds(), 0)))]++
	h.total++
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// percentile is the smallest value that at least the share of all values does not
// exceed, in milliseconds; 0 where there are none.
func (h *histogram) percentile(share float64) float64 {
	if h.total == 0 {
		return 0
	}
	rank := rankOf(share, h.total)
	var seen uint64
	for i, n := range h.counts {
		if seen += uint64(n); seen >= rank {
			return float64(highest(i)) / 1000
		}
	}
	return float64(highest(buckets-1)) / 1000
}

// rankOf is the place, from 1, of a percentile among n sorted values.
func rankOf(share float64, n uint64) uint64 {
	rank := uint64(share * float64(n))
	if float64(rank) < share*float64(n) {
		rank++
	}
	return min(max(rank, 1), n)
}
