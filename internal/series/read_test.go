package series

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plantgate/internal/mes"
)

// Whatever was rolled up before, came late or is due: the answer is the one that
// all records give.
func TestAnswersAreThoseOfTheRecords(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		d := newDraw(rt)
		m := newMemory()
		base := day("2026-11-21").Add(time.Duration(d.IntN(40)) * time.Hour)
		reach := pick(d, 3*time.Minute, 3*time.Hour, 60*time.Hour, 60*time.Hour, 90*24*time.Hour)
		n := 0
		for range rapid.IntRange(1, 4).Draw(rt, "rounds") {
			for range d.IntN(60) {
				m.append(drawSample(d, n, base, reach))
				n++
			}
			before := base.Add(time.Duration(d.Int64N(int64(reach) * 5 / 4)))
			if _, err := NewRollup(m, RollupOptions{}).Pass(t.Context(), before); err != nil {
				rt.Fatal(err)
			}
		}
		for range 4 {
			checkAnswer(rt, m, drawQuery(d, base, reach))
		}
	})
}

func checkAnswer(rt *rapid.T, m *memory, q Query) {
	if q.Validate() != nil {
		return // too many buckets
	}
	var got recorder
	if err := NewReader(m).Read(rt.Context(), q, &got); err != nil {
		rt.Fatal(err)
	}
	if len(got.answers) != len(q.Signals) {
		rt.Fatalf("%d signals, want %d", len(got.answers), len(q.Signals))
	}
	for i, signal := range q.Signals {
		if got.answers[i].signal != signal {
			rt.Fatalf("signal %q, want %q", got.answers[i].signal, signal)
		}
		compareAnswer(rt, q, got.answers[i], m.samples)
	}
}

// draw draws evenly: what lies between the ends matters here.
type draw struct{ *rand.Rand }

func newDraw(rt *rapid.T) draw {
	return draw{rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))}
}

func pick[T any](d draw, of ...T) T { return of[d.IntN(len(of))] }

func drawSample(d draw, n int, base time.Time, reach time.Duration) Sample {
	grid := pick(d, time.Microsecond, time.Second, time.Minute, time.Hour)
	at := base.Add(time.Duration(d.Int64N(int64(reach)))).Truncate(grid)
	value := pick(d,
		mes.Float(d.Float64()*2e6-1e6, 64), mes.Float(d.Float64(), 64), mes.Int(d.Int64N(19)-9), mes.Int(d.Int64N(19)-9),
		pick(d, mes.Bool(true), mes.String("x"), mes.Value{}, mes.Array("[1]"), mes.Float(1e300, 64)))
	s := sampleAt(n, pick(d, "a", "a", "b"), at, value)
	s.StatusCode = pick[mes.StatusCode](d, 0, 0, 0, 0x40000000, 0x80000000)
	return s
}

func drawQuery(d draw, base time.Time, reach time.Duration) Query {
	at := func() time.Time {
		grid := pick(d, time.Nanosecond, time.Second, time.Minute, time.Hour, 24*time.Hour)
		return base.Add(time.Duration(d.Int64N(int64(reach)*5/4) - int64(reach)/8)).Truncate(grid)
	}
	from, to := at(), at()
	if to.Before(from) {
		from, to = to, from
	}
	return Query{
		Unit: press, Signals: pick(d, []string{"a"}, []string{"b", "a"}, []string{"c", "a"}), From: from, To: to,
		Width:       pick[Width](d, Auto, 1, 2, 5, 7, 23, 59, 60, 61, 90, 1440, 1441, 2880, 7*1440),
		Percentiles: pick(d, nil, []float64{50}, []float64{0, 12.5, 99, 100}),
	}
}

