// Package ingest is the one door for machine data. REST handlers, MQTT
// handlers and OPC UA notifications decode what came into records and hand them
// to one Service, which checks them, gives them their identity, and commits
// them in groups. It returns after the commit: a nil error means durable.
//
// Append (the records are on disk) and apply (what follows from them: equipment,
// newest values) are two steps, so that more can follow from a record later
// without touching intake.
package ingest

import (
	"context"

	"plantgate/internal/mes"
)

// Ingester accepts machine data. It returns after the commit: a nil error means
// that every receipt is final. An error means that nothing of the batch is known
// to be stored, and that the same batch may be sent again without harm.
//
// After a nil error the records, and the bytes that they refer to, are the caller's
// again. After an error they may still be on their way: they must not be changed.
type Ingester interface {
	Ingest(ctx context.Context, batch []mes.Record) ([]mes.Receipt, error)
}
