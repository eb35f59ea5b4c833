package store

import (
	"context"
	"fmt"
	"io/fs"
	"sync/atomic"

	"github.com/pressly/goose/v3"

	"plantgate/internal/mes"
	"plantgate/migrations"
)

// schema is what a store knows of its own schema.
type schema struct {
	// wasRight is set once it was found to be this program's.
	wasRight atomic.Bool
	// refusal is what everything fails with meanwhile; nil while the store is in use.
	refusal atomic.Pointer[error]
	// doubt has a token when a statement missed a table or a column.
	doubt chan struct{}
}

// SchemaVersion returns the version of the database, 0 if it has no schema yet,
// and that of this program. It only reads.
func (s *Store) SchemaVersion(ctx context.Context) (database, program int64, err error) {
	if program, err = programVersion(); err != nil {
		return 0, 0, err
	}
	var tables int
	if err := s.askRow(ctx, &tables, tableExists, goose.DefaultTablename); err != nil {
		return 0, 0, s.db.readFault(err, "read the schema version")
	}
	if tables == 0 {
		return 0, program, nil
	}
	if err := s.askRow(ctx, &database, newestVersion); err != nil {
		return 0, 0, s.db.readFault(err, "read the schema version")
	}
	return database, program, nil
}

// tableExists counts the tables of a name.
var tableExists = statement{
	sqlite:    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?",
	sqlserver: "SELECT COUNT(*) FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_NAME = @p1",
}

// newestVersion is 0 for a schema whose steps were all taken back.
var newestVersion = portable("SELECT coalesce(max(version_id), 0) FROM " + goose.DefaultTablename + " WHERE is_applied = 1")

func programVersion() (newest int64, err error) {
	files, err := fs.Glob(migrations.SQLite, "sqlite/*.sql")
	if err != nil {
		return 0, fmt.Errorf("store: read the embedded migrations: %w", err)
	}
	for _, name := range files {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, fmt.Errorf("store: read the embedded migrations: %w", err)
		}
		newest = max(newest, version)
	}
	return newest, nil
}

// CheckSchema returns an error of CodePrecondition that names the remedy if the
// schema is not the one that this program was built for. If it was, mes.ErrStoreAway is
// in its chain: somebody has changed it meanwhile, and may change it back.
func (s *Store) CheckSchema(ctx context.Context) error {
	database, program, err := s.SchemaVersion(ctx)
	if err != nil {
		return err
	}
	var remedy string
	switch {
	case database < program:
		remedy = fmt.Sprintf("and this program needs %d: run `plantgate migrate up`", program)
	case database > program:
		remedy = fmt.Sprintf("and this program knows only %d: use the program of the newer version (its `plantgate migrate up` made this schema)", program)
	default:
		s.schema.wasRight.Store(true)
		return nil
	}
	return s.wrongSchema(mes.CodePrecondition, nil, fmt.Sprintf("the schema of the database has version %d %s", database, remedy))
}

// Refuse makes everything fail with err but leases, Ping and what looks at the schema,
// until it is called with nil. Numbers that were remembered are forgotten then: somebody
// has had the schema in their hands. Leases stay, as far as their tables are
// there: of servers of two programs one has a connection to the floor.
func (s *Store) Refuse(err error) {
	if err != nil {
		s.schema.refusal.Store(&err)
		return
	}
	if s.schema.refusal.Swap(nil) != nil {
		s.units.clear()
		s.origins.clear()
	}
}

// refused is what everything fails with, or nil.
func (s *Store) refused() error {
	if err := s.schema.refusal.Load(); err != nil {
		return *err
	}
	return nil
}

// Doubt has a token when a statement missed a table or a column: it is time to look at
// the schema.
func (s *Store) Doubt() <-chan struct{} { return s.schema.doubt }

// missing maps the error of a statement that missed a table or a column.
func (s *Store) missing(err error, doing string) error {
	select {
	case s.schema.doubt <- struct{}{}:
	default:
	}
	return s.wrongSchema(mes.CodeUnavailable, fmt.Errorf("%s: %w", doing, err),
		"the schema of the database is not the one of this program: `plantgate migrate status` says which it is")
}

// wrongSchema is an error of a schema that is not this program's: one that was is a
// database that is away.
func (s *Store) wrongSchema(code mes.Code, cause error, message string) error {
	switch {
	case !s.schema.wasRight.Load():
	case cause == nil:
		cause = mes.ErrStoreAway
	default:
		cause = fmt.Errorf("%w: %w", mes.ErrStoreAway, cause)
	}
	return mes.Wrap(code, cause, message)
}
