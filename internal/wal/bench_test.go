package wal_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"plantgate/internal/wal"
)

// BenchmarkAppend appends and releases as a log does that keeps up. Besides the
// mean it tells the median and what one append in a hundred takes.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{200, 16 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			l := open(b, b.TempDir(), wal.Options{})
			frame := make([]byte, size)
			took := make([]time.Duration, 0, b.N)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				begun := time.Now()
				end, err := l.Append(frame)
				took = append(took, time.Since(begun))
				if err == nil {
					err = l.Release(end)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(took[len(took)-1].Microseconds()), "max-µs")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{200, 16 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			l := open(b, b.TempDir(), wal.Options{})
			frame := make([]byte, size)
			for range max(2000, 8<<20/size) / max(1, size>>14) {
				add(b, l, frame)
			}
			r := l.Reader(0)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				_, _, err := r.Next()
				if errors.Is(err, io.EOF) {
					r = l.Reader(0)
					_, _, err = r.Next()
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
