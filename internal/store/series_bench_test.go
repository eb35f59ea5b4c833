package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/series"
	"plantgate/internal/store/storetest"
)

// discard is a sink that counts buckets.
type discard struct{ buckets int }

func (d *discard) Signal(string, string) error { return nil }
func (d *discard) Bucket(*series.Bucket, []float64) error {
	d.buckets++
	return nil
}
func (d *discard) Point(series.Sample) error { return nil }

// BenchmarkSeriesYear reads a year of one signal from its roll-ups, one hour of
// which got a late record.
func BenchmarkSeriesYear(b *testing.B) {
	s := setup(b)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	unit := series.Unit{SiteID: "s", MachineID: "m"}
	var batch []mes.Record
	for i := range 8760 {
		r := storetest.NewRecord("s", "m", start.Add(time.Duration(i)*time.Hour+time.Minute))
		r.Signals[0].Value = mes.Int(int64(i % 97))
		r.Identify(mes.ID{})
		if batch = append(batch, r); len(batch) == 1000 || i == 8759 {
			storetest.Append(b, s, batch...)
			batch = nil
		}
	}
	began := time.Now()
	n, err := series.NewRollup(s, series.RollupOptions{}).Pass(b.Context(), start.AddDate(1, 0, 0))
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d minutes of as many hours rolled up in %s", n, time.Since(began))
	storetest.Append(b, s, storetest.NewRecord("s", "m", start.Add(4000*time.Hour+2*time.Minute)))
	for name, q := range map[string]series.Query{
		"1h":     {Width: series.Hour},
		"1h p95": {Width: series.Hour, Percentiles: []float64{95}},
		"1d":     {Width: series.Day},
		"90m":    {Width: 90},
	} {
		b.Run(name, func(b *testing.B) {
			q.Unit, q.Signals, q.From, q.To = unit, []string{"temperature"}, start, start.AddDate(1, 0, 0)
			for b.Loop() {
				var d discard
				if err := series.NewReader(s).Read(context.Background(), q, &d); err != nil || d.buckets < 365 {
					b.Fatal(d.buckets, err)
				}
			}
		})
	}
}

// BenchmarkRollupPass rolls up one new minute of each of 50 machines with 20
// signals of 60 samples.
func BenchmarkRollupPass(b *testing.B) {
	s := setup(b)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		minute := start.Add(time.Duration(i) * time.Minute)
		for m := range 50 {
			var batch []mes.Record
			for second := range 60 {
				r := storetest.NewRecord("s", fmt.Sprint("m", m), minute.Add(time.Duration(second)*time.Second))
				r.Signals = nil
				for n := range 20 {
					r.Signals = append(r.Signals, mes.Signal{Name: fmt.Sprintf("signal%02d", n), Value: mes.Float(20+float64((i+second*n)%50)/10, 64)})
				}
				r.Identify(mes.ID{})
				batch = append(batch, r)
			}
			storetest.Append(b, s, batch...)
		}
		b.StartTimer()
		if n, err := series.NewRollup(s, series.RollupOptions{}).Pass(b.Context(), minute.Add(time.Minute)); err != nil || n != 50 {
			b.Fatal(n, err)
		}
	}
}
