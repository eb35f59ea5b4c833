package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"plantgate/internal/mes"
)

// betweenChecks is how often a schema that is not right is looked at again.
const betweenChecks = 2 * time.Second

// longestCheck is how long it may take: a database that is silent is away. A cold one
// takes a while.
const longestCheck = 10 * time.Second

// A schema that is right is looked at this often, and sooner where a statement missed a
// table or a column, but not more often than after the least pause.
const (
	betweenLooks = 5 * time.Second
	leastPause   = 200 * time.Millisecond
)

// check fails unless the schema is this program's: what is read or written by another
// might be taken for something that it is not. Once it is right watch looks at it.
func (s *Shared) check(ctx context.Context) error {
	if s.usable.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.usable.Load() {
		return nil
	}
	if time.Since(s.checked) < betweenChecks {
		return s.unfit
	}
	// A caller that has no time says nothing of the database.
	return s.look(context.WithoutCancel(ctx))
}

// Ping implements spool.Database: a database is back once its schema is right.
func (s *Shared) Ping(ctx context.Context) error {
	if err := s.Store.Ping(ctx); err != nil || s.usable.Load() {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.look(ctx)
}

// watch looks at a schema that is right, until it is not or ctx ends.
func (s *Shared) watch(ctx context.Context) {
	for s.usable.Load() {
		select {
		case <-time.After(leastPause):
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(betweenLooks):
		case <-s.Doubt():
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
		_ = s.look(ctx) // one that is away shows where it is used
		s.mu.Unlock()
	}
}

// look looks at the schema, and notes whether the database can be used. Whoever calls it
// has mu.
func (s *Shared) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, longestCheck)
	defer cancel()
	err := s.CheckSchema(ctx)
	if mes.ErrorCode(err) == mes.CodePrecondition {
		err = s.stopUse(err)
		s.checked = time.Now()
		return err
	}
	if err == nil && s.wrong != nil {
		s.log.Info("the schema of the database is right now")
		s.wrong = nil
		s.Refuse(nil)
	}
	if err == nil && !s.usable.Load() {
		err = s.PutSites(ctx, s.sites)
	}
	if err != nil && ctx.Err() != nil {
		err = mes.Wrap(mes.CodeUnavailable, fmt.Errorf("%w: %w", mes.ErrStoreAway, err), "the database does not answer")
	}
	if !s.usable.Load() {
		s.checked, s.unfit = time.Now(), err
		s.usable.Store(err == nil)
	}
	return err
}

// stopUse notes that the schema is another, and returns what everything fails with that
// needs the database.
func (s *Shared) stopUse(cause error) error {
	err := mes.Wrap(mes.CodeUnavailable, cause, cause.Error())
	if s.wrong == nil || s.wrong.Error() != err.Error() {
		s.log.Error("the database can't be used", slog.Any("error", err))
	}
	s.wrong, s.unfit = err, err
	s.usable.Store(false)
	s.Refuse(err)
	return err
}
