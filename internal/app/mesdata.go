package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/mesdata"
	"plantgate/internal/store"
	"plantgate/internal/wal"
)

// MESDataOptions say what is to be imported, and how.
type MESDataOptions struct {
	// Table is the name of the table.
	Table string
	// TimeColumn names its column of times; "" is the first of the usual names.
	TimeColumn string
	// TimeOrigin says whose times those are, source or receipt; "" goes by the name of the
	// column.
	TimeOrigin mes.TimeOrigin
	// Zone is of times without an offset; nil is that of the site.
	Zone *time.Location
	// DryRun keeps nothing.
	DryRun bool
	// Begin is called once with what will be read, and whose times its column has.
	Begin func(l mesdata.Layout, origin mes.TimeOrigin)
	// Progress is called every so often; 0 is the default of mesdata.
	Progress func(mesdata.Summary)
	Every    time.Duration
}

// ImportMESData loads a table of an older installation into the configured store. No server
// may have an embedded store meanwhile; a shared one may be in use.
func ImportMESData(ctx context.Context, cfg config.Config, log *slog.Logger, o MESDataOptions) (done mesdata.Summary, err error) {
	to, err := openImport(ctx, cfg, log, o.DryRun)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, to.close()) }()
	table, err := to.store.TableBefore(ctx, o.Table, o.TimeColumn)
	if mes.ErrorCode(err) == mes.CodeNotFound && o.Table == store.NameBefore {
		return done, mes.Wrap(mes.CodeNotFound, err, "there is no table "+o.Table+": `plantgate migrate up` found no table "+
			store.ReportView+" to rename; --table names another")
	}
	if err != nil {
		return done, err
	}
	layout := table.Layout()
	if o.TimeOrigin == "" {
		o.TimeOrigin = mes.TimeReceipt
		if layout.TimesAreOfTheSource() {
			o.TimeOrigin = mes.TimeSource
		}
	}
	if o.Begin != nil {
		o.Begin(layout, o.TimeOrigin)
	}
	directory, err := siteDirectory(cfg)
	if err != nil {
		return done, err
	}
	service, decoder := newIngest(cfg, to.intake, directory, log, nil, nil)
	err = to.run(ctx, service, func(ctx context.Context) error {
		if err := to.settle(ctx); err != nil {
			return err
		}
		done, err = mesdata.Import(ctx, mesdata.Options{
			Table: table, Decoder: decoder, Ingester: service.Patient(), Quarantine: to.store, Sites: directory,
			SourceTime: o.TimeOrigin == mes.TimeSource, Zone: o.Zone, Progress: o.Progress, Every: o.Every,
		})
		return err
	})
	if err != nil && ctx.Err() != nil {
		return done, mes.Wrap(mes.CodeUnavailable, err, "the import was interrupted; run it again to go on")
	}
	return done, err
}

// importing is what rows are imported into.
type importing struct {
	store  *store.Store
	intake ingest.Store
	// apply brings up to date what follows from records, where that is done here.
	apply func(ctx context.Context) error
	close func() error
}

func openImport(ctx context.Context, cfg config.Config, log *slog.Logger, dryRun bool) (*importing, error) {
	// A query is open while rows are looked up.
	cfg.Store.Readers = max(cfg.Store.Readers, leastReaders)
	open := openEmbeddedImport
	if cfg.Store.IsSQLServer() {
		open = openSharedImport
	}
	to, err := open(ctx, cfg, log, dryRun)
	if err != nil {
		return nil, err
	}
	if dryRun {
		to.intake = mesdata.Rehearsal{Store: to.intake}
		return to, nil
	}
	if err := to.store.PutSites(ctx, sites(cfg)); err != nil {
		return nil, errors.Join(err, to.close())
	}
	return to, nil
}

const leastReaders = 2

// openEmbeddedImport opens the store as a server does. A dry run changes no schema.
func openEmbeddedImport(ctx context.Context, cfg config.Config, log *slog.Logger, dryRun bool) (*importing, error) {
	s, err := OpenStore(ctx, cfg, true)
	if err != nil {
		return nil, err
	}
	if dryRun {
		err = s.CheckSchema(ctx)
	}
	if err = errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	storage, err := OpenStorage(ctx, cfg.Store.DSN, storageOptions(cfg, log))
	if errors.Is(err, wal.ErrLocked) {
		return nil, mes.Wrap(mes.CodeUnavailable, err, "the store is in use: stop the server for the time of the import")
	}
	if err != nil {
		return nil, err
	}
	return &importing{store: storage.Store, intake: storage.Journal, apply: storage.Runner.Run, close: storage.Close}, nil
}

// openSharedImport commits to the database itself. What follows from records is for the
// servers that share it, as for every other record.
func openSharedImport(ctx context.Context, cfg config.Config, _ *slog.Logger, _ bool) (*importing, error) {
	s, err := store.Open(ctx, cfg.Store.ConnectionString(), storeOptions(cfg))
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if err := s.CheckSchema(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &importing{store: s, intake: s.Intake(), apply: untilEnd, close: s.Close}, nil
}

func untilEnd(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// run calls fn while what is handed to the service is committed, and ends it if that
// fails.
func (to *importing) run(ctx context.Context, service *ingest.Service, fn func(ctx context.Context) error) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	part := func(run func(context.Context) error) (end func() error) {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		ended := make(chan error, 1)
		go func() {
			ended <- run(ctx)
			stop()
		}()
		return func() error {
			cancel()
			return <-ended
		}
	}
	applied := part(to.apply)
	written := part(service.Run)
	err := fn(working)
	err = errors.Join(err, written())
	return errors.Join(err, applied())
}

// settle waits until the store holds what a server has left in its log.
func (to *importing) settle(ctx context.Context) error {
	for {
		err := to.store.Settle(ctx)
		if err == nil || ctx.Err() != nil || mes.ErrorCode(err) != mes.CodeUnavailable {
			return err
		}
	}
}
