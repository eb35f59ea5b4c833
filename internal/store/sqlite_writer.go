package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/jmoiron/sqlx"
)

// writer is the one connection that writes. It begins and ends transactions by
// statements of its own rather than by sql.Tx, because sql.Tx rolls back behind
// the caller's back when a context ends, which would leave the outcome of a
// commit unknown.
type writer struct {
	db       *sqlx.DB
	conn     *sqlx.Conn
	prepared map[string]*sqlx.Stmt
	// bulks are statements of the driver itself.
	bulks map[string]driver.Stmt
	// lazy is whether commits of the connection don't wait for the disk now.
	lazy bool
	// written counts rows since the last checkpoint.
	written int
	// pause is called now and then by a transaction that takes long.
	pause func()
}

// pauseRows is after how many rows a transaction may pause.
const pauseRows = 8

func openWriter(ctx context.Context, dsn string) (*writer, error) {
	db, err := sqlx.Open(sqliteDriver, dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Connx(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &writer{db: db, conn: conn, prepared: map[string]*sqlx.Stmt{}, bulks: map[string]driver.Stmt{}}, nil
}

func (w *writer) close() error {
	var errs []error
	for _, stmt := range w.prepared {
		errs = append(errs, stmt.Close())
	}
	for _, stmt := range w.bulks {
		errs = append(errs, stmt.Close())
	}
	errs = append(errs, w.conn.Close(), w.db.Close())
	return errors.Join(errs...)
}

var (
	waitForDisk      = statement{sqlite: "PRAGMA synchronous = FULL"}
	doNotWaitForDisk = statement{sqlite: "PRAGMA synchronous = NORMAL"}
	begin            = statement{sqlite: "BEGIN IMMEDIATE"}
	commit           = statement{sqlite: "COMMIT"}
	rollback         = statement{sqlite: "ROLLBACK"}
)

// begin begins a transaction whose commit waits for the disk or not.
func (w *writer) begin(ctx context.Context, lazy bool) error {
	if lazy != w.lazy {
		kind := waitForDisk
		if lazy {
			kind = doNotWaitForDisk
		}
		if err := w.exec(ctx, kind); err != nil {
			return err
		}
		w.lazy = lazy
	}
	return w.exec(ctx, begin)
}

func (w *writer) commit(ctx context.Context) error   { return w.exec(ctx, commit) }
func (w *writer) rollback(ctx context.Context) error { return w.exec(ctx, rollback) }

// statement prepares query once for the life of the connection.
func (w *writer) statement(ctx context.Context, query string) (*sqlx.Stmt, error) {
	if stmt, ok := w.prepared[query]; ok {
		return stmt, nil
	}
	stmt, err := w.conn.PreparexContext(ctx, query)
	if err != nil {
		return nil, err
	}
	w.prepared[query] = stmt
	return stmt, nil
}

func (w *writer) exec(ctx context.Context, s statement, args ...any) error {
	_, err := w.execCount(ctx, s, args...)
	return err
}

// execCount returns the number of rows that the statement changed.
func (w *writer) execCount(ctx context.Context, s statement, args ...any) (int64, error) {
	stmt, err := w.statement(ctx, s.sqlite)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	w.written++
	return result.RowsAffected()
}

// get reads one row into dest and tells whether there was one.
func (w *writer) get(ctx context.Context, dest any, s statement, args ...any) (bool, error) {
	stmt, err := w.statement(ctx, s.sqlite)
	if err != nil {
		return false, err
	}
	err = stmt.GetContext(ctx, dest, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func (w *writer) selectAll(ctx context.Context, dest any, s statement, args ...any) error {
	stmt, err := w.statement(ctx, s.sqlite)
	if err != nil {
		return err
	}
	return stmt.SelectContext(ctx, dest, args...)
}

// each implements session.
func (w *writer) each(ctx context.Context, s statement, arguments [][]any) error {
	for _, args := range arguments {
		if err := w.exec(ctx, s, args...); err != nil {
			return err
		}
	}
	return nil
}

// eachRowOf implements session.
func (w *writer) eachRowOf(ctx context.Context, s statement, arguments [][]any, more []any, columns int, yield func([]driver.Value) error) error {
	for _, args := range arguments {
		if err := w.eachRow(ctx, s, append(args[:len(args):len(args)], more...), columns, yield); err != nil {
			return err
		}
	}
	return nil
}

// eachRow implements session.
func (w *writer) eachRow(ctx context.Context, s statement, args []any, columns int, yield func([]driver.Value) error) error {
	stmt, err := w.statement(ctx, s.sqlite)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	return eachScanned(rows, columns, yield)
}

// bulk prepares query once and lets fn run it many times, without what
// database/sql does for each.
func (w *writer) bulk(ctx context.Context, s statement, fn func(exec func(args []driver.NamedValue) error) error) error {
	query := s.sqlite
	return w.conn.Raw(func(c any) error {
		stmt, ok := w.bulks[query]
		if !ok {
			var err error
			if stmt, err = c.(driver.ConnPrepareContext).PrepareContext(ctx, query); err != nil {
				return err
			}
			w.bulks[query] = stmt
		}
		run := stmt.(driver.StmtExecContext)
		return fn(func(args []driver.NamedValue) error {
			if w.written++; w.written%pauseRows == 0 && w.pause != nil {
				w.pause()
			}
			_, err := run.ExecContext(ctx, args)
			return err
		})
	})
}

// checkpoint copies as much of the log into the database as no reader needs, and syncs
// both.
func (w *writer) checkpoint(ctx context.Context) error {
	var busy, frames, copied int
	err := w.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &frames, &copied)
	if err == nil {
		w.written = 0
	}
	return err
}
