package store

import (
	"context"
	"errors"

	"plantgate/internal/mes"
)

// Pacer spreads long work over time.
type Pacer interface {
	// Pause is called all along the work, and may take a while.
	Pause()
	// Hurry ends a pause.
	Hurry()
}

// PaceBy lets the steps that follow from records pause, unless somebody waits for the
// turn to write. It is called before the store is in use.
func (s *Store) PaceBy(p Pacer) {
	if db, ok := s.db.(*sqliteDB); ok {
		db.pacer = p
	}
}

// IsEmbedded tells whether the database belongs to this program alone.
func (s *Store) IsEmbedded() bool {
	_, embedded := s.db.(*sqliteDB)
	return embedded
}

// Path is where an embedded database stands; "" for one that is elsewhere.
func (s *Store) Path() string {
	if db, ok := s.db.(*sqliteDB); ok {
		return db.path
	}
	return ""
}

// update implements database. Writers take turns; ctx bounds the wait for the turn.
func (db *sqliteDB) update(ctx context.Context, how manner, fn func(*Tx) error) (err error) {
	if err := db.lockWriter(ctx); err != nil {
		return err
	}
	defer db.unlockWriter()
	ctx = context.WithoutCancel(ctx)
	if err := db.writer.begin(ctx, how.lazy); err != nil {
		return db.writeFault(err, "begin a transaction")
	}
	if how.paced {
		db.writer.pause = db.pauseUnhurried
		defer func() { db.writer.pause = nil }()
	}
	committed := false
	defer func() {
		if committed {
			return
		}
		// A failed commit may have undone the transaction by itself.
		if undo := db.writer.rollback(ctx); undo != nil && !noTransaction(undo) {
			err = errors.Join(err, db.writeFault(undo, "undo a transaction"))
		}
	}()
	t := &Tx{store: db.store, session: db.writer}
	if err := fn(t); err != nil {
		return err
	}
	if err := db.writer.commit(ctx); err != nil {
		return db.commitFault(err)
	}
	committed = true
	t.committed()
	if err := db.checkpoint(ctx); err != nil {
		return err
	}
	return db.checkFile()
}

// checkpoint copies SQLite's log into the database when it is worth it. Its syncs are
// the only ones that lazy commits get before a synced one, and after one that failed
// nothing can be said of them.
func (db *sqliteDB) checkpoint(ctx context.Context) error {
	if db.writer.written < db.options.CheckpointRows {
		return nil
	}
	// Of anything but a failure of the disk, such as one that is full, the commit
	// stands all the same, and the next one tries again.
	if err := db.writer.checkpoint(ctx); isInputOutput(err) {
		return db.commitFault(err)
	}
	return nil
}

// pauseUnhurried pauses unless another writer waits.
func (db *sqliteDB) pauseUnhurried() {
	if db.pacer != nil && db.waiting.Load() == 0 {
		db.pacer.Pause()
	}
}

// lockWriter waits for the turn to write.
func (db *sqliteDB) lockWriter(ctx context.Context) error {
	if err := db.takeTurn(ctx); err != nil {
		return err
	}
	switch {
	case db.poisoned.Load():
		db.unlockWriter()
		return mes.Wrap(mes.CodeUnavailable, mes.ErrDurability, "the store stopped after a disk failure")
	case db.closed.Load():
		db.unlockWriter()
		return mes.Errorf(mes.CodeUnavailable, "the store is closed")
	}
	return nil
}

// takeTurn hurries whoever has the turn.
func (db *sqliteDB) takeTurn(ctx context.Context) error {
	select {
	case db.turn <- struct{}{}:
		return nil
	default:
	}
	db.waiting.Add(1)
	defer db.waiting.Add(-1)
	if db.pacer != nil {
		db.pacer.Hurry()
	}
	select {
	case db.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return mes.Wrap(mes.CodeUnavailable, ctx.Err(), "the store is busy")
	}
}

func (db *sqliteDB) unlockWriter() { <-db.turn }
