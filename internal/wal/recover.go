package wal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
)

func (l *Log) open() (err error) {
	if err := l.fs.CreateFolder(l.folder); err != nil {
		return err
	}
	if l.lock, err = l.fs.Lock(filepath.Join(l.folder, lockName)); err != nil {
		return err
	}
	if err := l.recover(); err != nil {
		return errors.Join(err, l.closeFiles())
	}
	return nil
}

// recover reads the whole log, finds its end and makes sure that what it counts
// is durable.
func (l *Log) recover() error {
	if err := l.fs.Remove(l.sparePath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	firsts, err := listSegments(l.fs, l.folder)
	if err != nil {
		return err
	}
	if len(firsts) == 0 {
		l.id = newID()
		return nil
	}
	l.released = firsts[0]
	for i, first := range firsts {
		s := &segment{first: first}
		l.segments = append(l.segments, s)
		if i == len(firsts)-1 {
			return l.recoverLast(s)
		}
		if err := l.verify(s, firsts[i+1]); err != nil {
			return err
		}
		if err := s.close(); err != nil {
			return err
		}
	}
	return nil
}

// verify reads a segment that others follow: the next one begins where its
// frames end.
func (l *Log) verify(s *segment, next Position) error {
	r, err := l.openFrames(s)
	if err != nil {
		return err
	}
	for r.at < next && err == nil {
		_, err = r.next(s.size)
	}
	switch {
	case errors.Is(err, errNoFrame):
		return damage(l.path(s), r.offset())
	case err != nil:
		return err
	case r.at > next:
		return fmt.Errorf("%w: %s has frames behind position %d, where the next file begins", ErrDamaged, l.path(s), next)
	}
	s.end = next
	return nil
}

// recoverLast finds the end of the log in its last segment.
func (l *Log) recoverLast(s *segment) error {
	r, err := l.openFrames(s)
	if err != nil {
		return err
	}
	last := r.at
	for {
		at := r.at
		_, err := r.next(s.size)
		if errors.Is(err, errNoFrame) {
			break
		}
		if err != nil {
			return err
		}
		last = at
	}
	later, found, err := r.findLater(s.size)
	if err != nil {
		return err
	}
	if found {
		return fmt.Errorf("%w, but one at offset %d", damage(l.path(s), r.offset()), later)
	}
	if r.at == s.first {
		return fmt.Errorf("%w: %s holds no whole frame, and a segment gets its name after its first", ErrDamaged, l.path(s))
	}
	l.doubt = l.doubtOf(s, r)
	l.end = r.at
	return l.settle(s, last)
}

// doubtOf tells what the end of the last segment may have lost.
func (l *Log) doubtOf(s *segment, r *frames) string {
	if head, err := r.bytes(r.offset(), headSize, s.size); err == nil {
		if size, _, ok := parseHead(head, r.header.id, r.at, headSize+maxFrame); ok {
			return fmt.Sprintf("in %s the last frame, of %d bytes at offset %d, is not whole: it was being written when the server ended, "+
				"or what was acknowledged there is damaged", l.path(s), headSize+size, r.offset())
		}
	}
	if least := min(firstSize, l.opts.SegmentSize); s.size < least {
		return fmt.Sprintf("%s has %d bytes and was made with %d or more: something cut it, and what stood behind offset %d is lost",
			l.path(s), s.size, least, r.offset())
	}
	return ""
}

// settle makes durable what the process before may not have: the name of the last
// segment, and the last frame. A system whose sync failed may take what it keeps
// in memory for written, so that the frame is written again.
func (l *Log) settle(s *segment, last Position) error {
	if err := l.fs.SyncFolder(l.folder); err != nil {
		return err
	}
	offset := headerSize + int64(last-s.first)
	b := make([]byte, l.end-last)
	if _, err := s.file.ReadAt(b, offset); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return l.store(s.file, b, offset)
}

// openFrames opens a segment and returns a reader of its frames.
func (l *Log) openFrames(s *segment) (*frames, error) {
	if err := l.openSegment(s); err != nil {
		return nil, err
	}
	var err error
	if s.size, err = s.file.Size(); err != nil {
		return nil, err
	}
	h, err := readHeader(s.file)
	if err != nil {
		return nil, fmt.Errorf("%w: %s %w", ErrDamaged, l.path(s), err)
	}
	if l.id == 0 {
		l.id = h.id
	}
	if h.id != l.id || h.first != s.first {
		return nil, fmt.Errorf("%w: %s is of another log, or was renamed", ErrDamaged, l.path(s))
	}
	return &frames{file: s.file, header: h, at: h.first}, nil
}

func readHeader(r io.ReaderAt) (header, error) {
	b := make([]byte, headerSize)
	n, err := r.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return header{}, err
	}
	return parseHeader(b[:n])
}

// listSegments returns where the segments in the folder begin, in order.
func listSegments(fsys FS, folder string) ([]Position, error) {
	names, err := fsys.List(folder)
	if err != nil {
		return nil, err
	}
	var firsts []Position
	for _, name := range names {
		if first, ok := parseName(name); ok {
			firsts = append(firsts, first)
		}
	}
	slices.Sort(firsts)
	return firsts, nil
}

// newID is random and not 0.
func newID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:]) | 1
}
