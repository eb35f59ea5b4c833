package store

import (
	"errors"
	"os"
	"path/filepath"
)

// createFile makes the database file, for its owner only, and the folder it
// stands in. SQLite gives its log the same permissions. New folders are synced:
// a commit is not durable in a folder that is not.
func createFile(path string) error {
	folder := filepath.Dir(path)
	if err := createFolder(folder); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), syncFolder(folder))
}

// checkFile makes sure that what was committed can be found again: a process
// can go on writing for ever to a file that was deleted or replaced under it.
func (db *sqliteDB) checkFile() error {
	if db.options.VFS != "" {
		return nil // its files may be in memory
	}
	now, err := os.Stat(db.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) || err == nil && os.SameFile(db.file, now) {
		return nil
	}
	db.poisoned.Store(true)
	return durabilityError(errors.Join(errReplaced, err), "commit")
}

var errReplaced = errors.New("the file of the database was removed or replaced while it was in use")

func createFolder(folder string) error {
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	parent := filepath.Dir(folder)
	if parent != folder {
		if err := createFolder(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncFolder(parent)
}

func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(ignoreUnsupported(d.Sync()), d.Close())
}

// ignoreUnsupported passes over systems that can't sync a folder.
func ignoreUnsupported(err error) error {
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, os.ErrInvalid) {
		return nil
	}
	return err
}
