package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
)

// page is what a system reads from the disk to change a part of it.
const page = 4096

// keepMemory is how much memory is kept for the next frame.
const keepMemory = 1 << 20

var errReplaced = errors.New("the file was removed or replaced while it was in use")

// Append puts a frame, of 1 byte to 1 GiB, at the end of the log and returns the
// position behind it once it is durable. It fails with ErrFull, or another error
// of making a segment, if nothing was written, and then may be tried again. After
// an ErrFailed every later Append fails with the same error.
func (l *Log) Append(frame []byte) (Position, error) {
	if len(frame) == 0 || len(frame) > maxFrame {
		return 0, fmt.Errorf("wal: a frame has 1 to %d bytes, not %d", maxFrame, len(frame))
	}
	l.appending.Lock()
	defer l.appending.Unlock()
	end, err := l.append(frame)
	if cap(l.frame) > keepMemory {
		l.frame = nil
	}
	if err != nil {
		return 0, fmt.Errorf("wal: append: %w", err)
	}
	return end, nil
}

func (l *Log) append(frame []byte) (Position, error) {
	size := int64(headSize + len(frame))
	last, at, err := l.admit(size)
	if err != nil {
		return 0, err
	}
	end := at + Position(size)
	if last == nil || int64(end-last.first) > last.room() {
		last, err = l.begin(at, frame)
	} else {
		err = l.write(last, at, frame)
	}
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	l.end, l.refused = end, nil
	l.mu.Unlock()
	// An idle log stays with one segment.
	if int64(end-last.first) > last.room()/2 {
		l.askForSpare()
	}
	return end, nil
}

// admit returns where a frame of that size, head included, would go.
func (l *Log) admit(size int64) (last *segment, at Position, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return nil, 0, err
	}
	if int64(l.end-l.released)+size > l.opts.MaxSize {
		return nil, 0, ErrFull
	}
	if len(l.segments) > 0 {
		last = l.segments[len(l.segments)-1]
	}
	return last, l.end, nil
}

// write overwrites what the segment holds behind its last frame.
func (l *Log) write(s *segment, at Position, frame []byte) error {
	offset := headerSize + int64(at-s.first)
	l.frame = l.padded(appendFrame(l.frame[:0], l.id, at, frame), offset, s.size)
	if err := l.store(s.file, l.frame, offset); err != nil {
		return l.fail(err)
	}
	if err := l.check(s); err != nil {
		return l.fail(err)
	}
	return nil
}

// begin starts the next segment with the frame. It gets its name, and so becomes
// a part of the log, after the frame is durable in it.
func (l *Log) begin(at Position, frame []byte) (*segment, error) {
	file, size, err := l.takeSpare(headerSize + headSize + int64(len(frame)))
	if err != nil {
		l.refuse(err)
	}
	if errors.Is(err, syscall.ENOSPC) {
		return nil, fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err != nil {
		return nil, err
	}
	l.frame = header{l.id, at}.append(l.frame[:0])
	l.frame = l.padded(appendFrame(l.frame, l.id, at, frame), 0, size)
	s := &segment{first: at, size: size, file: file}
	err = l.name(s)
	l.setSpare(0, err)
	if err != nil {
		return nil, errors.Join(l.fail(err), file.Close())
	}
	l.mu.Lock()
	if n := len(l.segments); n > 0 {
		l.segments[n-1].end = at
	}
	l.segments = append(l.segments, s)
	l.mu.Unlock()
	return s, nil
}

func (l *Log) refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = err
}

func (l *Log) name(s *segment) error {
	if err := l.store(s.file, l.frame, 0); err != nil {
		return err
	}
	if err := l.fs.Rename(filepath.Join(l.folder, spareName), l.path(s)); err != nil {
		return err
	}
	if err := l.fs.SyncFolder(l.folder); err != nil {
		return err
	}
	return l.check(s)
}

func (l *Log) path(s *segment) string { return filepath.Join(l.folder, segmentName(s.first)) }

// padded fills the last page of a write at the offset with zeros: the system
// then has no need to read what else the page holds on the disk.
func (l *Log) padded(b []byte, offset, size int64) []byte {
	end := offset + int64(len(b))
	pad := min((end+page-1)/page*page, size) - end
	return append(b, make([]byte, pad)...)
}

func (l *Log) store(f File, b []byte, offset int64) error {
	if _, err := f.WriteAt(b, offset); err != nil {
		return err
	}
	return f.Datasync()
}

// check makes sure that the segment can be found again: a process can go on
// writing for ever to a file that was deleted, or whose folder was.
func (l *Log) check(s *segment) error {
	found, err := s.file.IsAt(l.path(s))
	if err != nil {
		return nil // says nothing about the file
	}
	if !found {
		return fmt.Errorf("%s: %w", l.path(s), errReplaced)
	}
	return nil
}
