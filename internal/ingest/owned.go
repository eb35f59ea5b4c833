package ingest

import (
	"context"

	"plantgate/internal/mes"
)

// Owned returns an Ingester that stores nothing once its server has lost the right to
// the connection: it fails with mes.ErrLeaseLost then.
func Owned(ingester Ingester, owner mes.Ownership) Ingester { return owned{ingester, &owner} }

type owned struct {
	Ingester
	owner *mes.Ownership
}

// Ingest implements Ingester.
func (o owned) Ingest(ctx context.Context, batch []mes.Record) ([]mes.Receipt, error) {
	for i := range batch {
		batch[i].Owner = o.owner
	}
	return o.Ingester.Ingest(ctx, batch)
}
