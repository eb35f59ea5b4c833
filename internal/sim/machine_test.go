package sim

import (
	"math"
	"slices"
	"testing"
	"time"
)

func kinds() map[string]func(string, uint64) *Machine {
	return map[string]func(string, uint64) *Machine{"press": Press, "mill": Mill, "oven": Oven}
}

func TestSameSeedSameReadings(t *testing.T) {
	t.Parallel()
	for name, make := range kinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b, other := make("M1", 7), make("M1", 7), make("M1", 8)
			differs := false
			for range 2000 {
				a.Step(time.Second)
				b.Step(time.Second)
				other.Step(time.Second)
				if !slices.Equal(a.Readings(), b.Readings()) {
					t.Fatal("two machines of the same seed differ")
				}
				differs = differs || !slices.Equal(a.Readings(), other.Readings())
			}
			if !differs {
				t.Error("the seed changes nothing")
			}
		})
	}
}

func TestPlausible(t *testing.T) {
	t.Parallel()
	bounds := map[string][2]float64{
		"State": {0, 3}, "GoodCount": {0, 1e6}, "ScrapCount": {0, 1e5}, "CycleTime": {3, 40},
		"OilTemperature": {20, 60}, "Force": {0, 1300},
		"SpindleTemperature": {20, 70}, "SpindleLoad": {0, 100}, "SpindleSpeed": {0, 8000}, "Vibration": {0, 5},
		"Temperature": {20, 190}, "HeatingPower": {0, 100}, "Energy": {0, 1000},
	}
	for name, make := range kinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := make("M1", 42)
			seen := map[State]bool{}
			good := int64(0)
			for range 8 * 3600 {
				m.Step(time.Second)
				seen[m.State()] = true
				if m.Good() < good {
					t.Fatal("the counter of good parts fell")
				}
				good = m.Good()
				for _, r := range m.Readings() {
					b, ok := bounds[r.Name]
					if v := number(r.Value); !ok || math.IsNaN(v) || v < b[0] || v > b[1] {
						t.Fatalf("%s = %v, expected within %v", r.Name, r.Value, b)
					}
				}
			}
			if len(seen) != 4 {
				t.Errorf("in a shift only the states %v were seen", seen)
			}
			if good < 500 {
				t.Errorf("only %d good parts in a shift", good)
			}
		})
	}
}

func TestLagReaches63PercentAfterItsTimeConstant(t *testing.T) {
	t.Parallel()
	v := 0.0
	for range 100 {
		v = lag(v, 100, 100*time.Millisecond, 10*time.Second)
	}
	if math.Abs(v-63.21) > 0.01 {
		t.Errorf("after one time constant the value is %.2f, want 63.21", v)
	}
}

func number(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case int64:
		return float64(v)
	case int32:
		return float64(v)
	default:
		return math.NaN()
	}
}
