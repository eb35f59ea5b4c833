package wal

import (
	"errors"
	"os"
	"path/filepath"
)

// spare is a file that is ready to become a segment. While busy, somebody makes
// it. There is at most one, so that its name is fixed.
type spare struct {
	busy   bool
	size   int64 // 0: there is none
	failed bool  // making it did; nobody tries before there is need
}

// piece is how much is filled between two syncs: appends go on meanwhile, and
// their syncs share the disk.
const piece = 1 << 20

// prepare makes spares when they are asked for, until Close. That it failed
// shows when Append needs one and tries again.
func (l *Log) prepare() {
	for range l.wake {
		l.mu.Lock()
		if l.closed || l.spare.busy || l.spare.size > 0 {
			l.mu.Unlock()
			continue
		}
		l.spare.busy = true
		size := l.nextSize()
		l.mu.Unlock()
		file, err := l.fill(size)
		if err == nil {
			err = file.Close()
		}
		l.setSpare(size, err)
	}
}

func (l *Log) askForSpare() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.spare.failed || l.spare.busy || l.spare.size > 0 {
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// setSpare ends a time of being busy.
func (l *Log) setSpare(size int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spare = spare{size: size}
	if err != nil {
		l.spare = spare{failed: true}
	} else {
		l.refused = nil
	}
	l.changed.Broadcast()
}

// nextSize is as large as what waits for its release, so that a log that keeps up
// stays small, and one that waits for hours has few files.
func (l *Log) nextSize() int64 {
	size := min(firstSize, l.opts.SegmentSize)
	for size < l.opts.SegmentSize && size < int64(l.end-l.released) {
		size *= 2
	}
	return min(size, l.opts.SegmentSize)
}

// takeSpare returns the file named spare, open, with at least the size, and its
// size. It waits for the one that is being made, and makes one if there is none. If
// it succeeds the spare is busy until the caller has renamed it and says so with
// setSpare.
func (l *Log) takeSpare(atLeast int64) (File, int64, error) {
	l.mu.Lock()
	for l.spare.busy {
		l.changed.Wait()
	}
	l.spare.busy = true
	size := l.spare.size
	wanted := max(l.nextSize(), atLeast)
	l.mu.Unlock()
	var file File
	var err error
	if size >= atLeast {
		if file, err = l.fs.OpenFile(l.sparePath(), os.O_RDWR); err != nil {
			size = 0 // Append makes one itself
		}
	}
	if file == nil {
		size = wanted
		file, err = l.fill(size)
	}
	if err != nil {
		l.setSpare(0, err)
	}
	return file, size, err
}

func (l *Log) sparePath() string { return filepath.Join(l.folder, spareName) }

// fill makes a file of zeros named spare, in place of any other, and makes its
// blocks durable.
func (l *Log) fill(size int64) (File, error) {
	file, err := l.createSpare()
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, min(piece, size))
	for offset := int64(0); offset < size && err == nil; offset += piece {
		if l.isClosed() {
			err = ErrClosed
			break
		}
		if _, err = file.WriteAt(zeros[:min(piece, size-offset)], offset); err == nil {
			err = file.Datasync()
		}
	}
	if err != nil {
		// What is left of it is in the way of nothing.
		return nil, errors.Join(err, file.Close(), l.fs.Remove(l.sparePath()))
	}
	return file, nil
}

// createSpare makes the file. One that is in its place may still be known to the
// disk as a segment, so that its content must stay.
func (l *Log) createSpare() (File, error) {
	if err := ignoreMissing(l.fs.Remove(l.sparePath())); err != nil {
		return nil, err
	}
	return l.fs.OpenFile(l.sparePath(), os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (l *Log) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}
