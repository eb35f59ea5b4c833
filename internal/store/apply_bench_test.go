package store_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/store"
	"plantgate/internal/store/storetest"
)

// The records of the benchmarks: as many machines, each once a second.
const (
	benchMachines = 1000
	benchPayload  = `{"MachineID":"M0001","Timestamp":"2026-11-22T10:15:00Z","temperature":72.31,"good_count":14233,"Status":"Running"}`
)

func benchSizes(b *testing.B, run func(b *testing.B, size int)) {
	for _, size := range []int{1000, 16_384, 32_768} {
		b.Run(fmt.Sprintf("records=%d", size), func(b *testing.B) { run(b, size) })
	}
}

func machineName(n int) string { return fmt.Sprintf("M%04d", n) }

func benchRecord(start time.Time, n int) mes.Record {
	r := storetest.NewRecord("site", machineName(n%benchMachines), start.Add(time.Duration(n/benchMachines)*time.Second))
	r.Status = mes.Running
	r.Payload = []byte(benchPayload)
	r.Signals = []mes.Signal{
		{Name: "good_count", Value: mes.Int(int64(n))},
		{Name: "temperature", Value: mes.Float(60+float64(n%997)/31, 64), Unit: "°C"},
	}
	r.Identify(mes.ID{})
	return r
}

// BenchmarkApply measures the step behind the log: records and all that follows
// from them.
func BenchmarkApply(b *testing.B) {
	benchSizes(b, func(b *testing.B, size int) {
		s := open(b, "sqlite:"+filepath.Join(b.TempDir(), "plant.db"), store.Options{})
		if _, err := s.MigrateUp(b.Context()); err != nil {
			b.Fatal(err)
		}
		start, n := time.Now().Add(-time.Hour), 0
		var applied journal.Applied
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			group := make([]mes.Record, size)
			for i := range group {
				group[i] = benchRecord(start, n)
				n++
			}
			b.StartTimer()
			var err error
			if applied, err = put(b.Context(), s, applied, journal.Group{Records: group}, false); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
	})
}

// BenchmarkPlainInsert measures what the step can't be faster than: the same rows,
// made and sorted before, into the same table with its indexes, one transaction of
// the same size, with nothing that follows from them.
func BenchmarkPlainInsert(b *testing.B) {
	benchSizes(b, func(b *testing.B, size int) {
		path := filepath.Join(b.TempDir(), "plant.db")
		s := open(b, "sqlite:"+path, store.Options{})
		if _, err := s.MigrateUp(b.Context()); err != nil {
			b.Fatal(err)
		}
		db, err := sql.Open("sqlite", "file:"+path+
			"?_pragma=synchronous(NORMAL)&_pragma=cache_size(-16384)&_pragma=wal_autocheckpoint(8000)")
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		conn, err := db.Conn(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		start, n := time.Now().Add(-time.Hour), 0
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			rows := plainRows(start, n, size)
			n += size
			b.StartTimer()
			if err := conn.Raw(func(c any) error { return insertPlainly(b.Context(), c, rows) }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
	})
}

// plainRows are the rows of records from a number on, by machine and time.
func plainRows(start time.Time, from, size int) [][]driver.NamedValue {
	rows := make([][]driver.NamedValue, 0, size)
	for machine := range benchMachines {
		for n := from + (machine-from%benchMachines+benchMachines)%benchMachines; n < from+size; n += benchMachines {
			r := benchRecord(start, n)
			signals := fmt.Sprintf(`[["good_count",2,%q,""],["temperature",2,%q,"°C"]]`, r.Signals[0].Value.Text(), r.Signals[1].Value.Text())
			values := []any{
				int64(n % benchMachines), r.Time.UnixMicro(), int64(0), int64(0), r.ID[:], int64(n + 1), string(r.DataType),
				string(r.TimeOrigin), r.ReceivedAt.UnixMicro(), string(r.Status), int64(0), int64(0), int64(1), signals, r.Payload,
			}
			row := make([]driver.NamedValue, len(values))
			for i, v := range values {
				row[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
			}
			rows = append(rows, row)
		}
	}
	return rows
}

const plainInsert = `INSERT INTO record (unit, time, sequence_given, sequence, id, position, data_type,
		time_origin, received_at, status, status_code, snapshot, origin, signals, payload)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// insertPlainly inserts the rows in one transaction, without what database/sql does
// for each.
func insertPlainly(ctx context.Context, conn any, rows [][]driver.NamedValue) error {
	exec := conn.(driver.ExecerContext)
	if _, err := exec.ExecContext(ctx, "BEGIN IMMEDIATE", nil); err != nil {
		return err
	}
	stmt, err := conn.(driver.ConnPrepareContext).PrepareContext(ctx, plainInsert)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, row := range rows {
		if _, err := stmt.(driver.StmtExecContext).ExecContext(ctx, row); err != nil {
			return err
		}
	}
	_, err = exec.ExecContext(ctx, "COMMIT", nil)
	return err
}
