package ingest

import (
	"context"
	"errors"

	"plantgate/internal/mes"
)

// Owned returns an Ingester for a connection that only one of several servers has at a
// time. Records that have an identity of their own are stored whoever brings them, since
// they are known when they come again; the others, and what goes to quarantine, only
// while the server has the right to the connection. After that it fails with
// mes.ErrLeaseLost, where the sender sends again to the new owner; values that nobody
// sends again go to quarantine.
func Owned(ingester Ingester, owner mes.Ownership) Ingester { return owned{ingester, &owner} }

type owned struct {
	Ingester
	owner *mes.Ownership
}

// Ingest implements Ingester.
func (o owned) Ingest(ctx context.Context, batch []mes.Record) ([]mes.Receipt, error) {
	for i := range batch {
		if !hasIdentity(&batch[i]) {
			batch[i].Owner = o.owner
		}
	}
	receipts, err := o.Ingester.Ingest(ctx, batch)
	if !errors.Is(err, mes.ErrLeaseLost) || batch[0].Origin.Door != mes.DoorOPCUA {
		return receipts, err
	}
	for i := range batch {
		r := &batch[i]
		if r.Owner == nil {
			continue
		}
		if r.Owner = nil; r.Fault == nil {
			r.Fault = Overtaken()
		}
	}
	return o.Ingester.Ingest(ctx, batch)
}

// hasIdentity tells whether a message is the same record whenever and wherever it comes.
func hasIdentity(r *mes.Record) bool {
	return r.Fault == nil && (r.TimeOrigin == mes.TimeSource || r.MessageID != "")
}

// Overtaken is the fault of a value without an identity of its own that came after
// another server had taken over its connection.
func Overtaken() *mes.Error {
	return mes.Errorf(mes.CodeConflict,
		"has no time of its own, and came after another server had taken the connection over: it may be stored by that")
}
