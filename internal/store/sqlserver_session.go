package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"plantgate/internal/mes"
)

// sqlServerSession implements session. Its statements end with the transaction's time,
// whatever the caller's context says.
type sqlServerSession struct {
	db   *sqlServerDB
	pool *sqlx.DB
	ctx  context.Context // of the transaction
	// tx begins with the first statement.
	tx *sqlx.Tx
	// stepwise is set where every statement goes by itself.
	stepwise bool
	// impatient comes before every statement.
	impatient string
}

// locksFor is what part of its time a transaction waits for a lock. Whoever holds one for
// longer has most likely been stopped in the middle of a transaction.
const locksFor = 4

// impatient is what a statement begins with that is to wait for locks no longer than
// befits a transaction of so much time. It holds for a statement: what one sets is
// forgotten after it, and with the next use of the connection.
func impatient(longest time.Duration) string {
	return fmt.Sprintf("SET LOCK_TIMEOUT %d;\n", max(1, (longest/locksFor).Milliseconds()))
}

// begun returns the transaction.
func (s *sqlServerSession) begun() (*sqlx.Tx, error) {
	if s.tx != nil {
		return s.tx, nil
	}
	tx, err := s.pool.BeginTxx(s.ctx, nil)
	if err != nil {
		return nil, beginFault(err)
	}
	s.tx = tx
	return tx, nil
}

// mayCommitAtOnce tells whether what comes next may be a whole transaction.
func (s *sqlServerSession) mayCommitAtOnce() bool { return s.tx == nil && !s.stepwise }

// end commits what was begun, or undoes it where that can't be or fn failed.
func (s *sqlServerSession) end(err error) error {
	if s.tx == nil {
		return err
	}
	if err == nil {
		if err = s.tx.Commit(); err == nil {
			return nil
		}
		err = s.db.writeFault(err, "commit")
	}
	_ = s.tx.Rollback() // what the server has undone already can't be undone again
	return err
}

func (s *sqlServerSession) exec(ctx context.Context, st statement, args ...any) error {
	_, err := s.execCount(ctx, st, args...)
	return err
}

func (s *sqlServerSession) execCount(_ context.Context, st statement, args ...any) (int64, error) {
	tx, err := s.begun()
	if err != nil {
		return 0, err
	}
	result, err := tx.ExecContext(s.ctx, s.impatient+st.sqlserver, bindAll(args)...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (s *sqlServerSession) get(_ context.Context, dest any, st statement, args ...any) (bool, error) {
	tx, err := s.begun()
	if err != nil {
		return false, err
	}
	err = tx.GetContext(s.ctx, dest, s.impatient+st.sqlserver, bindAll(args)...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func (s *sqlServerSession) selectAll(_ context.Context, dest any, st statement, args ...any) error {
	tx, err := s.begun()
	if err != nil {
		return err
	}
	return tx.SelectContext(s.ctx, dest, s.impatient+st.sqlserver, bindAll(args)...)
}

// bulk gathers the rows: it is one round trip, however many there are.
func (s *sqlServerSession) bulk(ctx context.Context, st statement, fn func(exec func(row []driver.NamedValue) error) error) error {
	rows, err := gathered(fn)
	if err != nil {
		return err
	}
	return s.each(ctx, st, rows)
}

// gathered are the rows that fn gives.
func gathered(fn func(exec func(row []driver.NamedValue) error) error) (rows [][]any, err error) {
	err = fn(func(row []driver.NamedValue) error {
		values := make([]any, len(row))
		for i := range row {
			values[i] = row[i].Value
		}
		rows = append(rows, values)
		return nil
	})
	return rows, err
}

func bindAll(args []any) []any {
	bound := make([]any, len(args))
	for i, a := range args {
		bound[i] = bindSQLServer(a)
	}
	return bound
}

// begunFor returns the transaction, and the arguments of a statement that takes rows.
func (s *sqlServerSession) begunFor(rows [][]any) (*sqlx.Tx, []any, error) {
	args, err := sentRows(rows)
	if err != nil {
		return nil, nil, err
	}
	tx, err := s.begun()
	return tx, args, err
}

// each implements session, in one round trip.
func (s *sqlServerSession) each(_ context.Context, st statement, arguments [][]any) error {
	if len(arguments) == 0 {
		return nil
	}
	tx, args, err := s.begunFor(arguments)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(s.ctx, s.impatient+st.sqlserver, args...)
	return err
}

// eachRowOf implements session, in one round trip.
func (s *sqlServerSession) eachRowOf(_ context.Context, st statement, arguments [][]any, more []any, columns int, yield func([]driver.Value) error) error {
	if len(arguments) == 0 {
		return nil
	}
	tx, args, err := s.begunFor(arguments)
	if err != nil {
		return err
	}
	rows, err := tx.QueryContext(s.ctx, s.impatient+st.sqlserver, append(args, bindAll(more)...)...)
	if err != nil {
		return err
	}
	return eachScanned(rows, columns, yield)
}

// prove proves leases in one round trip.
func (s *sqlServerSession) prove(owners []mes.Ownership) error {
	if len(owners) == 0 {
		return nil
	}
	tx, err := s.begun()
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(s.ctx, s.impatient+proofs(0, len(owners)), argumentsOfProofs(owners)...)
	return err
}

// proofs are statements that prove so many leases, by arguments that come after others.
func proofs(after, leases int) string {
	var b strings.Builder
	for i := range leases {
		first := after + 3*i
		fmt.Fprintf(&b, `UPDATE lease SET epoch = epoch WHERE name = @p%d AND owner = @p%d AND epoch = @p%d;
	IF @@ROWCOUNT <> 1 THROW %d, 'another server has the lease', 1;
	`, first+1, first+2, first+3, errorLeaseLost)
	}
	return b.String()
}

func argumentsOfProofs(owners []mes.Ownership) []any {
	args := make([]any, 0, 3*len(owners))
	for _, o := range owners {
		args = append(args, o.Lease, o.Server, o.Epoch)
	}
	return args
}

// selectBulk reads into dest, a slice, what a statement has for any of the rows.
func (s *sqlServerSession) selectBulk(dest any, st statement, rows [][]any) error {
	args, err := sentRows(rows)
	if err != nil {
		return err
	}
	tx, err := s.begun()
	if err != nil {
		return err
	}
	return tx.SelectContext(s.ctx, dest, s.impatient+st.sqlserver, args...)
}

func (s *sqlServerSession) eachRow(_ context.Context, st statement, args []any, columns int, yield func([]driver.Value) error) error {
	tx, err := s.begun()
	if err != nil {
		return err
	}
	rows, err := tx.QueryContext(s.ctx, s.impatient+st.sqlserver, bindAll(args)...)
	if err != nil {
		return err
	}
	return eachScanned(rows, columns, yield)
}
