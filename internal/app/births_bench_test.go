//go:build unix

package app_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	runtimemetrics "runtime/metrics"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/ingest"
	"plantgate/internal/mqtt/sparkplug"
)

// The largest birth that is taken: what a connection does with it before it looks at its
// next message.
const largestBirth = 100_000

// BenchmarkLargestBirth has a birth of which everything is new, as nodes send it that give
// every metric the time of the birth.
func BenchmarkLargestBirth(b *testing.B) {
	benchmarkBirths(b, func(birth, _ int) int { return birth })
}

// BenchmarkLargestBirthEachItsTime has metrics that bear the times at which they changed, each
// another, all since the birth before.
func BenchmarkLargestBirthEachItsTime(b *testing.B) {
	benchmarkBirths(b, func(birth, metric int) int { return birth*largestBirth + metric })
}

// BenchmarkLargestBirthAgain has metrics of which none has changed since the birth before.
func BenchmarkLargestBirthAgain(b *testing.B) {
	benchmarkBirths(b, func(int, int) int { return 1 })
}

// benchmarkBirths brings births to the log of a plant; at is the time of a metric, in
// milliseconds.
func benchmarkBirths(b *testing.B, at func(birth, metric int) int) {
	b.Helper()
	plant := apptest.OpenPlant(b, filepath.Join(b.TempDir(), "plant.db"), app.StorageOptions{})
	sites, err := ingest.NewSites("main", map[string]string{"main": "UTC"})
	if err != nil {
		b.Fatal(err)
	}
	service := ingest.New(plant.Journal, nil, ingest.Options{
		Sites: sites, MaxFuture: time.Hour, DedupeWindow: time.Hour, Unknown: ingest.RegisterUnknown, QueueRecords: 50_000, QueueBytes: 64 << 20,
	})
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}()

	host := sparkplug.NewHost(sparkplug.Config{Connection: "plant", NodeMachine: "{node}", DeviceMachine: "{node}.{device}"})
	host.Connected(false)
	const name = "spBv1.0/g/NBIRTH/n"
	topic, _ := host.Matches(name)
	base := time.Now().Add(-time.Hour).UnixMilli()
	var read, stored span
	send := func(birth int) {
		b.StopTimer()
		payload := largeBirth(base, birth, at)
		runtime.GC()
		b.StartTimer()
		read.begin()
		r := host.Receive(sparkplug.Message{Topic: topic, Name: name, Payload: payload, ReceivedAt: time.Now()})
		read.end()
		stored.begin()
		receipts, err := service.Patient().Ingest(b.Context(), r.Records)
		stored.end()
		if err != nil || len(receipts) < largestBirth || receipts[len(receipts)-1].Fault != nil {
			b.Fatalf("%d receipts, %v", len(receipts), err)
		}
	}
	send(1)
	for plant.Journal.Pending() > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	// From here on nothing is applied beside it, which would be measured as well.
	if err := plant.Stop(); err != nil {
		b.Fatal(err)
	}
	read, stored = span{}, span{}
	birth := 1
	runtime.GC()
	before, peak := heap(), watchHeap()
	b.ResetTimer()
	for range b.N {
		birth++
		send(birth)
	}
	b.StopTimer()
	read.report(b, "read")
	stored.report(b, "stored")
	b.ReportMetric(float64(peak()-before)/1e6, "MB-heap")
}

// heap is how many bytes of memory objects take, those that are not collected yet too.
func heap() int64 {
	sample := []runtimemetrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	runtimemetrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// watchHeap looks at the heap until it is asked for the most that it saw.
func watchHeap() (most func() int64) {
	stop, found := make(chan struct{}), make(chan int64)
	go func() {
		var peak int64
		for tick := time.Tick(2 * time.Millisecond); ; {
			select {
			case <-tick:
				peak = max(peak, heap())
			case <-stop:
				found <- peak
				return
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-found
	}
}

// span is how long something took, and how much time of processors the process: the one
// depends on what else is on the machine, the other less.
type span struct {
	wall, cpu   time.Duration
	from        time.Time
	fromRunning time.Duration
}

func (s *span) begin() { s.from, s.fromRunning = time.Now(), running() }

func (s *span) end() {
	s.wall += time.Since(s.from)
	s.cpu += running() - s.fromRunning
}

func (s *span) report(b *testing.B, what string) {
	b.ReportMetric(s.wall.Seconds()*1000/float64(b.N), "ms-"+what)
	b.ReportMetric(s.cpu.Seconds()*1000/float64(b.N), "cpu-ms-"+what)
}

// running is the time of processors that the process has taken.
func running() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func largeBirth(base int64, birth int, at func(birth, metric int) int) []byte {
	number := func(b []byte, field protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
	}
	var p []byte
	for i := range largestBirth {
		var m []byte
		m = protowire.AppendString(protowire.AppendTag(m, 1, protowire.BytesType), fmt.Sprintf("line/cell %03d/drive %05d/speed", i%100, i))
		m = number(m, 2, uint64(i+1))
		m = number(m, 3, uint64(base)+uint64(at(birth, i)))
		m = number(m, 4, uint64(sparkplug.Int64))
		m = number(m, 11, uint64(i))
		p = protowire.AppendBytes(protowire.AppendTag(p, 2, protowire.BytesType), m)
	}
	return number(p, 3, 0)
}