func compareAnswer(rt *rapid.T, q Query, got answer, samples []Sample) {
	width := q.Resolved().Width.Duration()
	byStart := map[time.Time][]Sample{}
	for _, s := range samples {
		if s.Signal == got.signal && !s.Position.Time.Before(q.From) && s.Position.Time.Before(q.To) {
			start := s.Position.Time.Truncate(width)
			byStart[start] = append(byStart[start], s)
		}
	}
	var starts []time.Time
	for start := range byStart {
		starts = append(starts, start)
	}
	slices.SortFunc(starts, time.Time.Compare)
	if len(got.buckets) != len(starts) {
		rt.Fatalf("%d buckets of %s, want %d", len(got.buckets), got.signal, len(starts))
	}
	for i, start := range starts {
		if !got.buckets[i].Start.Equal(start) {
			rt.Fatalf("bucket of %s, want %s", got.buckets[i].Start, start)
		}
		compareBucket(rt, q, got.buckets[i], got.percentiles[i], byStart[start])
	}
}

func compareBucket(rt *rapid.T, q Query, got Bucket, percentiles []float64, samples []Sample) {
	var numbers []float64
	var times []time.Time
	bad, sum, size := int64(0), 0.0, 0.0
	for _, s := range samples {
		v, ok := s.Value.Float64()
		if !ok || s.StatusCode >= 0x80000000 {
			bad++
			continue
		}
		numbers, times = append(numbers, v), append(times, s.Position.Time)
		sum, size = sum+v, size+math.Abs(v)
	}
	if got.Bad != bad || got.Count != int64(len(numbers)) {
		rt.Fatalf("count %d and %d bad, want %d and %d", got.Count, got.Bad, len(numbers), bad)
	}
	if len(numbers) == 0 {
		return
	}
	first, last := numbers[0], numbers[len(numbers)-1]
	if got.First != first || got.Last != last || !got.FirstAt.Time.Equal(times[0]) || !got.LastAt.Time.Equal(times[len(times)-1]) {
		rt.Fatalf("first %v, last %v, want %v and %v", got.First, got.Last, first, last)
	}
	slices.SortFunc(numbers, cmp.Compare)
	if got.Min != numbers[0] || got.Max != numbers[len(numbers)-1] {
		rt.Fatalf("from %v to %v, want %v to %v", got.Min, got.Max, numbers[0], numbers[len(numbers)-1])
	}
	if math.Abs(got.Sum()-sum) > size*float64(len(numbers)+4)*0x1p-53 {
		rt.Fatalf("sum %v, want %v", got.Sum(), sum)
	}
	for i, p := range q.Percentiles {
		want := numbers[int(p/100*float64(len(numbers)-1))]
		// What is far smaller than the greatest is not told apart.
		if floor := numbers[len(numbers)-1] / 1e8; math.Abs(want) < max(floor, -numbers[0]/1e8) {
			continue
		}
		if math.Abs(percentiles[i]-want) > math.Abs(want)*(sketchAccuracy+1e-9) {
			rt.Fatalf("%s is %v, want %v", PercentileName(p), percentiles[i], want)
		}
	}
}

// Long spans are read from large buckets: what is read does not grow with the
// number of minutes.
func TestLongSpansAreReadFromLargeBuckets(t *testing.T) {
	t.Parallel()
	m := newMemory()
	start := day("2026-01-01")
	for i := range 24 * 40 {
		m.append(sampleAt(i, "a", start.Add(time.Duration(i)*time.Hour), mes.Int(int64(i))))
	}
	if n, err := NewRollup(m, RollupOptions{}).Pass(t.Context(), start.Add(24*41*time.Hour)); err != nil || n != 24*40 {
		t.Fatal(n, err)
	}
	late := start.Add(20*24*time.Hour + 90*time.Second)
	m.append(sampleAt(1e6, "a", late, mes.Int(-1)))
	m.reads = 0
	var got recorder
	q := Query{Unit: press, Signals: []string{"a"}, From: start.Add(30 * time.Second), To: start.Add(40 * 24 * time.Hour), Width: Day}
	if err := NewReader(m).Read(t.Context(), q, &got); err != nil {
		t.Fatal(err)
	}
	// Records: the first half minute and the late one. Days: before and after the
	// days of these. Hours and minutes: of these two days.
	if m.reads > 8 {
		t.Errorf("%d reads", m.reads)
	}
	if b := got.answers[0].buckets; len(b) != 40 || b[0].Count != 23 || b[20].Count != 25 || b[20].Min != -1 {
		t.Errorf("%d buckets: %+v", len(b), b)
	}
}

