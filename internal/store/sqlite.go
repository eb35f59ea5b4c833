package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"

	"plantgate/internal/mes"
	"plantgate/migrations"
)

const (
	sqliteDriver = "sqlite"
	// lookers serve the one writer of the log, and names of records that are read.
	lookers               = 2
	defaultCheckpointRows = 64 << 10
	defaultBusyTimeout    = 5 * time.Second
)

// sqliteDB is an embedded database: one connection writes, others read.
type sqliteDB struct {
	store   *Store
	path    string
	options Options
	// file is the database as it was opened.
	file os.FileInfo

	// turn holds one token: whoever has it may use the writer. waiting counts those
	// who wait for it.
	turn    chan struct{}
	waiting atomic.Int32
	writer  *writer
	pacer   Pacer // see PaceBy
	// poisoned is set by the first failed sync.
	poisoned, closed atomic.Bool
}

func (s *Store) openSQLite(ctx context.Context, path string, options Options) error {
	sqlx.BindDriver(sqliteDriver, sqlx.QUESTION)
	o := options
	if o.CheckpointRows <= 0 {
		o.CheckpointRows = defaultCheckpointRows
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = defaultBusyTimeout
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("store: find the folder of the database: %w", err)
	}
	if o.MustExist {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return mes.Errorf(mes.CodeNotFound, "there is no database at %s", path)
		} else if err != nil {
			return fmt.Errorf("store: find the database: %w", err)
		}
	} else if err := createFile(path); err != nil {
		return fmt.Errorf("store: create the database: %w", err)
	}
	db := &sqliteDB{store: s, path: path, options: o, turn: make(chan struct{}, 1)}
	s.db = db
	if db.writer, err = openWriter(ctx, db.dsn(db.writerPragmas())); err != nil {
		return fmt.Errorf("store: open the database to write: %w", err)
	}
	if s.readers, err = sqlx.ConnectContext(ctx, sqliteDriver, db.dsn(db.readerPragmas())); err != nil {
		return errors.Join(fmt.Errorf("store: open the database to read: %w", err), db.writer.close())
	}
	if s.lookers, err = sqlx.ConnectContext(ctx, sqliteDriver, db.dsn(db.readerPragmas())); err != nil {
		return errors.Join(fmt.Errorf("store: open the database to look things up: %w", err), s.readers.Close(), db.writer.close())
	}
	if db.file, err = os.Stat(path); err != nil && o.VFS == "" {
		return errors.Join(fmt.Errorf("store: find the database: %w", err), db.writer.close(), s.readers.Close(), s.lookers.Close())
	}
	s.readers.SetMaxOpenConns(options.Readers)
	s.readers.SetMaxIdleConns(options.Readers)
	s.lookers.SetMaxOpenConns(lookers)
	s.lookers.SetMaxIdleConns(lookers)
	return nil
}

// close waits for the write at work.
func (db *sqliteDB) close() error {
	db.turn <- struct{}{}
	defer db.unlockWriter()
	db.closed.Store(true)
	return db.writer.close()
}

// A commit syncs the log (FULL). Negative cache sizes are in KiB, of each
// connection.
func (db *sqliteDB) readerPragmas() []string {
	return []string{db.busyPragma(), "cache_size(-4096)", "temp_store(MEMORY)", "query_only(1)"}
}

func (db *sqliteDB) writerPragmas() []string {
	return []string{
		db.busyPragma(), "journal_mode(WAL)", "synchronous(FULL)",
		"cache_size(-16384)", "temp_store(MEMORY)",
		// SQLite would pass over a sync that fails in a copy of its own accord.
		"wal_autocheckpoint(0)",
	}
}

func (db *sqliteDB) busyPragma() string {
	return fmt.Sprintf("busy_timeout(%d)", db.options.BusyTimeout.Milliseconds())
}

func (db *sqliteDB) dsn(pragmas []string) string {
	query := url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}
	if db.options.VFS != "" {
		query.Set("vfs", db.options.VFS)
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(db.path), RawQuery: query.Encode()}
	return u.String()
}

func (db *sqliteDB) text(s statement) string { return s.sqlite }

func (db *sqliteDB) bind(args []any) []any { return args }

func (db *sqliteDB) at(t time.Time) driver.Value { return timestamp{t}.micros() }

func (db *sqliteDB) sent(text string) string { return text }

func (db *sqliteDB) sentLong(text string) driver.Value { return text }

func (db *sqliteDB) meant(kept string) string { return kept }

func (db *sqliteDB) asKey(text string) string { return text }

func (db *sqliteDB) ofKey(kept string) string { return kept }

func (db *sqliteDB) page(n int) string { return " LIMIT " + strconv.Itoa(n) }

func (db *sqliteDB) beyond(columns []string, comparison string, args []any) (string, []any) {
	return "(" + strings.Join(columns, ", ") + ") " + comparison + " (?" + strings.Repeat(", ?", len(args)-1) + ")", args
}

// migrate runs fn while no one else writes, on a connection of its own.
func (db *sqliteDB) migrate(ctx context.Context, fn func(migrator) error) error {
	if err := db.lockWriter(ctx); err != nil {
		return err
	}
	defer db.unlockWriter()
	conn, err := sql.Open(sqliteDriver, db.dsn(db.writerPragmas()))
	if err != nil {
		return db.writeFault(err, "open the database to migrate")
	}
	conn.SetMaxOpenConns(1)
	steps, err := fs.Sub(migrations.SQLite, "sqlite")
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	return errors.Join(fn(migrator{goose.DialectSQLite3, conn, steps}), conn.Close())
}

// compress implements database.
func (db *sqliteDB) compress(context.Context) Compression { return Compression{} }
