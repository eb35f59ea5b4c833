package series

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func plot(n int, f func(i int) float64) []Point {
	points := make([]Point, n)
	for i := range points {
		points[i] = Point{day("2026-11-22").Add(time.Duration(i) * time.Second), f(i)}
	}
	return points
}

func TestLTTBKeepsTheShape(t *testing.T) {
	t.Parallel()
	corner := plot(101, func(i int) float64 { return math.Abs(float64(i - 37)) })
	spike := plot(1000, func(i int) float64 {
		if i == 617 {
			return 9
		}
		return math.Sin(float64(i) / 50)
	})
	for name, c := range map[string]struct {
		points []Point
		n      int
		want   []int // that must be chosen
	}{
		"corner":        {corner, 5, []int{0, 37, 100}},
		"spike":         {spike, 20, []int{0, 617, 999}},
		"fewer":         {corner[:3], 4, []int{0, 1, 2}},
		"as many":       {corner[:4], 4, []int{0, 1, 2, 3}},
		"flat":          {plot(50, func(int) float64 { return 3 }), 10, []int{0, 49}},
		"huge":          {plot(50, func(i int) float64 { return math.MaxFloat64 * float64(1-i%3) }), 10, []int{0, 49}},
		"near extremes": {plot(100, func(i int) float64 { return map[int]float64{50: 8, 51: -8}[i] }), 4, []int{0, 50, 51, 99}},
		"two":           {corner, 2, []int{0, 100}},
		"three":         {corner, 3, []int{0, 37, 100}},
	} {
		got := LTTB(c.points, c.n)
		if len(got) != min(c.n, len(c.points)) || !slices.IsSorted(got) {
			t.Errorf("%s: %v", name, got)
		}
		for _, i := range c.want {
			if !slices.Contains(got, i) {
				t.Errorf("%s: %v lacks %d", name, got, i)
			}
		}
	}
}

// The points of the paper's rule, worked out by hand: ends, and in each of the
// three buckets between them the one with the largest triangle.
func TestLTTBChoosesTheLargestTriangles(t *testing.T) {
	t.Parallel()
	values := []float64{0, 1, 0, 5, 0, 0, -3, 0, 0, 1, 0}
	got := LTTB(plot(len(values), func(i int) float64 { return values[i] }), 5)
	if want := []int{0, 3, 6, 7, 10}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestLTTBKeepsEndsAndExtremes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-10, 10), 1, 60).Draw(rt, "values")
		points := plot(len(values), func(i int) float64 { return values[i] })
		n := rapid.IntRange(MinPoints, 60).Draw(rt, "n")
		got := LTTB(points, n)
		if len(got) != min(n, len(points)) || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			rt.Fatalf("%v", got)
		}
		var kept []float64
		for _, i := range got {
			kept = append(kept, values[i])
		}
		if kept[0] != values[0] || kept[len(kept)-1] != values[len(values)-1] || slices.Min(kept) != slices.Min(values) || slices.Max(kept) != slices.Max(values) {
			rt.Fatalf("%v of %v", kept, values)
		}
	})
}

func BenchmarkLTTB(b *testing.B) {
	points := plot(MaxSamples, func(i int) float64 { return math.Sin(float64(i) / 1000) })
	for b.Loop() {
		LTTB(points, 1000)
	}
}
