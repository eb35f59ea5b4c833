package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Scan calls fn with the frames from a position on, in order, without the lock of
// the log: for a backup, while another process appends and releases. It begins
// with the oldest frame there is if the position was released, and ends where the
// log does. Segments that are released meanwhile are passed over. A folder that is
// not there is an empty log, and that of a log with another id an error, unless the id is 0. A frame is valid until fn returns; an error of fn
// ends the scan and is returned as it is.
func Scan(folder string, id uint64, from Position, fn func(frame []byte, end Position) error) error {
	s := scan{fs: System(), folder: folder, id: id, at: from, fn: fn}
	return s.run()
}

type scan struct {
	fs     FS
	folder string
	id     uint64
	at     Position // frames that end behind it are wanted
	fn     func(frame []byte, end Position) error
}

// run reads segment after segment.
func (s *scan) run() error {
	for {
		firsts, err := listSegments(s.fs, s.folder)
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(firsts) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("wal: scan: %w", err)
		}
		// The last that begins at or before the position, or else the oldest.
		i, found := slices.BinarySearch(firsts, s.at)
		if !found {
			i = max(i-1, 0)
		}
		if more, err := s.segment(firsts[i]); err != nil || !more {
			return err
		}
	}
}

// segment reads one segment and tells whether to look for more.
func (s *scan) segment(first Position) (more bool, err error) {
	path := filepath.Join(s.folder, segmentName(first))
	file, err := s.fs.OpenFile(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("wal: scan: %w", err)
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return false, fmt.Errorf("wal: scan: %w", err)
	}
	h, err := readHeader(file)
	if err != nil || h.first != first {
		if moved(file, path) {
			return true, nil
		}
		return false, fmt.Errorf("wal: scan: %w: %s has no valid header", ErrDamaged, path)
	}
	if s.id != 0 && h.id != s.id {
		return false, fmt.Errorf("wal: scan: %w: %s is of another log", ErrDamaged, path)
	}
	return s.frames(&frames{file: file, header: h, at: first}, file, path, size)
}

// frames gives the frames of a segment to fn.
func (s *scan) frames(r *frames, file File, path string, size int64) (more bool, err error) {
	again := false // the frame at r.at was read twice
	for {
		frame, err := r.next(size)
		if err == nil {
			again = false
			if r.at > s.at {
				s.at = r.at
				if err := s.fn(frame, r.at); err != nil {
					return false, err
				}
			}
			continue
		}
		switch where, failed := s.ended(r, file, path, size); {
		case !errors.Is(err, errNoFrame) && where != elsewhere:
			return false, fmt.Errorf("wal: scan: %w", err)
		case failed != nil:
			return false, fmt.Errorf("wal: scan: %w", failed)
		case where == elsewhere:
			return true, nil
		case where == here:
			return false, nil
		case again:
			return false, fmt.Errorf("wal: scan: %w", damage(path, r.offset()))
		}
		// Since others follow it, it was written whole after it was read.
		r.forget()
		again = true
	}
}

// Where the log goes on behind the last frame that can be read of a segment.
const (
	here      = iota // nowhere: this is its end
	elsewhere        // in another segment, or this one was released
	behind           // behind something that is not a frame
)

func (s *scan) ended(r *frames, file File, path string, size int64) (where int, err error) {
	if moved(file, path) {
		return elsewhere, nil
	}
	firsts, err := listSegments(s.fs, s.folder)
	if err != nil {
		return here, err
	}
	i, found := slices.BinarySearch(firsts, r.at)
	switch {
	case found && r.at > r.header.first:
		s.at = max(s.at, r.at)
		return elsewhere, nil
	case i < len(firsts) && !found:
		return behind, nil
	}
	r.forget()
	_, later, err := r.findLater(size)
	if later {
		return behind, err
	}
	return here, err
}

func moved(file File, path string) bool {
	found, err := file.IsAt(path)
	return err == nil && !found
}
