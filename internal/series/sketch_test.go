package series

import (
	"cmp"
	"math"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func drawNumbers(rt *rapid.T) []float64 {
	return rapid.SliceOfN(rapid.OneOf(
		rapid.Float64Range(-1e3, 1e3), rapid.Float64Range(-1e-3, 1e-3), rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64),
		rapid.SampledFrom([]float64{0, 1, -1, math.SmallestNonzeroFloat64, math.MaxFloat64, -math.MaxFloat64}),
	), 0, 80).Draw(rt, "numbers")
}

func TestSketchesOfPartsMergeToThatOfTheWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var whole Sketch
		parts := make([]Sketch, 3)
		for _, v := range drawNumbers(rt) {
			whole.Add(v)
			parts[rapid.IntRange(0, 2).Draw(rt, "part")].Add(v)
		}
		var merged Sketch
		for _, i := range rapid.Permutation([]int{0, 1, 2}).Draw(rt, "order") {
			merged.Merge(&parts[i])
		}
		if !reflect.DeepEqual(encoded(&merged), encoded(&whole)) {
			rt.Fatalf("merged %+v, want %+v", merged, whole)
		}
		again, err := decodeSketch(encoded(&whole))
		if err != nil || !reflect.DeepEqual(encoded(again), encoded(&whole)) || again.Count() != whole.Count() {
			rt.Fatalf("read again: %+v, %v", again, err)
		}
	})
}

func encoded(s *Sketch) []byte { return appendSketch(nil, s) }

func TestQuantilesAreWithinAPercent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		numbers := rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(1, 1e6), rapid.Float64Range(-1e6, -1), rapid.Just(0.0)), 1, 200).Draw(rt, "numbers")
		var s Sketch
		for _, v := range numbers {
			s.Add(v)
		}
		slices.SortFunc(numbers, cmp.Compare)
		for _, q := range []float64{0, 0.01, 0.25, 0.5, 0.75, 0.95, 0.999, 1} {
			want := numbers[int(q*float64(len(numbers)-1))]
			if got := s.Quantile(q); math.Abs(got-want) > math.Abs(want)*(sketchAccuracy+1e-9) {
				rt.Fatalf("quantile %v is %v, want %v", q, got, want)
			}
		}
	})
	if q := (&Sketch{}).Quantile(0.5); !math.IsNaN(q) {
		t.Errorf("of nothing: %v", q)
	}
}

func TestSketchIsBounded(t *testing.T) {
	t.Parallel()
	var s Sketch
	for e := -300; e <= 300; e++ {
		for _, m := range []float64{1, 1.03, 2, 4, 7.7} {
			s.Add(m * math.Pow(10, float64(e)))
			s.Add(-m * math.Pow(10, float64(-e)))
		}
	}
	if len(s.positive) > sketchBins || len(s.negative) > sketchBins || s.Count() != 601*5*2 {
		t.Errorf("%d and %d bins of %d numbers", len(s.positive), len(s.negative), s.Count())
	}
	// The large ones are still told apart.
	if got := s.Quantile(1); math.Abs(got-7.7e300) > 7.7e298 {
		t.Errorf("greatest is %v", got)
	}
	if size := len(encoded(&s)); size > 4*sketchBins+20 {
		t.Errorf("%d bytes", size)
	}
}

func FuzzSketch(f *testing.F) {
	var s Sketch
	for _, v := range []float64{-2, 0, 1, 1, 1e9} {
		s.Add(v)
	}
	f.Add(encoded(&s))
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeSketch(data)
		if err != nil {
			return
		}
		again, err := decodeSketch(encoded(s))
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
		s.Merge(again)
		_ = s.Quantile(0.5)
	})
}
