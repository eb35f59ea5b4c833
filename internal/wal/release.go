package wal

import (
	"errors"
	"fmt"
	"io/fs"
)

// Release says that the frames that end at or before the position are no longer
// needed. Their room counts as free at once. Whole segments leave the disk, or
// one waits to be used again; the newest stays. After an error the next Release
// goes on with what this one left.
func (l *Log) Release(upTo Position) error {
	l.removing.Lock()
	defer l.removing.Unlock()
	if err := l.detach(upTo); err != nil {
		return fmt.Errorf("wal: release: %w", err)
	}
	// Oldest first, each durable before the next: after a power cut none is missing
	// between others.
	for len(l.doomed) > 0 {
		if err := l.dispose(l.doomed[0]); err != nil {
			return fmt.Errorf("wal: release: %w", err)
		}
		l.doomed = l.doomed[1:]
	}
	return nil
}

// detach takes the segments out of the log that no reader may enter again.
func (l *Log) detach(upTo Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if upTo > l.end {
		return fmt.Errorf("position %d is behind the end of the log at %d", upTo, l.end)
	}
	l.released = max(l.released, upTo)
	for len(l.segments) > 1 && l.segments[0].end <= upTo {
		l.doomed = append(l.doomed, l.segments[0])
		l.segments = l.segments[1:]
	}
	return nil
}

// dispose renames the segment to be the spare, if there is none and its size is
// what the next is to have, or removes it.
func (l *Log) dispose(s *segment) error {
	if err := l.closeSegment(s); err != nil {
		return err
	}
	l.mu.Lock()
	recycle := !l.spare.busy && l.spare.size == 0 && s.size == l.nextSize()
	if recycle {
		l.spare.busy = true
	}
	l.mu.Unlock()
	if !recycle {
		if err := ignoreMissing(l.fs.Remove(l.path(s))); err != nil {
			return err
		}
		return l.fs.SyncFolder(l.folder)
	}
	renamed := l.fs.Rename(l.path(s), l.sparePath())
	err := ignoreMissing(renamed)
	if err == nil {
		err = l.fs.SyncFolder(l.folder)
	}
	l.setSpare(s.size, errors.Join(renamed, err))
	return err
}

func (l *Log) closeSegment(s *segment) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return s.close()
}

// ignoreMissing passes over a segment that an earlier, failed try took away.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
