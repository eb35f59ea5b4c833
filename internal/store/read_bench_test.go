package store_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/series"
	"plantgate/internal/store"
)

// benchRecords is how many records are stored before reads are measured:
// PLANTGATE_BENCH_RECORDS, else half a million.
func benchRecords(b *testing.B) int {
	text := os.Getenv("PLANTGATE_BENCH_RECORDS")
	if text == "" {
		return 500_000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkReads measures reads of a store that holds so many records, of 1,000
// machines once a second each: they must take no longer, the larger it is.
func BenchmarkReads(b *testing.B) {
	total := benchRecords(b)
	path := filepath.Join(b.TempDir(), "plant.db")
	s := open(b, "sqlite:"+path, store.Options{})
	if _, err := s.MigrateUp(b.Context()); err != nil {
		b.Fatal(err)
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	fill(b, s, start, total)
	if info, err := os.Stat(path); err == nil {
		b.Logf("%.0f bytes a record", float64(info.Size())/float64(total))
	}

	b.Run("newest of 1000 machines", func(b *testing.B) {
		for b.Loop() {
			list, err := s.Latest(b.Context(), mes.LatestFilter{Limit: 1000})
			if err != nil || len(list) != 1000 {
				b.Fatal(len(list), err)
			}
		}
	})
	middle := start.Add(time.Duration(total/benchMachines/2) * time.Second).Truncate(time.Second)
	hour := min(3600, total/benchMachines/2)
	machine := 0
	next := func() string {
		machine = (machine + 373) % benchMachines
		return machineName(machine)
	}
	b.Run("an hour of a machine/records", func(b *testing.B) {
		f := mes.RecordFilter{SiteID: "site", From: middle, To: middle.Add(time.Duration(hour) * time.Second), Limit: 10_000}
		for b.Loop() {
			f.MachineID = next()
			n := 0
			if err := s.EachRecord(b.Context(), f, func(*mes.Record) error { n++; return nil }); err != nil || n != hour {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("an hour of a machine/samples", func(b *testing.B) {
		for b.Loop() {
			n := 0
			unit := series.Unit{SiteID: "site", MachineID: next()}
			err := s.Samples(b.Context(), unit, []string{"temperature"}, middle, middle.Add(time.Duration(hour)*time.Second),
				func(series.Sample) error { n++; return nil })
			if err != nil || n != hour {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("last 100 of a machine", func(b *testing.B) {
		for b.Loop() {
			n := 0
			f := mes.RecordFilter{SiteID: "site", MachineID: next(), Descending: true, Limit: 100}
			if err := s.EachRecord(b.Context(), f, func(*mes.Record) error { n++; return nil }); err != nil || n != 100 {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("newest 100 of all", func(b *testing.B) {
		for b.Loop() {
			n := 0
			f := mes.RecordFilter{Descending: true, Limit: 100}
			if err := s.EachRecord(b.Context(), f, func(*mes.Record) error { n++; return nil }); err != nil || n != 100 {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("by id", func(b *testing.B) {
		i := 0
		for b.Loop() {
			i = (i + 7919*13) % total
			r := benchRecord(start, i)
			if known, err := s.HasRecord(b.Context(), r.SiteID, r.MachineID, r.Position(), true); !known || err != nil {
				b.Fatal(known, err)
			}
		}
	})
}

// fill stores records in steps of the usual size, and says how fast the last of them
// were.
func fill(b *testing.B, s *store.Store, start time.Time, total int) {
	b.Helper()
	const step = 16_384
	var applied journal.Applied
	began, lap := time.Now(), time.Now()
	for n := 0; n < total; {
		group := make([]mes.Record, min(step, total-n))
		for i := range group {
			group[i] = benchRecord(start, n+i)
		}
		var err error
		if applied, err = put(context.Background(), s, applied, journal.Group{Records: group}, false); err != nil {
			b.Fatal(err)
		}
		if n += len(group); n%(step*61) == 0 || n == total {
			b.Logf("%d records, the last at %.0f/s", n, float64(step*61)/time.Since(lap).Seconds())
			lap = time.Now()
		}
	}
	b.Logf("%d records stored at %.0f/s", total, float64(total)/time.Since(began).Seconds())
}
