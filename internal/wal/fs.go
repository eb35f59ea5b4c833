package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"plantgate/internal/durable"
)

// FS is what the log needs of a file system. Paths are as package filepath makes
// them. Files are for their owner only.
type FS interface {
	// CreateFolder makes a folder and those above it, all durable when it returns.
	CreateFolder(path string) error
	// SyncFolder makes durable which names the folder holds.
	SyncFolder(path string) error
	// List returns the names that the folder holds.
	List(folder string) ([]string, error)
	// OpenFile opens a file with the flags of os.OpenFile.
	OpenFile(path string, flag int) (File, error)
	Rename(from, to string) error
	Remove(path string) error
	// Lock locks the file at path, which it makes if need be, until it is closed.
	// It fails with ErrLocked if another has it.
	Lock(path string) (io.Closer, error)
}

// File is an open file. Reading and closing are safe at the same time.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	// Datasync makes the content and the size durable.
	Datasync() error
	// IsAt tells whether path still leads to this file.
	IsAt(path string) (bool, error)
}

// System returns the file system of the operating system.
func System() FS { return system{} }

type system struct{}

type systemFile struct{ *os.File }

func (system) CreateFolder(path string) error { return durable.CreateFolder(path) }

func (system) SyncFolder(path string) error { return durable.SyncFolder(path) }

func (system) List(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (system) OpenFile(path string, flag int) (File, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return systemFile{f}, nil
}

func (system) Rename(from, to string) error { return os.Rename(from, to) }

func (system) Remove(path string) error { return os.Remove(path) }

func (system) Lock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = lockFile(f)
	if errors.Is(err, ErrLocked) {
		err = &LockedError{PID: readPID(f)}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	writePID(f)
	return f, nil
}

// writePID says in the file who has it. It is the lock that counts: what can't be written
// is only not known to others.
func writePID(f *os.File) {
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
}

// readPID is 0 if the file does not say it.
func readPID(f *os.File) int {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

func (f systemFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f systemFile) Datasync() error { return datasync(f.File) }

func (f systemFile) IsAt(path string) (bool, error) { return isAt(f.File, path) }

func isSame(f *os.File, path string) (bool, error) {
	now, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	was, err := f.Stat()
	if err != nil {
		return false, err
	}
	return os.SameFile(was, now), nil
}
