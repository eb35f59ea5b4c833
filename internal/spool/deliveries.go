package spool

import (
	"context"
	"errors"
	"log/slog"

	"plantgate/internal/mes"
)

// ConnectionDeliveries are what came by a connection without an identity of its own, in the order of their
// numbers. While the database is away they are those of what is kept here: what is not
// known again is stored once more.
func (s *Spool) ConnectionDeliveries(ctx context.Context, connection string) ([]mes.Delivery, error) {
	kept := s.journal.PendingConnectionDeliveries(connection)
	if s.isAway() {
		s.look(ctx) // it may just be back
	}
	if s.isAway() {
		return kept, nil
	}
	there, cancel := s.whileThere(ctx)
	defer cancel()
	stored, err := s.db.ConnectionDeliveries(there, connection)
	if errors.Is(err, mes.ErrStoreAway) {
		s.setAway(err)
	}
	if err != nil && s.isAway() {
		s.opts.Logger.Warn("what came last by a connection is known in part only", slog.String("connection", connection), slog.Any("error", err))
		return kept, nil
	}
	return mes.NewestDeliveries(append(stored, kept...)), err
}