func TestRaw(t *testing.T) {
	t.Parallel()
	m := newMemory()
	start := day("2026-11-22")
	for i := range 1000 {
		m.append(sampleAt(i, "a", start.Add(time.Duration(i)*time.Second), mes.Int(int64(i%100))))
	}
	m.append(sampleAt(5000, "a", start.Add(5500*time.Millisecond), mes.String("x")), sampleAt(5001, "b", start, mes.Bool(true)))
	q := Query{Unit: press, Signals: []string{"b", "a"}, From: start, To: start.Add(time.Hour), Width: Raw}
	var got recorder
	if err := NewReader(m).Read(t.Context(), q, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.answers[0].points) != 1 || len(got.answers[1].points) != 1001 || got.answers[1].unit != "Cel" {
		t.Fatalf("%d and %d points", len(got.answers[0].points), len(got.answers[1].points))
	}
	if p := got.answers[1].points[6]; p.Value != mes.String("x") {
		t.Errorf("what is not a number is left out: %+v", p)
	}
	q.Points = 50
	got = recorder{}
	if err := NewReader(m).Read(t.Context(), q, &got); err != nil {
		t.Fatal(err)
	}
	if n := len(got.answers[1].points); n != 50 {
		t.Errorf("%d points, want 50", n)
	}
}

func TestTooManyRawSamples(t *testing.T) {
	t.Parallel()
	m := newMemory()
	start := day("2026-11-22")
	var samples []Sample
	for i := range MaxBuckets + 1 {
		samples = append(samples, sampleAt(i, "a", start.Add(time.Duration(i)*time.Second), mes.Int(1)))
	}
	m.append(samples...)
	q := Query{Unit: press, Signals: []string{"a"}, From: start, To: start.Add(24 * time.Hour), Width: Raw}
	for _, rolledUp := range []bool{false, true} {
		if rolledUp {
			if _, err := NewRollup(m, RollupOptions{}).Pass(t.Context(), q.To); err != nil {
				t.Fatal(err)
			}
		}
		var got recorder
		err := NewReader(m).Read(t.Context(), q, &got)
		want := `the input has invalid members: /width: "a" has 10001 samples in this time, and 10000 is the limit of raw; ask for 1m, for raw with points, or for less time`
		if mes.ErrorCode(err) != mes.CodeInvalid || err.Error() != want || len(got.answers) > 0 {
			t.Errorf("%v", err)
		}
	}
	q.Points = 500
	var got recorder
	if err := NewReader(m).Read(t.Context(), q, &got); err != nil || len(got.answers[0].points) != 500 {
		t.Errorf("%v", err)
	}
}

func TestErrorsOfTheSinkEndTheAnswer(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.append(sampleAt(1, "a", day("2026-11-22"), mes.Int(1)))
	q := Query{Unit: press, Signals: []string{"a"}, From: day("2026-11-22"), To: day("2026-11-23"), Width: Hour}
	for _, width := range []Width{Hour, Raw} {
		q.Width = width
		for _, failAt := range []string{"signal", "item"} {
			sink := failing{at: failAt}
			if err := NewReader(m).Read(t.Context(), q, sink); err == nil || err.Error() != failAt {
				t.Errorf("%s: %v", width, err)
			}
		}
	}
}

type failing struct{ at string }

func (f failing) fail(at string) error {
	if f.at == at {
		return fmt.Errorf("%s", at)
	}
	return nil
}

func (f failing) Signal(string, string) error     { return f.fail("signal") }
func (f failing) Bucket(*Bucket, []float64) error { return f.fail("item") }
func (f failing) Point(Sample) error              { return f.fail("item") }
