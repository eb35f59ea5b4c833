// Package apply brings up to date what follows from records: behind the log, in
// its order, in larger sorted steps, each in one transaction of the store together
// with how far it got.
package apply

import (
	"context"
	"fmt"

	"plantgate/internal/journal"
)

// Step is something that follows from records. All steps of a batch run in one
// transaction, in order; what a step writes must be the same however the log is
// cut into batches, and when a batch that was undone comes again.
//
// T is the store's transaction: what steps may call.
type Step[T any] struct {
	// Name is for logs and metrics.
	Name string
	// Apply takes the batch over. Its records are new ones; an error undoes the
	// whole batch.
	Apply func(ctx context.Context, tx T, b *journal.Batch) error
}

// All runs the steps of a batch.
func All[T any](ctx context.Context, steps []Step[T], tx T, b *journal.Batch) error {
	for _, s := range steps {
		if err := s.Apply(ctx, tx, b); err != nil {
			return fmt.Errorf("apply %s: %w", s.Name, err)
		}
	}
	return nil
}

// Store keeps what is applied.
type Store[T any] interface {
	// Apply runs fn in one transaction that also notes how far the log was taken
	// over. What is not durable may be undone by a power cut, but only as a whole
	// and together with everything after it.
	Apply(ctx context.Context, to journal.Applied, durable bool, fn func(tx T) error) error
}
