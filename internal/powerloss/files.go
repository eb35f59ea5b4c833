package powerloss

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	sqlite3 "modernc.org/sqlite/lib"

	"plantgate/internal/wal"
)

// Files are the disk as Go code sees it. A path must be below the root.
type Files struct {
	disk *Disk
	real wal.FS
}

// Files returns the files of the disk.
func (d *Disk) Files() *Files { return &Files{disk: d, real: wal.System()} }

// CreateFolder makes a folder that is durable at once.
func (s *Files) CreateFolder(path string) error {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	s.disk.operation(path)
	s.disk.folder(path)
	return s.real.CreateFolder(path)
}

// SyncFolder makes durable which names the folder holds; the real disk need not
// be.
func (s *Files) SyncFolder(path string) error {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	return s.disk.sync(path, s.disk.folder(path).sync)
}

// sync is one sync of something.
func (d *Disk) sync(path string, now func()) error {
	d.operation(path)
	switch {
	case d.syncError != 0:
		return syscall.EIO
	case !d.ignored.has(path):
		now()
	}
	return nil
}

// List returns the names that the folder holds.
func (s *Files) List(folder string) ([]string, error) { return s.real.List(folder) }

// OpenFile opens a file with the flags of os.OpenFile; it must not truncate it.
func (s *Files) OpenFile(path string, flag int) (wal.File, error) {
	if flag&os.O_TRUNC != 0 {
		return nil, errors.ErrUnsupported
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	f := s.disk.file(path)
	if f == nil {
		content, err := os.ReadFile(path)
		switch {
		case err == nil:
			f = s.disk.known(path, content)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	if f == nil && flag&os.O_CREATE != 0 {
		s.disk.operation(path)
	}
	opened, err := s.real.OpenFile(path, flag)
	if err != nil {
		return nil, err
	}
	if f == nil {
		f = s.disk.created(path)
	}
	return &openFile{File: opened, disk: s.disk, file: f}, nil
}

// Rename gives a file another name in its folder.
func (s *Files) Rename(from, to string) error {
	if filepath.Dir(from) != filepath.Dir(to) {
		return errors.ErrUnsupported
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	s.disk.operation(from)
	if err := s.real.Rename(from, to); err != nil {
		return err
	}
	s.disk.renamed(from, to)
	return nil
}

// Remove takes a file's name away.
func (s *Files) Remove(path string) error {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	s.disk.operation(path)
	if err := s.real.Remove(path); err != nil {
		return err
	}
	s.disk.removed(path)
	return nil
}

// Lock locks the real file: a power cut ends every lock.
func (s *Files) Lock(path string) (io.Closer, error) { return s.real.Lock(path) }

// openFile is a file that Go code has open.
type openFile struct {
	wal.File
	disk *Disk
	file *file
}

func (f *openFile) WriteAt(b []byte, offset int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.operation(f.file.path)
	switch f.disk.writeError {
	case 0:
	case sqlite3.SQLITE_FULL:
		return 0, syscall.ENOSPC
	default:
		return 0, syscall.EIO
	}
	n, err := f.File.WriteAt(b, offset)
	if n > 0 {
		f.file.pending = append(f.file.pending, change{offset, bytes.Clone(b[:n])})
	}
	return n, err
}

// Datasync makes the content and the size durable; the real disk need not be.
func (f *openFile) Datasync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return f.disk.sync(f.file.path, f.file.sync)
}
