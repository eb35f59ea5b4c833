// Package store keeps plantgate's data, in an embedded SQLite database or in SQL
// Server. One file holds one aggregate; what differs between the two stands in files
// that bear the name of one.
//
// A write is a unit of work that is durable when Update returns without an
// error. Reads see every unit that was committed before they began.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"plantgate/internal/lease"
	"plantgate/internal/mes"
)

// Store is an open database. Its methods are safe for concurrent use.
type Store struct {
	db database
	// readers and lookers are pools of connections for queries, and for looking up
	// single things meanwhile, which never wait for a query.
	readers, lookers *sqlx.DB
	units            units
	origins          origins
	latest           latestCache
	marks            marks
	schema           schema

	lookUpsMu sync.Mutex
	lookUps   map[string]*sqlx.Stmt
	// barrier holds reads back until they miss nothing, see ReadAfter.
	barrier atomic.Pointer[func(context.Context) error]
	closed  atomic.Bool
	// rollupLease is what changes of roll-ups prove, see ProveRollups.
	rollupLease func() (lease.Lease, bool)
}

// Options are settings that have a usable zero value.
type Options struct {
	// Readers is the size of the pool of read connections; 0 means 4.
	Readers int

	// The following are of an embedded database.

	// CheckpointRows is after how many written rows SQLite's log is copied into the
	// database; 0 means 65536. Rarer copies write less in all, but each holds up the
	// syncs of the log for longer.
	CheckpointRows int
	// BusyTimeout is how long a write waits for another process that has the
	// database; 0 means 5 s.
	BusyTimeout time.Duration
	// MustExist refuses to make a database where there is none.
	MustExist bool
	// VFS names the file layer that SQLite writes through; "" is the system's.
	// Tests name one that loses power.
	VFS string

	// SQLServer is for a database there.
	SQLServer SQLServerOptions
}

// Open opens the database that dsn names; it does not touch the schema (see
// MigrateUp and CheckSchema). A dsn is "sqlite:PATH", whose file is made if need be,
// or "sqlserver://…".
func Open(ctx context.Context, dsn string, options Options) (*Store, error) {
	if options.Readers <= 0 {
		options.Readers = defaultReaders
	}
	s := &Store{lookUps: map[string]*sqlx.Stmt{}}
	s.marks.newest = map[int64]int64{}
	s.schema.doubt = make(chan struct{}, 1)
	s.units = units{newRemembered[unitName](), s}
	s.origins = origins{newRemembered[mes.Origin](), s}
	scheme, rest, _ := strings.Cut(dsn, ":")
	var err error
	switch {
	case scheme == "sqlite" && rest != "":
		err = s.openSQLite(ctx, rest, options)
	case scheme == sqlServerDriver && rest != "":
		err = s.openSQLServer(dsn, options)
	default:
		err = mes.Errorf(mes.CodeInvalid, "store.dsn must be sqlite:PATH or sqlserver://…")
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

const defaultReaders = 4

// Close waits for the write at work and closes every connection. Later writes
// fail with CodeUnavailable.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	err := s.db.close()
	s.lookUpsMu.Lock()
	defer s.lookUpsMu.Unlock()
	errs := []error{err}
	for _, stmt := range s.lookUps {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, s.lookers.Close(), s.readers.Close())...)
}

// ReadAfter makes every read of what follows from records wait for the barrier
// first: what is acknowledged before a read begins is in the log, and may still be
// on its way here.
func (s *Store) ReadAfter(barrier func(context.Context) error) { s.barrier.Store(&barrier) }

// Settle implements retention.Store.
func (s *Store) Settle(ctx context.Context) error { return s.current(ctx) }

// current waits until the store holds everything that was acknowledged.
func (s *Store) current(ctx context.Context) error {
	if barrier := s.barrier.Load(); barrier != nil {
		return (*barrier)(ctx)
	}
	return nil
}

// ping reads the file, which SELECT 1 would not in SQLite.
var ping = statement{
	sqlite:    "SELECT count(*) FROM sqlite_schema",
	sqlserver: "SELECT 1",
}

// Ping tells whether the database can be read.
func (s *Store) Ping(ctx context.Context) error {
	var count int
	return s.db.readFault(s.askRow(ctx, &count, ping), "read the database")
}

// manner says how a write transaction is made.
type manner struct {
	// lazy: a power cut may undo it, with everything after it. For what the log
	// still holds.
	lazy bool
	// paced: it may rest while nobody waits for it.
	paced bool
	// intake: senders wait for it, and there may be a log in its place.
	intake bool
	// deferred: nothing that is written has a result that is needed before the end, so
	// that a database elsewhere may be sent all of it at once.
	deferred bool
	// brief: it fails soon where somebody else holds it up. For leases.
	brief bool
}

// synced is the manner of nearly all writes: a commit is on the disk.
var synced = manner{}

// update runs fn in one write transaction and returns after its commit. An
// error of fn is returned as it is and undoes everything, as does a panic. A
// failed commit is an error of CodeUnavailable or CodeInternal, and
// mes.ErrDurability where the disk failed: what is on the disk is then unknown to
// the process, which must end; every later write fails with it too.
//
// A transaction that began is not cut short by ctx.
func (s *Store) update(ctx context.Context, how manner, fn func(*Tx) error) error {
	if err := s.refused(); err != nil && !how.brief {
		return err
	}
	return s.db.update(ctx, how, fn)
}

func contextError(err error) error {
	for _, target := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, target) {
			return err
		}
	}
	return nil
}

// isMapped tells whether err needs no mapping.
func isMapped(err error) bool {
	var known *mes.Error
	return err == nil || errors.As(err, &known)
}

// cutShort is what a query says whose caller is gone.
func cutShort(cause error) error {
	return mes.Wrap(mes.CodeUnavailable, cause, "the query was cut short")
}

// internalError hides a failure that only a person can mend; its cause is for
// the log.
func internalError(err error, doing string) error {
	return mes.Wrap(mes.CodeInternal, fmt.Errorf("%s: %w", doing, err), "the store failed")
}

// orNow returns the time that the caller gives, else now.
func orNow(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now()
	}
	return t
}
