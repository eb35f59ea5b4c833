package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"plantgate/internal/mes"
	"plantgate/internal/series"
)

var unitM = series.Unit{SiteID: "s", MachineID: "m"}

func samplesOf(t testing.TB, s Store, unit series.Unit, signals []string, from, to time.Time) (list []series.Sample) {
	t.Helper()
	err := s.Samples(t.Context(), unit, signals, from, to, func(sample series.Sample) error {
		list = append(list, sample)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// testSamples reads samples in order, whatever the order of arrival.
func testSamples(t *testing.T, s Store) {
	sequenced := reading(10, 3)
	sequenced.Sequence = ptr(int64(1))
	sequenced.Signals = append(sequenced.Signals, mes.Signal{Name: "y", Value: mes.Bool(true)})
	sequenced.Identify(mes.ID{})
	bad := reading(20, 4)
	bad.StatusCode = 0x80000000
	bad.Identify(mes.ID{})
	retained := reading(30, 5)
	retained.Flags = []mes.Flag{mes.FlagRetained}
	elsewhere := reading(10, 9)
	elsewhere.SiteID = "r"
	elsewhere.Identify(mes.ID{})
	appendAndSettle(t, s, bad, sequenced, reading(10, 2), retained, elsewhere, reading(5, 1), reading(40, 6))

	got := ""
	for _, sample := range samplesOf(t, s, unitM, nil, day.Add(5*time.Second), day.Add(40*time.Second)) {
		got += fmt.Sprintf("%s=%s/%x ", sample.Signal, sample.Value.Text(), uint32(sample.StatusCode))
	}
	if want := "x=1/0 x=2/0 x=3/0 y=true/0 x=4/80000000 "; got != want {
		t.Errorf("samples %q, want %q", got, want)
	}
	if list := samplesOf(t, s, unitM, []string{"y"}, day, day.Add(time.Hour)); len(list) != 1 || list[0].Position.Compare(sequenced.Position()) != 0 {
		t.Errorf("of one signal: %+v", list)
	}
	if list := samplesOf(t, s, series.Unit{SiteID: "s", MachineID: "other"}, nil, day, day.Add(time.Hour)); len(list) != 0 {
		t.Errorf("of an unknown machine: %+v", list)
	}
	stop := errors.New("stop")
	err := s.Samples(t.Context(), unitM, nil, day, day.Add(time.Hour), func(series.Sample) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("the error of the reader became %v", err)
	}
	units, err := s.UnitsOfMeasure(t.Context(), unitM, []string{"x", "y", "z"})
	if diff := gocmp.Diff(map[string]string{"x": "mm"}, units); err != nil || diff != "" {
		t.Errorf("units of measure: %v (-want +got):\n%s", err, diff)
	}
}

func marksOf(t testing.TB, s Store, before time.Time, limit int) (all []series.Mark) {
	t.Helper()
	var after series.Mark
	for {
		marks, err := s.DueMarks(t.Context(), after, before, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(marks) == 0 {
			return all
		}
		all = append(all, marks...)
		after = marks[len(marks)-1]
	}
}

// testDueMinutes marks the minutes of new records, and no others.
func testDueMinutes(t *testing.T, s Store) {
	start := series.Minute.Start(day)
	other := reading(70, 1)
	other.MachineID = "n"
	other.Identify(mes.ID{})
	old := reading(-1, 1) // in the minute before
	status := reading(200, 1)
	status.Signals, status.Status = nil, mes.Idle
	status.Identify(mes.ID{})
	appendAndSettle(t, s, reading(10, 1), reading(20, 1), reading(70, 1), other, old, status)

	due, err := s.DueMinutes(t.Context(), unitM, start.Add(-time.Minute), start.Add(time.Hour))
	want := []time.Time{start.Add(-time.Minute), start, start.Add(time.Minute)}
	if diff := gocmp.Diff(want, due); err != nil || diff != "" {
		t.Fatalf("due: %v (-want +got):\n%s", err, diff)
	}
	if due, err := s.DueMinutes(t.Context(), unitM, start, start.Add(time.Minute)); err != nil || len(due) != 1 {
		t.Errorf("due within a minute: %v, %v", due, err)
	}
	if marks := marksOf(t, s, start.Add(time.Hour), 1); len(marks) != 4 {
		t.Fatalf("marks %+v", marks)
	}
	if marks := marksOf(t, s, start.Add(time.Minute), 10); len(marks) != 2 {
		t.Errorf("marks that are old enough: %+v", marks)
	}
	if marks := marksOf(t, s, start.Add(time.Minute+time.Microsecond), 10); len(marks) != 4 {
		t.Errorf("marks that began before: %+v", marks)
	}

	stale := markOf(t, s, start)
	appendAndSettle(t, s, reading(10, 1)) // a duplicate
	if same := markOf(t, s, start); same != stale {
		t.Errorf("a duplicate changed %+v to %+v", stale, same)
	}
	appendAndSettle(t, s, reading(30, 1))
	clearMark(t, s, stale, false)
	clearMark(t, s, markOf(t, s, start), true)
	clearMark(t, s, stale, false)
	if due, err := s.DueMinutes(t.Context(), unitM, start, start.Add(time.Minute)); err != nil || len(due) != 0 {
		t.Errorf("still due: %v, %v", due, err)
	}
}

func markOf(t testing.TB, s Store, minute time.Time) series.Mark {
	t.Helper()
	for _, m := range marksOf(t, s, minute.Add(time.Minute), 100) {
		if m.Unit == unitM && m.Minute.Equal(minute) {
			return m
		}
	}
	t.Fatalf("%s is not due", minute)
	return series.Mark{}
}

func clearMark(t testing.TB, s Store, mark series.Mark, want bool) {
	t.Helper()
	err := s.UpdateRollups(t.Context(), func(tx series.RollupTx) error {
		cleared, err := tx.ClearMark(t.Context(), mark)
		if cleared != want {
			t.Errorf("mark %+v was cleared: %v, want %v", mark, cleared, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// testRollupBlocks keeps blocks as they are, together with the marks.
func testRollupBlocks(t *testing.T, s Store) {
	start := series.Hour.Start(day)
	minute := series.Minute.Start(day)
	appendAndSettle(t, s, reading(10, 1))
	mark := markOf(t, s, minute)
	ctx := t.Context()
	block := func(hour int) series.Block {
		return series.BlockOf(series.Minute, start.Add(time.Duration(hour)*time.Hour))
	}
	put := func(tx series.RollupTx, signal string, hour int, count int64) error {
		e := series.Entry{Bucket: series.Bucket{Start: block(hour).Start().Add(time.Minute), Bad: count}}
		buckets, sketches := block(hour).Encode([]series.Entry{e})
		return tx.PutRollupBlock(ctx, unitM, signal, block(hour), buckets, sketches)
	}
	undone := errors.New("undone")
	err := s.UpdateRollups(ctx, func(tx series.RollupTx) error {
		if _, err := tx.ClearMark(ctx, mark); err != nil {
			return err
		}
		return errors.Join(put(tx, "x", 0, 9), undone)
	})
	if !errors.Is(err, undone) || markOf(t, s, minute) != mark {
		t.Fatalf("undone: %v", err)
	}
	err = s.UpdateRollups(ctx, func(tx series.RollupTx) error {
		if buckets, sketches, err := tx.RollupBlock(ctx, unitM, "x", block(0)); buckets != nil || sketches != nil || err != nil {
			t.Errorf("a block that is not there: %x, %x, %v", buckets, sketches, err)
		}
		err := errors.Join(put(tx, "x", 0, 1), put(tx, "x", 1, 2), put(tx, "x", 2, 3), put(tx, "y", 1, 4), put(tx, "x", 1, 5))
		if buckets, sketches, err := tx.RollupBlock(ctx, unitM, "x", block(1)); len(buckets) == 0 || len(sketches) == 0 || err != nil {
			t.Errorf("a block of this transaction: %x, %x, %v", buckets, sketches, err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		unit     series.Unit
		width    series.Width
		from, to time.Duration
		want     []int64
	}{
		{unitM, series.Minute, 0, 3 * time.Hour, []int64{1, 5, 3}},
		{unitM, series.Minute, time.Minute, 61 * time.Minute, []int64{1}},
		{unitM, series.Minute, 2 * time.Minute, 62 * time.Minute, []int64{5}},
		{unitM, series.Hour, 0, 3 * time.Hour, nil},
		{series.Unit{SiteID: "r", MachineID: "m"}, series.Minute, 0, 3 * time.Hour, nil},
	} {
		var got []int64
		err := s.Rollups(ctx, c.unit, "x", c.width, start.Add(c.from), start.Add(c.to), true, func(e series.Entry) error {
			got = append(got, e.Bad)
			return nil
		})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s from %s to %s: %v, %v, want %v", c.width, c.from, c.to, got, err, c.want)
		}
	}
}

// tally is a sink that keeps buckets, with the median of each.
type tally struct {
	buckets []series.Bucket
	medians []float64
}

func (s *tally) Signal(string, string) error { return nil }

func (s *tally) Bucket(b *series.Bucket, percentiles []float64) error {
	s.buckets, s.medians = append(s.buckets, *b), append(s.medians, percentiles...)
	return nil
}

func (s *tally) Point(series.Sample) error { return nil }

// testSeries asks for the same records before, between and after roll-ups.
func testSeries(t *testing.T, s Store) {
	random := rand.New(rand.NewPCG(7, 7))
	rollup, reader := series.NewRollup(s, series.RollupOptions{}), series.NewReader(s)
	want := map[time.Time]series.Bucket{}
	q := series.Query{
		Unit: unitM, Signals: []string{"x"}, From: day.Add(90 * time.Second), To: day.Add(50*time.Hour + 7*time.Second),
		Width: 90 * series.Minute, Percentiles: []float64{50},
	}
	for round := range 6 {
		var batch []mes.Record
		for range 40 {
			r := reading(random.IntN(51*3600), random.Int64N(1000))
			batch = append(batch, r)
		}
		for i, receipt := range Append(t, s, batch...) {
			if at := batch[i].Time; receipt.Status == mes.ReceiptCreated && !at.Before(q.From) && at.Before(q.To) {
				b := want[q.Width.Start(at)]
				for sample := range series.Samples(&batch[i], nil) {
					b.AddSample(sample)
				}
				want[q.Width.Start(at)] = b
			}
		}
		compareSeries(t, reader, q, want)
		if round%2 == 0 {
			before := day.Add(time.Duration(random.IntN(51)) * time.Hour)
			if _, err := rollup.Pass(t.Context(), before); err != nil {
				t.Fatal(err)
			}
			compareSeries(t, reader, q, want)
		}
	}
	if _, err := rollup.Pass(t.Context(), day.Add(52*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if marks := marksOf(t, s, day.Add(100*time.Hour), 100); len(marks) > 0 {
		t.Errorf("still due: %v", marks)
	}
	compareSeries(t, reader, q, want)
}

func compareSeries(t *testing.T, reader *series.Reader, q series.Query, want map[time.Time]series.Bucket) {
	t.Helper()
	var got tally
	if err := reader.Read(context.WithoutCancel(t.Context()), q, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.buckets) != len(want) || len(got.medians) != len(want) {
		t.Fatalf("%d buckets, want %d", len(got.buckets), len(want))
	}
	for i, b := range got.buckets {
		w := want[b.Start]
		if b.Count != w.Count || b.Min != w.Min || b.Max != w.Max || b.First != w.First || b.Last != w.Last || b.Sum() != w.Sum() {
			t.Errorf("%+v, want %+v", b, w)
		}
		if got.medians[i] < w.Min || got.medians[i] > w.Max {
			t.Errorf("median %v is not between %v and %v", got.medians[i], w.Min, w.Max)
		}
	}
}

// appendAndSettle appends records, and reads once: what samples and marks are read
// from does not wait for records on their way, as the beginning of an answer does.
func appendAndSettle(t *testing.T, s Store, records ...mes.Record) {
	t.Helper()
	Append(t, s, records...)
	if _, err := s.Records(t.Context(), mes.RecordFilter{Limit: 1}); err != nil {
		t.Fatal(err)
	}
}
