package app

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"plantgate/internal/apply"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/store"
	"plantgate/internal/wal"
)

// Backup writes a copy of the database to path: a single file with everything that
// was acknowledged before, what is still in the log included. A server may be at
// work meanwhile. It refuses to overwrite a file with an error of CodeConflict.
func Backup(ctx context.Context, s *store.Store, path string, o StorageOptions) (err error) {
	o.setDefaults(s.Path())
	before, err := s.Applied(ctx)
	if err != nil {
		return err
	}
	// The log first: what the server takes over from now on is in the database
	// by the time that is copied, and what it does not is in the tail.
	tail, err := saveTail(path+".tail", o.LogFolder, before)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tail.close()) }()
	if err := s.Backup(ctx, path); err != nil {
		return err
	}
	if err := addTail(ctx, tail, path, o); err != nil {
		return errors.Join(fmt.Errorf("bring the copy up to date: %w", err), os.Remove(path))
	}
	return nil
}

// addTail applies to the copy what it lacks of the log. The copy has no log of its
// own: it is complete.
func addTail(ctx context.Context, tail *tail, path string, o StorageOptions) (err error) {
	to, err := store.Open(ctx, "sqlite:"+path, store.Options{Readers: 1, MustExist: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	applied, err := to.Applied(ctx)
	if err != nil {
		return err
	}
	steps := steps(o)
	err = tail.each(applied.Position, func(frame []byte, end wal.Position) error {
		var b journal.Batch
		if err := b.Read(frame, end); err != nil {
			return err
		}
		b.Skip(applied.Arrivals) // the database may have taken a part of it
		applied.Position, applied.Arrivals = end, max(applied.Arrivals, b.Arrivals())
		return to.Apply(ctx, applied, false, func(tx *store.Tx) error { return apply.All(ctx, steps, tx, &b) })
	})
	if err != nil {
		return err
	}
	applied.LogID, applied.Position = 0, 0
	return to.Apply(ctx, applied, true, func(*store.Tx) error { return nil })
}

// tail is what the log holds beyond the database, in a file of its own.
type tail struct{ file *os.File }

func saveTail(path, folder string, before journal.Applied) (*tail, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("save the log: %w", err)
	}
	t := &tail{f}
	if before.LogID == 0 {
		return t, nil // there was never a log
	}
	w := bufio.NewWriter(f)
	err = wal.Scan(folder, before.LogID, before.Position, func(frame []byte, end wal.Position) error {
		var header [12]byte
		binary.BigEndian.PutUint64(header[:], uint64(end))
		binary.BigEndian.PutUint32(header[8:], uint32(len(frame)))
		_, err := w.Write(header[:])
		if err == nil {
			_, err = w.Write(frame)
		}
		return err
	})
	if err = errors.Join(err, w.Flush()); err != nil {
		return nil, errors.Join(mes.Wrap(mes.CodeUnavailable, err, "the log can't be copied"), t.close())
	}
	return t, nil
}

// each calls fn for the frames that end after the position.
func (t *tail) each(after wal.Position, fn func(frame []byte, end wal.Position) error) error {
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReader(t.file)
	for {
		var header [12]byte
		if _, err := io.ReadFull(r, header[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		frame := make([]byte, binary.BigEndian.Uint32(header[8:]))
		if _, err := io.ReadFull(r, frame); err != nil {
			return err
		}
		end := wal.Position(binary.BigEndian.Uint64(header[:]))
		if end <= after {
			continue
		}
		if err := fn(frame, end); err != nil {
			return err
		}
	}
}

func (t *tail) close() error { return errors.Join(t.file.Close(), os.Remove(t.file.Name())) }
