package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// What the disk is asked for.
const (
	blockSize  = 4 << 10
	blockCount = 4096
	entrySize  = 200
)

// pace is how often something was done, and how long each time took.
type pace struct {
	perSecond float64
	latency   histogram
}

// measureSync overwrites blocks of 4 KiB of a file, each followed by fdatasync:
// what a commit costs at least on this disk.
func measureSync(ctx context.Context, folder string, length time.Duration) (p pace, err error) {
	f, err := scratch(folder, "sync", blockSize*blockCount)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := make([]byte, blockSize)
	began := time.Now()
	for n := 0; time.Since(began) < length && ctx.Err() == nil; n++ {
		block[0]++
		start := time.Now()
		if _, err := f.WriteAt(block, int64(n%blockCount)*blockSize); err != nil {
			return p, err
		}
		if err := syncData(f); err != nil {
			return p, err
		}
		p.latency.record(time.Since(start))
	}
	p.perSecond = float64(p.latency.total) / time.Since(began).Seconds()
	return p, nil
}

// scratch makes a file of zeros that is on the disk.
func scratch(folder, name string, size int) (*os.File, error) {
	f, err := os.Create(filepath.Join(folder, name))
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(make([]byte, size)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, f.Sync()
}

// entry is what a writer of the journal waits for.
type entry struct {
	text   []byte
	synced chan struct{}
}

// measureJournal is the plainest durable store: writers hand entries to one
// goroutine, which appends those that wait to a file, syncs, and lets their
// writers go on.
func measureJournal(ctx context.Context, folder string, writers int, length time.Duration) (p pace, err error) {
	f, err := os.Create(filepath.Join(folder, "journal"))
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	queue := make(chan *entry, writers)
	committed := make(chan error, 1)
	go func() { committed <- commit(f, queue) }()
	latencies := make([]histogram, writers)
	began := time.Now()
	var all sync.WaitGroup
	for i := range latencies {
		all.Go(func() {
			e := &entry{text: make([]byte, entrySize), synced: make(chan struct{}, 1)}
			for start := time.Now(); start.Sub(began) < length && ctx.Err() == nil; {
				queue <- e
				<-e.synced
				now := time.Now()
				latencies[i].record(now.Sub(start))
				start = now
			}
		})
	}
	all.Wait()
	elapsed := time.Since(began)
	close(queue)
	for i := range latencies {
		p.latency.merge(&latencies[i])
	}
	p.perSecond = float64(p.latency.total) / elapsed.Seconds()
	return p, <-committed
}

// commit writes and syncs what waits in the queue, in groups, until it is closed.
// After a fault it lets everybody go on, so that they see the end.
func commit(f *os.File, queue <-chan *entry) error {
	var group []*entry
	var text []byte
	var failed error
	for first := range queue {
		group, text = append(group[:0], first), append(text[:0], first.text...)
		for more := true; more; {
			select {
			case e, ok := <-queue:
				if more = ok; ok {
					group, text = append(group, e), append(text, e.text...)
				}
			default:
				more = false
			}
		}
		if failed == nil {
			_, err := f.Write(text)
			failed = errors.Join(err, syncData(f))
		}
		for _, e := range group {
			e.synced <- struct{}{}
		}
	}
	return failed
}
