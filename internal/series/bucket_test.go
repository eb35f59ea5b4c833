package series

import (
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plantgate/internal/mes"
)

// Parts may be merged in any order and grouping.
func TestMergeInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var whole Bucket
		parts := make([]Bucket, rapid.IntRange(1, 6).Draw(rt, "parts"))
		exact, size := new(big.Float).SetPrec(2000), 0.0
		for n := range rapid.IntRange(0, 40).Draw(rt, "samples") {
			s := sampleAt(n, "a", day("2026-11-22").Add(time.Duration(rapid.IntRange(0, 5).Draw(rt, "second"))*time.Second), mes.Float(rapid.Float64Range(-1e12, 1e12).Draw(rt, "value"), 64))
			if rapid.IntRange(0, 9).Draw(rt, "sequenced") == 0 {
				sequence := rapid.Int64Range(0, 2).Draw(rt, "sequence")
				s.Position.Sequence = &sequence
			}
			if rapid.IntRange(0, 9).Draw(rt, "bad") == 0 {
				s.Value = mes.String("x")
			}
			whole.AddSample(s)
			parts[rapid.IntRange(0, len(parts)-1).Draw(rt, "part")].AddSample(s)
			if v, ok := s.Number(); ok {
				exact.Add(exact, big.NewFloat(v))
				size += math.Abs(v)
			}
		}
		for len(parts) > 1 {
			i := rapid.IntRange(0, len(parts)-2).Draw(rt, "which")
			a, b := parts[i], parts[i+1]
			if rapid.Bool().Draw(rt, "swapped") {
				a, b = b, a
			}
			a.Merge(b)
			parts[i] = a
			parts = append(parts[:i+1], parts[i+2:]...)
		}
		got := parts[0]
		want, _ := exact.Float64()
		for _, sum := range []float64{got.Sum(), whole.Sum()} {
			if math.Abs(sum-want) > math.Abs(want)*0x1p-52+size*0x1p-90 {
				rt.Fatalf("sum %v, want %v", sum, want)
			}
		}
		got.sum, got.lost, whole.sum, whole.lost = 0, 0, 0, 0
		if got != whole {
			rt.Fatalf("\n%+v, want\n%+v", got, whole)
		}
	})
}

func TestSumKeepsWhatRoundingLoses(t *testing.T) {
	t.Parallel()
	var b Bucket
	for _, v := range []float64{1, 1e100, 1, -1e100} {
		b.Add(mes.Position{}, v)
	}
	if b.Sum() != 2 || b.Avg() != 0.5 {
		t.Errorf("sum %v", b.Sum())
	}
	b.Add(mes.Position{}, math.MaxFloat64)
	b.Add(mes.Position{}, math.MaxFloat64)
	if !math.IsInf(b.Sum(), 1) {
		t.Errorf("a sum that no double holds is %v", b.Sum())
	}
}

func TestSamplesOfARecord(t *testing.T) {
	t.Parallel()
	record := func(change func(*mes.Record)) *mes.Record {
		r := &mes.Record{Time: day("2026-11-22"), Signals: []mes.Signal{
			{Name: "on", Value: mes.Bool(true)}, {Name: "status", Value: mes.Int(3)}, {Name: "t", Value: mes.Float(1.5, 64)},
		}}
		change(r)
		return r
	}
	for name, c := range map[string]struct {
		record  *mes.Record
		signals []string
		want    string
	}{
		"all":      {record(func(*mes.Record) {}), nil, "on status t "},
		"some":     {record(func(*mes.Record) {}), []string{"t", "none", "on"}, "t on "},
		"status":   {record(func(r *mes.Record) { r.Status = mes.Idle }), nil, "on t "},
		"retained": {record(func(r *mes.Record) { r.Flags = []mes.Flag{mes.FlagAhead, mes.FlagRetained} }), nil, ""},
	} {
		got := ""
		for s := range Samples(c.record, c.signals) {
			got += s.Signal + " "
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	for range Samples(record(func(*mes.Record) {}), nil) {
		break // ends the walk
	}
}

func TestWhatHasANumber(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value mes.Value
		code  mes.StatusCode
		want  float64
		ok    bool
	}{
		{mes.Int(3), 0, 3, true},
		{mes.Int(3), 0x40000000, 3, true},
		{mes.Int(3), 0x80000000, 0, false},
		{mes.Int(3), 0xC0000000, 0, false},
		{mes.Bool(true), 0, 1, true},
		{mes.Bool(false), 0, 0, true},
		{mes.String("3"), 0, 0, false},
		{mes.Value{}, 0, 0, false},
		{mes.Array("[3]"), 0, 0, false},
	} {
		if v, ok := (Sample{Value: c.value, StatusCode: c.code}).Number(); v != c.want || ok != c.ok {
			t.Errorf("%s with %x: %v, %v", c.value.Text(), uint32(c.code), v, ok)
		}
	}
}
