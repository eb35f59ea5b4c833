package mesdata

import (
	"context"
	"errors"

	"plantgate/internal/ingest"
)

// Rehearsal is a store that says what would become of records, and keeps none. What comes
// twice is known only within one commit.
type Rehearsal struct{ ingest.Store }

var errRehearsed = errors.New("it was a rehearsal")

// Update implements ingest.Store.
func (r Rehearsal) Update(ctx context.Context, fn func(ingest.Tx) error) error {
	err := r.Store.Update(ctx, func(tx ingest.Tx) error {
		if err := fn(rehearsed{tx}); err != nil {
			return err
		}
		return errRehearsed
	})
	if errors.Is(err, errRehearsed) {
		return nil
	}
	return err
}

// rehearsed is a transaction that is always undone: it must not be told that it may commit
// with its records.
type rehearsed struct{ ingest.Tx }

// Last implements ingest.Tx.
func (rehearsed) Last() {}
