package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Reader reads the frames of a log in order, while others append and release. One
// Reader is for one goroutine; a log may have many.
type Reader struct {
	log     *Log
	segment *segment
	frames  frames
}

// Reader returns a reader of the frames from a position on, which must be First,
// or the end of a frame.
func (l *Log) Reader(from Position) *Reader {
	return &Reader{log: l, frames: frames{at: from}}
}

// Next returns the next frame, which is valid until the next call, and the
// position behind it. It returns io.EOF at the log's End, and may be called again
// once more was appended. It fails with ErrReleased if the frame is gone, with
// ErrDamaged, the file and the offset if it can't be read.
func (r *Reader) Next() (frame []byte, end Position, err error) {
	limit, err := r.locate()
	if errors.Is(err, io.EOF) {
		return nil, 0, io.EOF
	}
	if err == nil {
		frame, err = r.frames.next(limit)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("wal: read: %w", r.explain(err))
	}
	return frame, r.frames.at, nil
}

// locate opens the segment of the next frame and returns the offset where its
// durable frames end.
func (r *Reader) locate() (limit int64, err error) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	at := r.frames.at
	switch {
	case l.closed:
		return 0, ErrClosed
	case at > l.end:
		return 0, fmt.Errorf("position %d is behind the end of the log at %d", at, l.end)
	case at == l.end:
		return 0, io.EOF
	case at < l.first():
		return 0, ErrReleased
	}
	i, found := slices.BinarySearchFunc(l.segments, at, func(s *segment, p Position) int {
		return cmp.Compare(s.first, p)
	})
	if !found {
		i--
	}
	s := l.segments[i]
	if s != r.segment {
		if err := l.openSegment(s); err != nil {
			return 0, err
		}
		r.segment = s
		r.frames.forget()
		r.frames.file, r.frames.header = s.file, header{l.id, s.first}
	}
	end := s.end
	if i == len(l.segments)-1 {
		end = l.end
	}
	return headerSize + int64(end-s.first), nil
}

// openSegment opens the file for whoever needs it next. The caller holds mu.
func (l *Log) openSegment(s *segment) error {
	if s.file != nil {
		return nil
	}
	file, err := l.fs.OpenFile(l.path(s), os.O_RDWR)
	if err == nil {
		s.file = file
	}
	return err
}

// explain tells a frame that was released while it was read from one that is
// damaged.
func (r *Reader) explain(err error) error {
	r.frames.forget()
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return ErrClosed
	case r.frames.at < l.first():
		return ErrReleased
	case errors.Is(err, errNoFrame):
		return damage(l.path(r.segment), r.frames.offset())
	default:
		return err
	}
}

func damage(path string, offset int64) error {
	return fmt.Errorf("%w: %s has no valid frame at offset %d", ErrDamaged, path, offset)
}
