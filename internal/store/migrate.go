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
