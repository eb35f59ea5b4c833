package app

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/store"
)

// database is where a server keeps its data: one of its own with a log before it, or
// one that it shares.
type database interface {
	// storeOf is what is read, and where resources are written.
	storeOf() *store.Store
	// intake is what ingest commits to.
	intake() ingest.Store
	// Run brings up to date what follows from records until ctx ends.
	Run(ctx context.Context) error
	// alone runs what only one of the servers that share a database may do at a time.
	alone(ctx context.Context, task string, fn func(context.Context) error) error
	collector() prometheus.Collector
	// kind is its name for the log.
	kind() string
	Close() error
}

// The tasks of which there is one at a time.
const (
	taskRollups   = "roll-ups"
	taskRetention = "retention"
)

// openDatabase opens what store.dsn names. An embedded database belongs to this program
// alone, so its schema is brought up to date here; a shared one may be away now, and its
// schema is made by `plantgate migrate up`.
func openDatabase(ctx context.Context, cfg config.Config, log *slog.Logger) (database, error) {
	if !cfg.Store.IsSQLServer() {
		return openStorage(ctx, cfg, log)
	}
	s, err := store.Open(ctx, cfg.Store.ConnectionString(), storeOptions(cfg))
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	return NewShared(s, SharedOptions{Server: cfg.Store.ServerName(), Sites: sites(cfg), Logger: log}), nil
}

func storeOptions(cfg config.Config) store.Options {
	return store.Options{
		Readers:   cfg.Store.Readers,
		SQLServer: store.SQLServerOptions{Connections: cfg.Store.SQLServer.Connections},
	}
}

// OpenStore opens the configured store as it is, for commands. Where mustExist is set an
// embedded one is not made: a mistyped path must not look like an empty store.
func OpenStore(ctx context.Context, cfg config.Config, mustExist bool) (*store.Store, error) {
	o := storeOptions(cfg)
	o.Readers, o.MustExist = 1, mustExist
	return store.Open(ctx, cfg.Store.ConnectionString(), o)
}

func (s *Storage) storeOf() *store.Store           { return s.Store }
func (s *Storage) intake() ingest.Store            { return s.Journal }
func (s *Storage) kind() string                    { return "sqlite" }
func (s *Storage) collector() prometheus.Collector { return &storageCollector{s} }

// Run implements database.
func (s *Storage) Run(ctx context.Context) error { return s.Runner.Run(ctx) }

func (s *Storage) alone(ctx context.Context, _ string, fn func(context.Context) error) error {
	return fn(ctx)
}

func (s *Shared) storeOf() *store.Store           { return s.Store }
func (s *Shared) intake() ingest.Store            { return s }
func (s *Shared) kind() string                    { return "sqlserver" }
func (s *Shared) collector() prometheus.Collector { return &sharedCollector{s} }

func (s *Shared) alone(ctx context.Context, task string, fn func(context.Context) error) error {
	return s.tasks.While(ctx, task, fn)
}
