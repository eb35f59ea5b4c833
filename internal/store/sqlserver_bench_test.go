package store_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/store"
	"plantgate/internal/store/storetest"
)

// slowLink forwards connections to an address, everything a while later: a database in
// another place. It returns its own address.
func slowLink(b *testing.B, target string, delay time.Duration) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	type chunk struct {
		due  time.Time
		data []byte
	}
	pipe := func(to, from net.Conn) {
		chunks := make(chan chunk, 1024)
		go func() {
			defer close(chunks)
			buffer := make([]byte, 64<<10)
			for {
				n, err := from.Read(buffer)
				if err != nil {
					return
				}
				chunks <- chunk{time.Now().Add(delay), append([]byte(nil), buffer[:n]...)}
			}
		}()
		for c := range chunks {
			time.Sleep(time.Until(c.due))
			_, _ = to.Write(c.data)
		}
		_ = to.Close()
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				_ = in.Close()
				continue
			}
			go pipe(in, out)
			go pipe(out, in)
		}
	}()
	return l.Addr().String()
}

// BenchmarkSQLServerIntake is 64 senders of single records with a database that is 2 ms
// away, by one writer, two and four.
func BenchmarkSQLServerIntake(b *testing.B) {
	for _, writers := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) { benchmarkIntake(b, writers) })
	}
}

func benchmarkIntake(b *testing.B, writers int) {
	near, dsn := openSQLServer(b)
	b.Cleanup(func() { _ = near.Close() })
	if _, err := near.MigrateUp(b.Context()); err != nil {
		b.Fatal(err)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		b.Fatal(err)
	}
	u.Host = slowLink(b, u.Host, time.Millisecond)
	far, err := store.Open(b.Context(), u.String(), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = far.Close() })
	sites, err := ingest.NewSites("main", map[string]string{"main": "UTC"})
	if err != nil {
		b.Fatal(err)
	}
	service := ingest.New(far.Intake(), nil, ingest.Options{
		Sites: sites, MaxFuture: time.Hour, DedupeWindow: time.Hour, Unknown: ingest.RegisterUnknown,
		Writers: writers, QueueRecords: 10_000, QueueBytes: 64 << 20,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- service.Run(ctx) }()
	const senders = 64
	var next atomic.Int64
	send := func(sender int) error {
		at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC).Add(time.Duration(next.Add(1)) * time.Millisecond)
		_, err := service.Ingest(ctx, []mes.Record{storetest.NewRecord("main", fmt.Sprintf("M%02d", sender), at)})
		return err
	}
	for i := range senders { // registered, and the statements are planned
		if err := send(i); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	var group sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(b.N))
	for i := range senders {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				if err := send(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	s := service.Stats()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(s.Batches)/float64(s.Groups), "records/commit")
	cancel()
	if err := <-ran; err != nil {
		b.Error(err)
	}
}
