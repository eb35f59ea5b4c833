package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"plantgate/internal/mes"
)

// deferredSession implements session for a transaction that writes nothing before all
// of it is known. Its queries go by themselves; what is written is gathered and sent as
// one batch, which proves leases, writes and commits: a server that stands still between
// two statements holds no lock, and nobody waits for it to go on. Whoever reads what
// only the owner of a lease writes needs no more than the proof at the end.
type deferredSession struct {
	db        *sqlServerDB
	ctx       context.Context // of the transaction
	impatient string          // comes before what is sent
	owners    []mes.Ownership
	texts     []string
	args      []any
}

var errNotDeferred = errors.New("a deferred write says nothing of what it changed")

func (s *deferredSession) execCount(context.Context, statement, ...any) (int64, error) {
	return 0, errNotDeferred
}

func (s *deferredSession) exec(_ context.Context, st statement, args ...any) error {
	s.add(st.sqlserver, bindAll(args))
	return nil
}

// add numbers the arguments of a statement after those that came before.
func (s *deferredSession) add(text string, args []any) {
	s.texts = append(s.texts, renumbered(text, len(s.args)))
	s.args = append(s.args, args...)
}

var argumentNumber = regexp.MustCompile(`@p(\d+)`)

func renumbered(text string, after int) string {
	return argumentNumber.ReplaceAllStringFunc(text, func(name string) string {
		n, _ := strconv.Atoi(name[len("@p"):])
		return "@p" + strconv.Itoa(n+after)
	})
}

func (s *deferredSession) prove(owners []mes.Ownership) error { //nolint:unparam // as in sqlServerSession
	s.owners = append(s.owners, owners...)
	return nil
}

func (s *deferredSession) get(_ context.Context, dest any, st statement, args ...any) (bool, error) {
	err := s.db.writers.GetContext(s.ctx, dest, st.sqlserver, bindAll(args)...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func (s *deferredSession) selectAll(_ context.Context, dest any, st statement, args ...any) error {
	return s.db.writers.SelectContext(s.ctx, dest, st.sqlserver, bindAll(args)...)
}

func (s *deferredSession) eachRow(_ context.Context, st statement, args []any, columns int, yield func([]driver.Value) error) error {
	rows, err := s.db.writers.QueryContext(s.ctx, st.sqlserver, bindAll(args)...)
	if err != nil {
		return err
	}
	return eachScanned(rows, columns, yield)
}

func (s *deferredSession) eachRowOf(_ context.Context, st statement, arguments [][]any, more []any, columns int, yield func([]driver.Value) error) error {
	if len(arguments) == 0 {
		return nil
	}
	args, err := sentRows(arguments)
	if err != nil {
		return err
	}
	rows, err := s.db.writers.QueryContext(s.ctx, st.sqlserver, append(args, bindAll(more)...)...)
	if err != nil {
		return err
	}
	return eachScanned(rows, columns, yield)
}

func (s *deferredSession) each(_ context.Context, st statement, arguments [][]any) error {
	if len(arguments) == 0 {
		return nil
	}
	args, err := sentRows(arguments)
	if err == nil {
		s.add(st.sqlserver, args)
	}
	return err
}

func (s *deferredSession) bulk(ctx context.Context, st statement, fn func(exec func(row []driver.NamedValue) error) error) error {
	rows, err := gathered(fn)
	if err != nil {
		return err
	}
	return s.each(ctx, st, rows)
}

// end sends what was gathered.
func (s *deferredSession) end(err error) error {
	if err != nil || len(s.texts) == 0 {
		return err
	}
	batch := s.impatient + wholeTransaction(proofs(len(s.args), len(s.owners))+strings.Join(s.texts, ";\n")+";")
	_, err = s.db.writers.ExecContext(s.ctx, batch, append(s.args, argumentsOfProofs(s.owners)...)...)
	return s.db.writeFault(err, "commit what follows")
}

// wholeTransaction makes statements, each ended by a semicolon, one batch that is
// committed or undone as a whole.
func wholeTransaction(statements string) string {
	return fmt.Sprintf(`SET XACT_ABORT ON;
	IF @@TRANCOUNT > 0 THROW %d, 'the connection has an open transaction', 1;
	BEGIN TRANSACTION;
	%s
	COMMIT TRANSACTION;`, errorLeftOpen, statements)
}
