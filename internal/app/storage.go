package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"plantgate/internal/apply"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/store"
	"plantgate/internal/wal"
)

// StorageOptions are the settings of a Storage. The zero value of a field means
// its default.
type StorageOptions struct {
	Store store.Options
	// LogFolder is where arrivals are logged; "" is beside the database.
	LogFolder string
	LogFS     wal.FS
	// SegmentSize is the size of the largest files of the log, in bytes.
	SegmentSize int64
	// MaxPending and MaxLogBytes bound what is durable and not applied yet.
	MaxPending  int64
	MaxLogBytes int64
	// DedupeWindow is how long message ids count.
	DedupeWindow time.Duration
	// ConnectionDeliveries are how many deliveries of a connection stay whose names begin
	// alike.
	ConnectionDeliveries map[string]int
	Apply                apply.Options
	Logger               *slog.Logger
}

// Bounds of what waits in the log, unless configured.
const (
	defaultMaxPending  = 1_500_000
	defaultMaxLogBytes = 1 << 30
	// largestCommit is how far one commit may go beyond the bound of the log.
	largestCommit = 512 << 20
	// defaultRelease is how many bytes of the log are given back at once.
	defaultRelease = 32 << 20
	// defaultFullStep is how many records are worth a step at once.
	defaultFullStep = 8 << 10
	// defaultDedupeWindow is how long message ids count.
	defaultDedupeWindow = 7 * 24 * time.Hour
	// keyWindow is how long idempotency keys count.
	keyWindow = 24 * time.Hour
)

func (o *StorageOptions) setDefaults(path string) {
	if o.LogFolder == "" {
		o.LogFolder = logFolder(path)
	}
	o.MaxPending = cmp.Or(o.MaxPending, defaultMaxPending)
	o.MaxLogBytes = cmp.Or(o.MaxLogBytes, defaultMaxLogBytes)
	o.DedupeWindow = cmp.Or(o.DedupeWindow, defaultDedupeWindow)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.ConnectionDeliveries == nil {
		o.ConnectionDeliveries = connectionDeliveriesKept()
	}
	if o.Apply.ReleaseAfter == 0 {
		// What is applied and not given back yet must never fill the log.
		o.Apply.ReleaseAfter = int(min(defaultRelease, o.MaxLogBytes/4))
	}
	if o.Apply.FullStep == 0 {
		// A small log is worked off while it fills, not when it is full.
		o.Apply.FullStep = int(max(1, min(defaultFullStep, o.MaxPending/4)))
	}
	if o.Apply.Logger == nil {
		o.Apply.Logger = o.Logger
	}
}

// logFolder is the folder of arrivals beside a database: plant.db has plant.log.d.
func logFolder(path string) string {
	return path[:len(path)-len(filepath.Ext(path))] + ".log.d"
}

// Storage is an embedded database with the log of arrivals before it: records are
// acknowledged when they are in the log, and are brought into the database behind
// it. Reads of the database wait for what was acknowledged before them.
type Storage struct {
	*store.Store
	Journal *journal.Journal
	Runner  *apply.Runner[*store.Tx]
	log     *wal.Log
	folder  string
	logger  *slog.Logger
}

// steps is everything that follows from records, in the order in which it is
// brought up to date.
func steps(o StorageOptions) []apply.Step[*store.Tx] {
	ledger := store.LedgerKeep{Messages: o.DedupeWindow, Keys: keyWindow}
	connections := store.ConnectionDeliveryKeep{Prefixes: o.ConnectionDeliveries, Every: betweenForgettingConnections}
	return []apply.Step[*store.Tx]{
		{Name: "equipment", Apply: store.RegisterEquipment},
		{Name: "records", Apply: store.PutRecords},
		{Name: "deliveries", Apply: store.PutDeliveries},
		{Name: "connection deliveries", Apply: store.PutConnectionDeliveries},
		{Name: "old deliveries", Apply: ledger.Forget},
		{Name: "old connection deliveries", Apply: connections.Forget},
		{Name: "quarantine", Apply: store.PutQuarantine},
		{Name: "newest values", Apply: store.PutLatest},
		{Name: "minutes to roll up", Apply: store.MarkRollups},
	}
}

