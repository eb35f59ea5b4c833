package app_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"plantgate/internal/app/apptest"
)

// BenchmarkPostData measures durable posts over HTTPS to a server in a process of
// its own: each answer follows a commit that was synced to the disk. An operation
// is a request; records/s counts records, p50-ms and p99-ms are of requests as
// clients see them, server-cpu-us/record is the server's processor time, and
// peak-RSS-MB its resident memory at its peak. PLANTGATE_BENCH_PROFILE names a
// folder for CPU profiles of the server.
func BenchmarkPostData(b *testing.B) {
	single := func(client, n int) string {
		return fmt.Sprintf(`{"machine_id":"M%03d","timestamp":%q,"temperature":72.31,"status":"Running"}`, client, instant(n))
	}
	batch := func(machine func(i int) int) func(client, n int) string {
		return func(client, n int) string {
			records := make([]string, 1000)
			for i := range records {
				records[i] = single(machine(i)+1000*client, n*len(records)+i)
			}
			return "[" + strings.Join(records, ",") + "]"
		}
	}
	mixed := batch(func(i int) int { return i % 100 })
	one := batch(func(int) int { return 0 })
	for _, c := range []struct {
		name             string
		clients, records int
		http2            bool
		body             func(client, n int) string
	}{
		{"single/http1/clients=1", 1, 1, false, single},
		{"single/http1/clients=64", 64, 1, false, single},
		{"single/http2/clients=1", 1, 1, true, single},
		{"single/http2/clients=64", 64, 1, true, single},
		{"batch=1000/machines=100/clients=1", 1, 1000, false, mixed},
		{"batch=1000/machines=100/clients=4", 4, 1000, false, mixed},
		{"batch=1000/machines=1/clients=1", 1, 1000, false, one},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := apptest.StartProcess(b, profile(c.name))
			send := make([]func(body string) error, c.clients)
			for i := range send {
				if send[i] = newHTTP1(b, s).post; c.http2 {
					send[i] = (http2{b, s}).post
				}
			}
			measure(b, s, c.records, send, c.body)
		})
	}
}

// instant is the n-th of the times that a benchmark posts, each another one.
func instant(n int) string {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Microsecond).Format("2006-01-02T15:04:05.000000")
}

func profile(name string) string {
	folder := os.Getenv("PLANTGATE_BENCH_PROFILE")
	if folder == "" {
		return ""
	}
	return filepath.Join(folder, strings.NewReplacer("/", "_", "=", "").Replace(name)+".pprof")
}

// measure shares b.N requests among the clients and reports what they saw.
func measure(b *testing.B, s *apptest.Process, records int, send []func(string) error, body func(client, n int) string) {
	b.Helper()
	for i, post := range send { // connects, and registers the machines
		if err := post(body(i, 0)); err != nil {
			b.Fatal(err)
		}
	}
	took := make([][]time.Duration, len(send))
	cpu := s.CPU()
	b.ResetTimer()
	var all sync.WaitGroup
	for i, post := range send {
		all.Go(func() {
			for n := i; n < b.N; n += len(send) {
				text := body(i, n+len(send)+1)
				start := time.Now()
				if err := post(text); err != nil {
					b.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(start))
			}
		})
	}
	all.Wait()
	b.StopTimer()
	cpu = s.CPU() - cpu

	sorted := slices.Concat(took...)
	slices.Sort(sorted)
	if len(sorted) == 0 {
		return
	}
	at := func(share float64) float64 {
		return float64(sorted[int(share*float64(len(sorted)-1))].Microseconds()) / 1000
	}
	_, peak := s.Memory()
	total := float64(b.N * records)
	b.ReportMetric(total/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(at(0.50), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(float64(cpu.Microseconds())/total, "server-cpu-us/record")
	b.ReportMetric(float64(peak)/(1<<20), "peak-RSS-MB")
	// A benchmark of requests that stored nothing would be worthless.
	for a := s.Do(http.MethodGet, "/data?order=desc&limit=1", ""); ; a = s.Do(http.MethodGet, "/data?order=desc&limit=1", "") {
		if a.Status == http.StatusServiceUnavailable { // there is a lot to apply still
			continue
		}
		if page := apptest.Decode[apptest.Page[apptest.Record]](a.Want(http.StatusOK)); len(page.Items) != 1 {
			b.Error("nothing was stored")
		}
		return
	}
}

// http2 posts through the library's client; all clients share one connection.
type http2 struct {
	b *testing.B
	s *apptest.Process
}

func (c http2) post(body string) error {
	a, err := c.s.Send(c.s.Request(c.b.Context(), http.MethodPost, "/data", strings.NewReader(body)))
	if err == nil && a.Status != http.StatusCreated {
		err = fmt.Errorf("%d %.300s", a.Status, a.Body)
	}
	return err
}
