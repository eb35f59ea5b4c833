package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/pressly/goose/v3"

	"plantgate/internal/mes"
	"plantgate/migrations"
)

// Migration is one numbered step of the schema.
type Migration struct {
	Version int64
	Name    string
	// AppliedAt is when the step was made; zero if it was not.
	AppliedAt time.Time
}

// Upgrade is what MigrateUp did.
type Upgrade struct {
	// SetAside tells that a table MES_Data was there, and is called NameBefore now.
	SetAside bool
	// Steps are those that were missing.
	Steps []Migration
	// Compression is what was done for large tables, on SQL Server.
	Compression Compression
}

// MigrateUp makes every step that is missing, after it has renamed a table that has the
// name of the view for reports. What it returns is done, even with an error.
func (s *Store) MigrateUp(ctx context.Context) (Upgrade, error) {
	var done Upgrade
	err := s.migrate(ctx, func(m migrator, p *goose.Provider) error {
		missing, err := p.HasPending(ctx)
		if err != nil {
			return err
		}
		if missing {
			if done.SetAside, err = s.setReportsAside(ctx, m.db); err != nil {
				return err
			}
		}
		results, err := p.Up(ctx)
		if done.Steps = migrationsOf(results); err == nil {
			done.Compression = s.db.compress(ctx)
		}
		return err
	})
	return done, err
}

// MigrateDown takes the newest step back and returns it. Its tables are lost.
func (s *Store) MigrateDown(ctx context.Context) (Migration, error) {
	var undone Migration
	err := s.migrate(ctx, func(_ migrator, p *goose.Provider) error {
		result, err := p.Down(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return mes.Errorf(mes.CodeConflict, "the schema has no step to take back")
		}
		if err == nil {
			undone = migrationsOf([]*goose.MigrationResult{result})[0]
		}
		return err
	})
	return undone, err
}

// MigrationStatus lists every step that this program knows.
func (s *Store) MigrationStatus(ctx context.Context) ([]Migration, error) {
	var steps []Migration
	err := s.migrate(ctx, func(_ migrator, p *goose.Provider) error {
		status, err := p.Status(ctx)
		for _, step := range status {
			steps = append(steps, Migration{
				Version: step.Source.Version, Name: path.Base(step.Source.Path),
				AppliedAt: step.AppliedAt.UTC(),
			})
		}
		return err
	})
	return steps, err
}

// SchemaVersion returns the version of the database, 0 if it has no schema yet,
// and that of this program. It only reads.
func (s *Store) SchemaVersion(ctx context.Context) (database, program int64, err error) {
	if program, err = programVersion(); err != nil {
		return 0, 0, err
	}
	var tables int
	if err := s.getRow(ctx, &tables, tableExists, goose.DefaultTablename); err != nil {
		return 0, 0, s.db.readFault(err, "read the schema version")
	}
	if tables == 0 {
		return 0, program, nil
	}
	if err := s.getRow(ctx, &database, newestVersion); err != nil {
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
// schema is not the one that this program was built for.
func (s *Store) CheckSchema(ctx context.Context) error {
	database, program, err := s.SchemaVersion(ctx)
	switch {
	case err != nil:
		return err
	case database < program:
		return mes.Errorf(mes.CodePrecondition,
			"the schema of the database has version %d and this program needs %d: run `plantgate migrate up`", database, program)
	case database > program:
		return mes.Errorf(mes.CodePrecondition,
			"the schema of the database has version %d and this program knows only %d: use the program of the newer version (its `plantgate migrate up` made this schema)", database, program)
	}
	return nil
}

// migrator is a database whose schema nobody else changes meanwhile, and its steps.
type migrator struct {
	dialect goose.Dialect
	db      *sql.DB
	steps   fs.FS
}

func (s *Store) migrate(ctx context.Context, fn func(migrator, *goose.Provider) error) error {
	return s.db.migrate(ctx, func(m migrator) error {
		provider, err := goose.NewProvider(m.dialect, m.db, m.steps, goose.WithDisableGlobalRegistry(true))
		if err != nil {
			return fmt.Errorf("store: read the embedded migrations: %w", err)
		}
		return s.db.writeFault(fn(m, provider), "migrate the schema")
	})
}

func migrationsOf(results []*goose.MigrationResult) []Migration {
	steps := make([]Migration, 0, len(results))
	for _, r := range results {
		steps = append(steps, Migration{Version: r.Source.Version, Name: path.Base(r.Source.Path)})
	}
	return steps
}
