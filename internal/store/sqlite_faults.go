package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"plantgate/internal/mes"
)

// readFault implements database. Readers never sync, so that their failures leave
// the writer alone.
func (db *sqliteDB) readFault(err error, doing string) error {
	if isMapped(err) {
		return err
	}
	if cause := contextError(err); cause != nil {
		return cutShort(cause)
	}
	return db.fault(err, doing)
}

// fault maps an error of a statement.
func (db *sqliteDB) fault(err error, doing string) error {
	if isMissing(err) {
		return db.store.missing(err, doing)
	}
	return databaseError(err, doing)
}

// isMissing tells whether a statement missed a table or a column. SQLite has no code for
// that.
func isMissing(err error) bool {
	var failure *sqlite.Error
	return errors.As(err, &failure) && failure.Code() == sqlite3.SQLITE_ERROR &&
		slices.ContainsFunc([]string{"no such table", "no such column", "has no column named"}, func(text string) bool {
			return strings.Contains(failure.Error(), text)
		})
}

// writeFault implements database, for statements of the writer.
func (db *sqliteDB) writeFault(err error, doing string) error {
	if isMapped(err) {
		return err
	}
	mapped := db.fault(err, doing)
	if errors.Is(mapped, mes.ErrDurability) {
		db.poisoned.Store(true)
	}
	return mapped
}

// commitFault maps the error of a commit: whatever input or output failed there,
// nothing can be said of what is on the disk.
func (db *sqliteDB) commitFault(err error) error {
	if isInputOutput(err) {
		db.poisoned.Store(true)
		return durabilityError(err, "commit")
	}
	return db.writeFault(err, "commit")
}

func durabilityError(err error, doing string) error {
	return mes.Wrap(mes.CodeUnavailable, fmt.Errorf("%s: %w: %w", doing, mes.ErrDurability, err), "the disk failed")
}

// databaseError maps an error of SQLite to one that names what was being done
// and hides the statement. Input and output errors of anything that writes the
// files are failures of durability.
func databaseError(err error, doing string) error {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return internalError(err, doing)
	}
	cause := fmt.Errorf("%s: %w", doing, err)
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_IOERR:
		if writesFiles(failure.Code()) {
			return durabilityError(err, doing)
		}
		return internalError(err, doing)
	case sqlite3.SQLITE_FULL:
		return mes.Wrap(mes.CodeUnavailable, cause, "the disk is full")
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return mes.Wrap(mes.CodeUnavailable, cause, "the store is busy")
	default:
		return internalError(err, doing)
	}
}

// isInputOutput tells whether err is a failure of reading or writing files.
func isInputOutput(err error) bool {
	var failure *sqlite.Error
	return errors.As(err, &failure) && failure.Code()&0xff == sqlite3.SQLITE_IOERR
}

// noTransaction tells whether err says that there is nothing to roll back.
func noTransaction(err error) bool {
	var failure *sqlite.Error
	return errors.As(err, &failure) && failure.Code() == sqlite3.SQLITE_ERROR
}

// writesFiles tells whether the failed call was one whose effect on the disk is
// unknown after it failed.
func writesFiles(code int) bool {
	switch code {
	case sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC, sqlite3.SQLITE_IOERR_WRITE,
		sqlite3.SQLITE_IOERR_TRUNCATE, sqlite3.SQLITE_IOERR_CLOSE, sqlite3.SQLITE_IOERR_DIR_CLOSE, sqlite3.SQLITE_IOERR_DELETE:
		return true
	default:
		return false
	}
}
