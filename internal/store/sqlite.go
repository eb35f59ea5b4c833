package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"plantgate/internal/mes"
)

const (
	sqliteDriver   = "sqlite"
	defaultReaders = 4
	// lookers serve the one writer of the log, and names of records that are read.
	lookers               = 2
	defaultCheckpointRows = 64 << 10
	defaultBusyTimeout    = 5 * time.Second
)

func openSQLite(ctx context.Context, path string, options Options) (*Store, error) {
	sqlx.BindDriver(sqliteDriver, sqlx.QUESTION)
	if options.Readers <= 0 {
		options.Readers = defaultReaders
	}
	if options.CheckpointRows <= 0 {
		options.CheckpointRows = defaultCheckpointRows
	}
	if options.BusyTimeout <= 0 {
		options.BusyTimeout = defaultBusyTimeout
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("store: find the folder of the database: %w", err)
	}
	if options.MustExist {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return nil, mes.Errorf(mes.CodeNotFound, "there is no database at %s", path)
		} else if err != nil {
			return nil, fmt.Errorf("store: find the database: %w", err)
		}
	} else if err := createFile(path); err != nil {
		return nil, fmt.Errorf("store: create the database: %w", err)
	}
	s := &Store{path: path, options: options, turn: make(chan struct{}, 1), lookUps: map[string]*sqlx.Stmt{}}
	s.marks.newest = map[int64]int64{}
	s.units = units{newRemembered[unitName](), s}
	s.origins = origins{newRemembered[mes.Origin](), s}
	if s.writer, err = openWriter(ctx, s.sqliteDSN(s.writerPragmas())); err != nil {
		return nil, fmt.Errorf("store: open the database to write: %w", err)
	}
	if s.readers, err = sqlx.ConnectContext(ctx, sqliteDriver, s.sqliteDSN(s.readerPragmas())); err != nil {
		return nil, errors.Join(fmt.Errorf("store: open the database to read: %w", err), s.writer.close())
	}
	if s.lookers, err = sqlx.ConnectContext(ctx, sqliteDriver, s.sqliteDSN(s.readerPragmas())); err != nil {
		return nil, errors.Join(fmt.Errorf("store: open the database to look things up: %w", err), s.readers.Close(), s.writer.close())
	}
	if s.file, err = os.Stat(path); err != nil && options.VFS == "" {
		return nil, errors.Join(fmt.Errorf("store: find the database: %w", err), s.writer.close(), s.readers.Close(), s.lookers.Close())
	}
	s.readers.SetMaxOpenConns(options.Readers)
	s.readers.SetMaxIdleConns(options.Readers)
	s.lookers.SetMaxOpenConns(lookers)
	s.lookers.SetMaxIdleConns(lookers)
	return s, nil
}

// A commit syncs the log (FULL). Negative cache sizes are in KiB, of each
// connection.
func (s *Store) readerPragmas() []string {
	return []string{s.busyPragma(), "cache_size(-4096)", "temp_store(MEMORY)", "query_only(1)"}
}

func (s *Store) writerPragmas() []string {
	return []string{
		s.busyPragma(), "journal_mode(WAL)", "synchronous(FULL)",
		"cache_size(-16384)", "temp_store(MEMORY)",
		// SQLite would pass over a sync that fails in a copy of its own accord.
		"wal_autocheckpoint(0)",
	}
}

func (s *Store) busyPragma() string {
	return fmt.Sprintf("busy_timeout(%d)", s.options.BusyTimeout.Milliseconds())
}

// pingSQLite reads the file, which SELECT 1 would not.
const pingSQLite = "SELECT count(*) FROM sqlite_schema"

// tableExistsSQLite counts the tables of a name.
const tableExistsSQLite = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?"

func (s *Store) sqliteDSN(pragmas []string) string {
	query := url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}
	if s.options.VFS != "" {
		query.Set("vfs", s.options.VFS)
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(s.path), RawQuery: query.Encode()}
	return u.String()
}

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
func (s *Store) checkFile() error {
	if s.options.VFS != "" {
		return nil // its files may be in memory
	}
	now, err := os.Stat(s.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) || err == nil && os.SameFile(s.file, now) {
		return nil
	}
	s.poisoned.Store(true)
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