// betweenForgettingConnections is how many deliveries of connections are added until old
// ones are looked for.
const betweenForgettingConnections = 5000

// connectionDeliveriesKept are how many deliveries of a connection stay whose names begin
// alike.
func connectionDeliveriesKept() map[string]int {
	return map[string]int{mes.DeliveryRetained: mes.MaxRetainedDeliveries, mes.DeliveryBirth: mes.MaxBirthDeliveries}
}

// OpenStorage opens the database that dsn names, brings its schema up to date, and
// takes up its log. Records are applied while Runner runs.
func OpenStorage(ctx context.Context, dsn string, o StorageOptions) (_ *Storage, err error) {
	s := &Storage{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.Store, err = store.Open(ctx, dsn, o.Store); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	o.setDefaults(s.Path())
	s.folder, s.logger = o.LogFolder, o.Logger
	done, err := s.MigrateUp(ctx)
	if done.SetAside {
		o.Logger.Warn("a table had the name of the view for reports and was renamed; plantgate import mes-data loads it",
			slog.String("was", store.ReportView), slog.String("is", store.NameBefore))
	}
	if err != nil {
		return nil, fmt.Errorf("prepare the store: %w", err)
	}
	for _, m := range done.Steps {
		o.Logger.Info("schema migrated", "version", m.Version, "name", m.Name)
	}
	if err := s.CheckSchema(ctx); err != nil {
		return nil, fmt.Errorf("prepare the store: %w", err)
	}
	if s.log, err = wal.Open(o.LogFolder, wal.Options{SegmentSize: o.SegmentSize, MaxSize: o.MaxLogBytes + largestCommit, FS: o.LogFS}); err != nil {
		return nil, err
	}
	warnOfDoubt(s.log, o.Logger)
	applied, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	s.Journal, err = journal.Open(ctx, s.log, s.Store, applied, journal.Options{MaxRecords: o.MaxPending, MaxBytes: o.MaxLogBytes})
	if err != nil {
		return nil, err
	}
	// All that was kept counts until it is released, and it might fill the log.
	if err := s.Journal.Release(applied.Position); err != nil {
		return nil, err
	}
	s.Runner = apply.New(s.Journal, s.Store, applied, steps(o), o.Apply)
	s.ReadAfter(s.Runner.Wait)
	s.PaceBy(s.Runner)
	return s, nil
}

// warnOfDoubt passes on what the log says of its own end.
func warnOfDoubt(log *wal.Log, logger *slog.Logger) {
	if doubt := log.Doubt(); doubt != "" {
		logger.Warn("the end of the log may be missing", slog.String("doubt", doubt))
	}
}

// begin notes where the database stands in its log, and makes it durable: the
// process before may have been killed before it was.
func (s *Storage) begin(ctx context.Context) (journal.Applied, error) {
	before, err := s.Applied(ctx)
	if err != nil {
		return before, err
	}
	now := journal.Begin(s.log, before)
	// A log that never held anything has no file, and a new one no other name.
	if before.Position != 0 && now.LogID != before.LogID {
		s.logger.Error("the log of arrivals is new, and the database had another: what only that held is not here; "+
			"if it still exists, stop and put it back (store.log.folder)", slog.String("folder", s.folder))
	}
	return now, s.Apply(ctx, now, true, func(*store.Tx) error { return nil })
}

// LogSize is how many bytes the log keeps.
func (s *Storage) LogSize() int64 { return s.log.Size() }

// Close closes what is open. Runner must have ended.
func (s *Storage) Close() error {
	var err error
	if s.log != nil {
		// A log that failed has said so to whoever appended to it.
		if err = s.log.Close(); errors.Is(err, wal.ErrFailed) {
			err = nil
		}
	}
	if s.Store != nil {
		err = errors.Join(err, s.Store.Close())
	}
	return err
}
