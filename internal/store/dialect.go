package store

import (
	"context"
	"database/sql/driver"
	"strconv"
	"strings"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
)

// database is what a Store stands on: SQLite or SQL Server.
type database interface {
	// update runs fn in one write transaction and returns after its commit. Where a
	// transaction can fail through no fault of its own, fn may run more than once.
	update(ctx context.Context, how manner, fn func(*Tx) error) error
	// readFault and writeFault map an error of the driver to one that names what was
	// being done and hides the statement. An error that is mapped already stays.
	readFault(err error, doing string) error
	writeFault(err error, doing string) error
	// migrate runs fn while nobody else changes the schema.
	migrate(ctx context.Context, fn func(migrator) error) error
	// compress compresses what grows for years, where the database can. It never fails.
	compress(ctx context.Context) Compression

	// isTimeBefore tells whether columns of a type, in a table of an older installation,
	// can hold times, and tableBefore how to read such a table.
	isTimeBefore(kind string) bool
	tableBefore(ctx context.Context, t *tableBefore, columns []columnBefore, chosen chosenColumns) error

	// text is the statement in the language of the database.
	text(statement) string
	// bind turns arguments into what the driver takes.
	bind(args []any) []any
	// at is a time as a bulk statement takes it.
	at(time.Time) driver.Value
	// sent is a text whose characters may be any as it is kept, and meant is what that
	// stands for.
	sent(text string) string
	// sentLong is the same of a text of any length.
	sentLong(text string) driver.Value
	meant(kept string) string
	// asKey is a text as it is kept where no two rows have the same, and ofKey is what
	// that stands for.
	asKey(text string) string
	ofKey(kept string) string
	// page ends a query that reads at most n rows.
	page(n int) string
	// beyond is the condition that the columns come after or before (">" or "<") the
	// arguments, compared one after the other.
	beyond(columns []string, comparison string, args []any) (condition string, bound []any)

	// insertRecords stores records and that they arrived, and returns the ids of those
	// that were not there. If they are the last of the transaction it may be committed
	// with them.
	insertRecords(ctx context.Context, t *intakeTx, rows []arrivalRow) (map[mes.ID]struct{}, error)
	// registerUnits finds the numbers of work units, and gives one to those that are new.
	registerUnits(ctx context.Context, t *Tx, units []sighting) error
	// putDeliveries adds to the ledger, in place of what does not count any more.
	putDeliveries(ctx context.Context, t *Tx, list []journal.Delivery, window ingest.LedgerWindow) error

	close() error
}

// session runs the statements of one write transaction.
type session interface {
	exec(ctx context.Context, s statement, args ...any) error
	// execCount returns the number of rows that the statement changed.
	execCount(ctx context.Context, s statement, args ...any) (int64, error)
	// get reads one row into dest and tells whether there was one.
	get(ctx context.Context, dest any, s statement, args ...any) (bool, error)
	selectAll(ctx context.Context, dest any, s statement, args ...any) error
	// eachRow calls yield for each row of a query, which is valid until it returns.
	eachRow(ctx context.Context, s statement, args []any, columns int, yield func(row []driver.Value) error) error
	// eachRowOf is eachRow for each list of arguments, with the same more after each.
	eachRowOf(ctx context.Context, s statement, arguments [][]any, more []any, columns int, yield func(row []driver.Value) error) error
	// each runs the statement for each list of arguments.
	each(ctx context.Context, s statement, arguments [][]any) error
	// bulk runs the statement for every row that fn gives to exec, at the latest when
	// fn has returned. Values are int64, bool, string, []byte, nil and what
	// database.at returns.
	bulk(ctx context.Context, s statement, fn func(exec func(row []driver.NamedValue) error) error) error
}

// statement is one statement in both languages.
type statement struct{ sqlite, sqlserver string }

// portable is a statement that both understand, with ? for each argument.
func portable(text string) statement { return statement{text, numbered(text)} }

// numbered writes @p1, @p2, … for each ?. Texts in statements have none.
func numbered(text string) string {
	parts := strings.Split(text, "?")
	var b strings.Builder
	for i, part := range parts {
		b.WriteString(part)
		if i < len(parts)-1 {
			b.WriteString("@p")
			b.WriteString(strconv.Itoa(i + 1))
		}
	}
	return b.String()
}

// selectRows reads all rows of a query into dest.
func (s *Store) selectRows(ctx context.Context, dest any, q statement, args ...any) error {
	if err := s.refused(); err != nil {
		return err
	}
	return s.readers.SelectContext(ctx, dest, s.db.text(q), s.db.bind(args)...)
}

// getRow reads one row into dest; sql.ErrNoRows if there is none.
func (s *Store) getRow(ctx context.Context, dest any, q statement, args ...any) error {
	if err := s.refused(); err != nil {
		return err
	}
	return s.askRow(ctx, dest, q, args...)
}

// askRow is getRow of a database that may be refused.
func (s *Store) askRow(ctx context.Context, dest any, q statement, args ...any) error {
	return s.readers.GetContext(ctx, dest, s.db.text(q), s.db.bind(args)...)
}

// lookUpRow is getRow without a wait for a query.
func (s *Store) lookUpRow(ctx context.Context, dest any, q statement, args ...any) error {
	if err := s.refused(); err != nil {
		return err
	}
	return s.lookers.GetContext(ctx, dest, s.db.text(q), s.db.bind(args)...)
}
