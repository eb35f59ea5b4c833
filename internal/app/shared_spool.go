package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"plantgate/internal/apply"
	"plantgate/internal/durable"
	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/spool"
	"plantgate/internal/store"
	"plantgate/internal/wal"
)

// SpoolOptions are the settings of the log that is kept while a shared database is away.
// The zero value of a field means its default, but for Folder.
type SpoolOptions struct {
	Folder      string
	FS          wal.FS
	MaxPending  int64
	MaxLogBytes int64
	// DedupeWindow is how long message ids count.
	DedupeWindow time.Duration
	Every        time.Duration
	// Hold tells whether what comes in is to be kept in the log although the database is
	// there; nil means never.
	Hold   func() bool
	Logger *slog.Logger
}

func (o *SpoolOptions) setDefaults() {
	o.MaxPending = cmp.Or(o.MaxPending, defaultMaxPending)
	o.MaxLogBytes = cmp.Or(o.MaxLogBytes, defaultMaxLogBytes)
	o.DedupeWindow = cmp.Or(o.DedupeWindow, defaultDedupeWindow)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
}

// Spooled is what ingest commits to over a database that may be away: the log that is
// kept meanwhile, and what brings it there.
type Spooled struct {
	*spool.Spool
	known  *spool.Known
	runner *apply.Runner[*store.Store]
	log    *wal.Log
	logger *slog.Logger
}

// knownSuffix makes the name of the file beside the log out of the folder's.
const knownSuffix = ".known.json"

// OpenSpool takes up the log in the folder, which is drained into drain.
func OpenSpool(ctx context.Context, db spool.Database, drain apply.Store[*store.Store], o SpoolOptions) (*Spooled, error) {
	o.setDefaults()
	logger := o.Logger
	if err := durable.CreateFolder(filepath.Dir(o.Folder)); err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	log, err := wal.Open(o.Folder, wal.Options{MaxSize: o.MaxLogBytes + largestCommit, FS: o.FS})
	if err != nil {
		return nil, err
	}
	warnOfDoubt(log, logger)
	start, err := journal.Start(log)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	known, err := spool.OpenKnown(filepath.Clean(o.Folder)+knownSuffix, logger)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	// From before everything that it keeps, or from where it is known to be drained.
	if d := known.Drained(); d.LogID == start.LogID && d.Position >= start.Position && d.Position <= log.End() {
		start = d
	}
	j, err := journal.Open(ctx, log, spool.Blind{}, start, journal.Options{MaxRecords: o.MaxPending, MaxBytes: o.MaxLogBytes})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	window := func() ingest.LedgerWindow {
		now := mes.Micros(time.Now())
		return ingest.LedgerWindow{Now: now, MessagesSince: now.Add(-o.DedupeWindow), KeysSince: now.Add(-keyWindow)}
	}
	steps := []apply.Step[*store.Store]{{Name: "records", Apply: store.PutSpooled(window)}}
	return &Spooled{
		Spool: spool.New(db, j, spool.Options{Every: o.Every, Known: known, Hold: o.Hold, Logger: logger}),
		known: known, log: log, logger: logger,
		// Everything that is in the database is given back at once: it is not to be
		// brought there again after the next start.
		runner: apply.New(j, noted{drain, known}, start, steps, apply.Options{MaxDelay: drainDelay, ReleaseAfter: 1, StopTime: drainStop, Logger: logger}),
	}, nil
}

// noted notes how far a log is drained.
type noted struct {
	apply.Store[*store.Store]
	known *spool.Known
}

// Apply implements apply.Store.
func (n noted) Apply(ctx context.Context, to journal.Applied, durable bool, fn func(*store.Store) error) error {
	err := n.Store.Apply(ctx, to, durable, fn)
	if err == nil {
		n.known.SetDrained(to)
	}
	return err
}

// drainDelay is how long what was accepted waits for company once the database is back.
const drainDelay = 100 * time.Millisecond

// drainStop is how long a stop goes on draining; what is left is for the next start.
const drainStop = time.Second

// Run looks for the database and drains the log into it until ctx ends. It returns an
// error if the database is broken.
func (s *Spooled) Run(ctx context.Context) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	var parts sync.WaitGroup
	parts.Go(func() { _ = s.Spool.Run(working) })
	parts.Go(func() { s.known.Run(working, s.logger) })
	err := s.runner.Run(ctx)
	stop()
	parts.Wait()
	return err
}

// Close closes the log. Run must have ended.
func (s *Spooled) Close() error {
	err := s.log.Close()
	if errors.Is(err, wal.ErrFailed) { // has said so to whoever appended
		err = nil
	}
	return errors.Join(err, s.known.Write())
}
