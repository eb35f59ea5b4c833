package wal

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// datasync is a sync without the times of the file, which nobody asks for.
func datasync(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for {
			failed = unix.Fdatasync(int(fd))
			if !errors.Is(failed, unix.EINTR) {
				return
			}
		}
	})
	if err == nil && failed != nil {
		err = &os.PathError{Op: "fdatasync", Path: f.Name(), Err: failed}
	}
	return err
}

// isAt asks for nothing but the identity of the files: Linux gives a file whose
// times somebody has looked at new times with its next write, and these cost the
// next fdatasync a commit of the file system's journal.
func isAt(f *os.File, path string) (bool, error) {
	var now, was unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_SYNC_AS_STAT, unix.STATX_INO, &now)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return false, nil
	case errors.Is(err, unix.ENOSYS):
		return isSame(f, path)
	case err != nil:
		return false, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.Statx(int(fd), "", unix.AT_EMPTY_PATH, unix.STATX_INO, &was)
	})
	same := now.Ino == was.Ino && now.Dev_major == was.Dev_major && now.Dev_minor == was.Dev_minor
	return same, errors.Join(err, failed)
}
