// Package store keeps plantgate's data. One file holds one aggregate; what
// differs between databases stands in files that end in the dialect's name.
//
// A write is a unit of work that is durable when Update returns without an
// error. Reads see every unit that was committed before they began.
package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"plantgate/internal/mes"
)

// Store is an open database. Its methods are safe for concurrent use.
type Store struct {
	path    string
	options Options
	// file is the database as it was opened.
	file os.FileInfo

	// turn holds one token: whoever has it may use the writer. waiting counts those
	// who wait for it.
	turn    chan struct{}
	waiting atomic.Int32
	writer  *writer
	pacer   Pacer // see PaceBy
	// readers and lookers are pools of connections that can't write: for queries, and
	// for looking up single things meanwhile, which never wait for a query.
	readers, lookers *sqlx.DB
	units            units
	origins          origins
	latest           latestCache
	marks            marks

	lookUpsMu sync.Mutex
	lookUps   map[string]*sqlx.Stmt
	// barrier holds reads back until they miss nothing, see ReadAfter.
	barrier atomic.Pointer[func(context.Context) error]
	// poisoned is set by the first failed sync, closed by Close.
	poisoned, closed atomic.Bool
}

// Options are settings that have a usable zero value.
type Options struct {
	// Readers is the size of the pool of read connections; 0 means 4.
	Readers int
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
}

// Open opens the database that dsn names and creates it if need be; it does not
// touch the schema (see MigrateUp and CheckSchema). A dsn is "sqlite:PATH".
func Open(ctx context.Context, dsn string, options Options) (*Store, error) {
	scheme, rest, _ := strings.Cut(dsn, ":")
	switch {
	case scheme == "sqlite" && rest != "":
		return openSQLite(ctx, rest, options)
	default:
		return nil, mes.Errorf(mes.CodeInvalid, "store.dsn must be sqlite:PATH")
	}
}

// Close waits for the write at work and closes every connection. Later writes
// fail with CodeUnavailable.
func (s *Store) Close() error {
	s.turn <- struct{}{}
	defer s.unlockWriter()
	if s.closed.Swap(true) {
		return nil
	}
	s.lookUpsMu.Lock()
	defer s.lookUpsMu.Unlock()
	var errs []error
	for _, stmt := range s.lookUps {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, s.lookers.Close(), s.readers.Close(), s.writer.close())...)
}

// ReadAfter makes every read of what follows from records wait for the barrier
// first: what is acknowledged before a read begins is in the log, and may still be
// on its way here.
func (s *Store) ReadAfter(barrier func(context.Context) error) { s.barrier.Store(&barrier) }

// Pacer spreads long work over time.
type Pacer interface {
	// Pause is called all along the work, and may take a while.
	Pause()
	// Hurry ends a pause.
	Hurry()
}

// PaceBy lets the steps that follow from records pause, unless somebody waits for the
// turn to write. It is called before the store is in use.
func (s *Store) PaceBy(p Pacer) { s.pacer = p }

// Settle implements retention.Store.
func (s *Store) Settle(ctx context.Context) error { return s.current(ctx) }

// current waits until the store holds everything that was acknowledged.
func (s *Store) current(ctx context.Context) error {
	if barrier := s.barrier.Load(); barrier != nil {
		return (*barrier)(ctx)
	}
	return nil
}

// Path is where the database stands.
func (s *Store) Path() string { return s.path }

// Ping tells whether the database can be read.
func (s *Store) Ping(ctx context.Context) error {
	var count int
	if err := s.readers.GetContext(ctx, &count, pingSQLite); err != nil {
		return readError(err, "read the database")
	}
	return nil
}

// durability says what the end of a transaction waits for.
type durability string

const (
	// synced: the commit is on the disk.
	synced durability = "FULL"
	// lazy: a power cut may undo it, with everything after it. For what the log
	// still holds.
	lazy durability = "NORMAL"
)

