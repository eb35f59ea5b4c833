package store_test

import (
	"fmt"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/store/storetest"
)

// BenchmarkAppend measures durable commits of groups of records of 20 machines
// with 5 signals each, and what follows from them.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 64, 1000} {
		b.Run(fmt.Sprintf("group=%d", size), func(b *testing.B) {
			s := setup(b)
			start, n := time.Now(), 0
			window := storetest.Window(start)
			group := make([]mes.Record, size)
			b.ReportAllocs()
			for b.Loop() {
				for i := range group {
					group[i] = benchRecord(start, n)
					n++
				}
				err := s.Update(b.Context(), func(tx ingest.Tx) error {
					if _, err := tx.AppendRecords(b.Context(), group, window); err != nil {
						return err
					}
					return tx.ApplyRecords(b.Context(), group)
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func benchRecord(start time.Time, n int) mes.Record {
	r := storetest.NewRecord("site", fmt.Sprintf("M%03d", n%20), start.Add(time.Duration(n)*time.Millisecond))
	r.Status = mes.Running
	r.Payload = []byte(`{"machine_id":"M001","timestamp":"2026-11-22T10:15:00","temperature":72.31,"status":"Running"}`)
	r.Signals = []mes.Signal{
		{Name: "current", Value: mes.Float(float64(n)/7, 64), Unit: "A"},
		{Name: "good_count", Value: mes.Int(int64(n))},
		{Name: "pressure", Value: mes.Float(float64(n)/3, 64), Unit: "bar"},
		{Name: "speed", Value: mes.Int(int64(n % 3000)), Unit: "1/min"},
		{Name: "temperature", Value: mes.Float(72.31, 64), Unit: "°C"},
	}
	r.Identify(mes.ID{})
	return r
}
