package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"plantgate/api"
	"plantgate/internal/auth"
	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/sparkplug"
	"plantgate/internal/spool"
	"plantgate/internal/store"
)

// database is where a server keeps its data: one of its own with a log before it, or
// one that it shares.
type database interface {
	// storeOf is what is read, and where resources are written.
	storeOf() *store.Store
	// Intake is what ingest commits to.
	Intake() ingest.Store
	// keys are API keys.
	keys() auth.Store
	// deliveries tells what came last by connections to brokers.
	deliveries() mqtt.Deliveries
	sparkplug.Births
	// backlog tells what waits for the database while it is away; nil where nothing can
	// wait.
	backlog() func() api.Backlog
	// refused tells why the server can store nothing; nil where only the database knows.
	refused() func() error
	// connections tells which connections to the floor this server has; nil where all
	// are its own.
	connections() *lease.Keeper
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
	taskLedger    = "ledger"
)

// openDatabase opens what store.dsn names. An embedded database belongs to this program
// alone, so its schema is brought up to date here; a shared one may be away now, and its
// schema is made by `plantgate migrate up`.
func openDatabase(ctx context.Context, cfg config.Config, log *slog.Logger) (database, error) {
	if !cfg.Store.IsSQLServer() {
		embedded, err := openStorage(ctx, cfg, log)
		if err != nil {
			return nil, err
		}
		return embedded, nil
	}
	s, err := store.Open(ctx, cfg.Store.ConnectionString(), storeOptions(cfg))
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	shared, err := NewShared(ctx, s, SharedOptions{
		Server: cfg.Store.ServerName(), Sites: sites(cfg), Logger: log,
		Spool: SpoolOptions{
			Folder: sharedLogFolder(cfg), MaxPending: int64(cfg.Store.Log.MaxRecords), MaxLogBytes: int64(cfg.Store.Log.MaxBytes),
		},
		DedupeWindow: cfg.Data.DedupeWindow, Connections: ownedConnections(cfg),
	})
	if err != nil {
		return nil, errors.Join(inUse(err, "the folder "+sharedLogFolder(cfg), "store.log.folder"), s.Close())
	}
	return shared, nil
}

// ownedConnections are the connections of which one server at a time has each.
func ownedConnections(cfg config.Config) []string {
	var names []string
	for _, c := range cfg.MQTT.Connections {
		if c.SharedGroup == "" || len(c.Publish) > 0 { // of a shared one, the right to publish
			names = append(names, connectionName(mes.DoorMQTT, c.Name))
		}
	}
	for _, c := range cfg.OPCUA.Connections {
		names = append(names, connectionName(mes.DoorOPCUA, c.Name))
	}
	return names
}

// sharedLogFolder is where the log stands that is kept while a shared database is away.
func sharedLogFolder(cfg config.Config) string {
	if cfg.Store.Log.Folder != "" {
		return cfg.Store.Log.Folder
	}
	return filepath.FromSlash("data/plantgate.log.d")
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

func (s *Storage) storeOf() *store.Store { return s.Store }

// Intake implements database.
func (s *Storage) Intake() ingest.Store { return s.Journal }

func (s *Storage) keys() auth.Store                { return s.Store }
func (s *Storage) kind() string                    { return "sqlite" }
func (s *Storage) collector() prometheus.Collector { return &storageCollector{s} }

func (s *Storage) deliveries() mqtt.Deliveries { return s.Journal }

// ConnectionDeliveries are what came by a connection.
func (s *Storage) ConnectionDeliveries(ctx context.Context, connection string) ([]mes.Delivery, error) {
	return s.Journal.ConnectionDeliveries(ctx, connection)
}

func (s *Storage) backlog() func() api.Backlog { return nil }
func (s *Storage) refused() func() error       { return s.Journal.Refused }

func (s *Storage) connections() *lease.Keeper { return nil }

// Run implements database.
func (s *Storage) Run(ctx context.Context) error { return s.Runner.Run(ctx) }

func (s *Storage) alone(ctx context.Context, _ string, fn func(context.Context) error) error {
	return fn(ctx)
}

func (s *Shared) storeOf() *store.Store           { return s.Store }
func (s *Shared) kind() string                    { return "sqlserver" }
func (s *Shared) collector() prometheus.Collector { return &sharedCollector{s} }

// Intake is what ingest commits to: the database, and its log while it is away.
func (s *Shared) Intake() ingest.Store {
	if s.spool != nil {
		return s.spool
	}
	return s
}

// deliveries are those of the database, and of its log while it is away.
func (s *Shared) deliveries() mqtt.Deliveries {
	if s.spool != nil {
		return s.spool
	}
	return s.Store
}

func (s *Shared) keys() auth.Store {
	if s.spool != nil {
		return spooledKeys{s.Store, s.spool.Spool}
	}
	return s.Store
}

// spooledKeys are API keys that are looked up while the database is away too.
type spooledKeys struct {
	*store.Store
	spool *spool.Spool
}

// APIKeyByPrefix implements auth.Store.
func (k spooledKeys) APIKeyByPrefix(ctx context.Context, prefix string) (mes.APIKey, error) {
	return k.spool.APIKeyByPrefix(ctx, prefix)
}

// refused implements database: the database takes what the disk of this server can't.
func (s *Shared) refused() func() error { return nil }

func (s *Shared) backlog() func() api.Backlog {
	if s.spool == nil {
		return nil
	}
	return s.spool.waiting
}

// waiting is what waits for the database.
func (s *Spooled) waiting() api.Backlog {
	var b api.Backlog
	b.Records, b.Room = s.Backlog()
	if held := s.runner.Stats().Held; held.Attempts > 0 {
		b.Oldest, b.Attempts = held.Oldest, held.Attempts
		var fault *mes.Error
		if errors.As(held.Refused, &fault) { // the rest is for the log
			b.Refusal = fault.Message
		}
	}
	return b
}

func (s *Shared) connections() *lease.Keeper { return s.floor }

func (s *Shared) alone(ctx context.Context, task string, fn func(context.Context) error) error {
	return s.tasks.While(ctx, task, func(ctx context.Context, _ lease.Lease) error { return fn(ctx) })
}