// update runs fn in one write transaction and returns after its commit. An
// error of fn is returned as it is and undoes everything, as does a panic. A
// failed commit is an error of CodeUnavailable or CodeInternal, and
// mes.ErrDurability where the disk failed: what is on the disk is then unknown to
// the process, which must end; every later write fails with it too.
//
// Writers take turns; ctx bounds the wait for the turn, and a transaction that
// began is not cut short by it.
func (s *Store) update(ctx context.Context, kind durability, fn func(*Tx) error) (err error) {
	if err := s.lockWriter(ctx); err != nil {
		return err
	}
	defer s.unlockWriter()
	ctx = context.WithoutCancel(ctx)
	if err := s.writer.begin(ctx, kind); err != nil {
		return s.writeError(err, "begin a transaction")
	}
	committed := false
	defer func() {
		if committed {
			return
		}
		// A failed commit may have undone the transaction by itself.
		if undo := s.writer.rollback(ctx); undo != nil && !noTransaction(undo) {
			err = errors.Join(err, s.writeError(undo, "undo a transaction"))
		}
	}()
	t := &Tx{store: s, writer: s.writer}
	if err := fn(t); err != nil {
		return err
	}
	if err := s.writer.commit(ctx); err != nil {
		return s.commitError(err)
	}
	committed = true
	t.committed()
	if err := s.checkpoint(ctx); err != nil {
		return err
	}
	return s.checkFile()
}

// checkpoint copies SQLite's log into the database when it is worth it. Its syncs are
// the only ones that lazy commits get before a synced one, and after one that failed
// nothing can be said of them.
func (s *Store) checkpoint(ctx context.Context) error {
	if s.writer.written < s.options.CheckpointRows {
		return nil
	}
	// Of anything but a failure of the disk, such as one that is full, the commit
	// stands all the same, and the next one tries again.
	if err := s.writer.checkpoint(ctx); isInputOutput(err) {
		return s.commitError(err)
	}
	return nil
}

// lockWriter waits for the turn to write.
func (s *Store) lockWriter(ctx context.Context) error {
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	switch {
	case s.poisoned.Load():
		s.unlockWriter()
		return mes.Wrap(mes.CodeUnavailable, mes.ErrDurability, "the store stopped after a disk failure")
	case s.closed.Load():
		s.unlockWriter()
		return mes.Errorf(mes.CodeUnavailable, "the store is closed")
	}
	return nil
}

// takeTurn hurries whoever has the turn.
func (s *Store) takeTurn(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	default:
	}
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	if s.pacer != nil {
		s.pacer.Hurry()
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return mes.Wrap(mes.CodeUnavailable, ctx.Err(), "the store is busy")
	}
}

func (s *Store) unlockWriter() { <-s.turn }

// writeError maps the error of a statement or commit of the writer.
func (s *Store) writeError(err error, doing string) error {
	var known *mes.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	mapped := databaseError(err, doing)
	if errors.Is(mapped, mes.ErrDurability) {
		s.poisoned.Store(true)
	}
	return mapped
}

// commitError maps the error of a commit: whatever input or output failed there,
// nothing can be said of what is on the disk.
func (s *Store) commitError(err error) error {
	if isInputOutput(err) {
		s.poisoned.Store(true)
		return durabilityError(err, "commit")
	}
	return s.writeError(err, "commit")
}

// readError maps the error of a query. Readers never sync, so that their
// failures leave the writer alone.
func readError(err error, doing string) error {
	var known *mes.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if ctxErr := contextError(err); ctxErr != nil {
		return mes.Wrap(mes.CodeUnavailable, ctxErr, "the query was cut short")
	}
	return databaseError(err, doing)
}

func contextError(err error) error {
	for _, target := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, target) {
			return err
		}
	}
	return nil
}

func durabilityError(err error, doing string) error {
	return mes.Wrap(mes.CodeUnavailable, fmt.Errorf("%s: %w: %w", doing, mes.ErrDurability, err), "the disk failed")
}

// internalError hides a failure that only a person can mend; its cause is for
// the log.
func internalError(err error, doing string) error {
	return mes.Wrap(mes.CodeInternal, fmt.Errorf("%s: %w", doing, err), "the store failed")
}
