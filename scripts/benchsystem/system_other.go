//go:build !linux

package main

import (
	"errors"
	"os"
	"time"
)

// The figures of processes come from Linux's /proc.
var errLinux = errors.New("benchsystem needs Linux")

func cpuOf(int) (time.Duration, error) { return 0, errLinux }

func memoryOf(int) (now, peak int64, err error) { return 0, 0, errLinux }

func resetPeak(int) {}

func syncData(f *os.File) error { return f.Sync() }

func filesystemOf(string) string { return "unknown" }

type waker struct{ ticker *time.Ticker }

func newWaker(_ time.Time, every time.Duration) (*waker, error) {
	return &waker{time.NewTicker(every)}, nil
}

func (w *waker) wait() error {
	<-w.ticker.C
	return nil
}

func (w *waker) stop() { w.ticker.Stop() }
