package wal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"plantgate/internal/wal"
)

// TestConcurrent appends from several goroutines while readers follow, one of
// which releases, and scans run without the lock.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	const writers, each = 4, 200
	folder := t.TempDir()
	l := open(t, folder, wal.Options{SegmentSize: 4 << 10})
	var done atomic.Bool
	var appending, reading sync.WaitGroup
	for w := range writers {
		appending.Go(func() {
			for n := range each {
				frame := binary.LittleEndian.AppendUint32([]byte{byte(w)}, uint32(n))
				if _, err := l.Append(append(frame, make([]byte, n%500)...)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	reading.Go(func() { // the one that releases misses nothing
		total, err := follow(l, &done, l.Release)
		if err != nil || total != writers*each {
			t.Errorf("applied %d frames: %v", total, err)
		}
	})
	for range 2 {
		reading.Go(func() {
			if _, err := follow(l, &done, nil); err != nil && !errors.Is(err, wal.ErrReleased) {
				t.Error(err)
			}
		})
	}
	reading.Go(func() {
		for !done.Load() {
			var order order
			if err := wal.Scan(folder, 0, 0, func(frame []byte, _ wal.Position) error { return order.check(frame) }); err != nil {
				t.Error(err)
				return
			}
		}
	})
	appending.Wait()
	done.Store(true)
	reading.Wait()
}

// order checks that each writer's frames come in order.
type order [4]int

func (o *order) check(frame []byte) error {
	w, n := frame[0], int(binary.LittleEndian.Uint32(frame[1:]))
	if n+1 <= o[w] || len(frame) != 5+n%500 || len(bytes.Trim(frame[5:], "\x00")) > 0 {
		return fmt.Errorf("frame %d of writer %d after %d", n, w, o[w]-1)
	}
	o[w] = n + 1
	return nil
}

// follow reads until everything was appended and read.
func follow(l *wal.Log, done *atomic.Bool, release func(wal.Position) error) (total int, err error) {
	r := l.Reader(0)
	var order order
	for {
		last := done.Load()
		frame, end, err := r.Next()
		switch {
		case errors.Is(err, io.EOF) && last:
			return total, nil
		case errors.Is(err, io.EOF):
			runtime.Gosched()
			continue
		case err != nil:
			return total, err
		}
		if err := order.check(frame); err != nil {
			return total, err
		}
		total++
		if release != nil {
			if err := release(end); err != nil {
				return total, err
			}
		}
	}
}

// TestCloseWhileAtWork closes the log under everybody.
func TestCloseWhileAtWork(t *testing.T) {
	t.Parallel()
	for range 20 {
		folder := t.TempDir()
		l := open(t, folder, wal.Options{SegmentSize: 1 << 10})
		var end atomic.Uint64
		var work sync.WaitGroup
		started := make(chan struct{})
		work.Go(func() {
			for n := 0; ; n++ {
				at, err := l.Append(numbered(n))
				if err != nil {
					if !errors.Is(err, wal.ErrClosed) {
						t.Error(err)
					}
					return
				}
				end.Store(uint64(at))
				if n == 10 {
					close(started)
				}
			}
		})
		work.Go(func() {
			r := l.Reader(0)
			for {
				_, _, err := r.Next()
				if errors.Is(err, wal.ErrClosed) {
					return
				}
				if err != nil && !errors.Is(err, io.EOF) {
					t.Error(err)
					return
				}
			}
		})
		<-started
		shut(t, l)
		work.Wait()
		l = open(t, folder, wal.Options{})
		if uint64(l.End()) != end.Load() {
			t.Errorf("the log ends at %d and not at %d", l.End(), end.Load())
		}
		shut(t, l)
	}
}
