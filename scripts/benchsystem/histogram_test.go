package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsAreExactEnough(t *testing.T) {
	t.Parallel()
	last := -1
	for us := uint64(0); us < 1<<maxBits; us += 1 + us/1000 {
		b := bucketOf(us)
		if b < last || b >= buckets {
			t.Fatalf("%d µs go to bucket %d after %d", us, b, last)
		}
		last = b
		if h := highest(b); h < us || float64(h-us) > float64(us)/100 {
			t.Fatalf("%d µs are read as %d", us, h)
		}
		if h := highest(b); bucketOf(h) != b || h+1 < 1<<maxBits && bucketOf(h+1) != b+1 {
			t.Fatalf("%d is not the highest of bucket %d", h, b)
		}
	}
	if b := bucketOf(math.MaxInt64); b != buckets-1 {
		t.Errorf("the longest goes to bucket %d", b)
	}
}

func TestPercentiles(t *testing.T) {
	t.Parallel()
	var h histogram
	if h.percentile(0.99) != 0 {
		t.Error("a histogram of nothing has a percentile")
	}
	for i := 1; i <= 100; i++ {
		h.record(time.Duration(i) * time.Microsecond)
	}
	h.record(-time.Second) // a clock that was set back
	for share, want := range map[float64]float64{0: 0, 0.5: 0.050, 0.99: 0.099, 0.999: 0.100, 1: 0.100} {
		if got := h.percentile(share); got != want {
			t.Errorf("%g: %g ms, want %g", share, got, want)
		}
	}
}

func TestPercentilesOfMergedHistograms(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	parts := make([]histogram, 3)
	var all []float64
	for i := range 10_000 {
		us := int64(math.Exp(random.Float64() * 16))
		parts[i%3].record(time.Duration(us) * time.Microsecond)
		all = append(all, float64(us)/1000)
	}
	var h histogram
	for i := range parts {
		h.merge(&parts[i])
	}
	slices.Sort(all)
	for _, share := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[int(math.Ceil(share*float64(len(all))))-1]
		if got := h.percentile(share); got < want || got > want*1.01 {
			t.Errorf("%g: %g ms, want %g", share, got, want)
		}
	}
}
