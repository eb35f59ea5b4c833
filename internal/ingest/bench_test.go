package ingest_test

import (
	"fmt"
	"strings"
	"testing"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// Decoding and identifying are all that happens to a record before it waits for
// its commit.

func BenchmarkDecodeContract1(b *testing.B) {
	body := []byte(`{"machine_id":"M001","timestamp":"2026-11-22T10:15:00","temperature":72.31,"status":"Running"}`)
	benchmarkDecode(b, body, 1)
}

func BenchmarkDecodeEnvelope(b *testing.B) {
	benchmarkDecode(b, []byte(`{"DataType":"Production","Payload":{"MachineID":"M3","Value":42.31,"Unit":"pcs"}}`), 1)
}

func BenchmarkDecodeBatch(b *testing.B) {
	var records []string
	for i := range 1000 {
		records = append(records, fmt.Sprintf(`{"machine_id":"M%03d","timestamp":"2026-11-22T10:15:00.%06d","temperature":72.31,"status":"Running"}`, i%100, i))
	}
	benchmarkDecode(b, []byte("["+strings.Join(records, ",")+"]"), len(records))
}

func benchmarkDecode(b *testing.B, body []byte, records int) {
	b.Helper()
	d := ingest.NewDecoder(ingest.Limits{MaxRecord: 256 << 10, MaxBatch: 10_000, MaxDepth: 32}, sites(b))
	src := ingest.Source{SiteID: "main", ReceivedAt: received, Answerable: true}
	receiver := mes.NewID()
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		got := d.Decode(src, body)
		if len(got) != records || got[0].Fault != nil {
			b.Fatalf("%d records, %v", len(got), got[0].Fault)
		}
		for i := range got {
			got[i].Identify(receiver)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
}
