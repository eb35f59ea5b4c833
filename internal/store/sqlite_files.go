package store

import (
	"errors"
	"os"
	"path/filepath"

	"plantgate/internal/durable"
)

// createFile makes the database file, for its owner only, and the folder it
// stands in. SQLite gives its log the same permissions. New folders are synced:
// a commit is not durable in a folder that is not.
func createFile(path string) error {
	folder := filepath.Dir(path)
	if err := durable.CreateFolder(folder); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), durable.SyncFolder(folder))
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
