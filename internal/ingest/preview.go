package ingest

import (
	"context"
	"time"

	"plantgate/internal/mes"
)

// Previewed is what would become of a record.
type Previewed struct {
	// Record has its Fault if it would not be stored.
	mes.Record
	// HasID means that the record would have this id whenever and wherever it came; one
	// with the time of its receipt has another id each time.
	HasID bool
	// Registers means that the record would register its machine.
	Registers bool
}

// Preview tells what Ingest would make of a batch: the same checks, times and identities,
// without storing anything. Whether a record is a duplicate is not looked up. It fails
// only if a store that is asked for a machine does not answer; without a store (New with
// nil) machines count as registered.
func (s *Service) Preview(ctx context.Context, batch []mes.Record) ([]Previewed, error) {
	list := make([]Previewed, len(batch))
	unknown := make(map[[2]string]bool)
	var last time.Time // receipts increase within the message; the service's own are left alone
	for i := range batch {
		rec := &batch[i]
		s.stampAt(rec, func(t time.Time) time.Time {
			if !t.After(last) {
				t = last.Add(time.Microsecond)
			}
			last = t
			return t
		})
		registers, err := s.previewOne(ctx, rec, unknown)
		if err != nil {
			return nil, err
		}
		// The time of a message id is that of its first arrival, which leads the id.
		list[i] = Previewed{Record: *rec, HasID: rec.Fault == nil && rec.TimeOrigin != mes.TimeReceipt, Registers: registers}
	}
	return list, nil
}

// previewOne checks and identifies a record, and tells whether its machine is not
// registered yet. Unknown remembers that of the machines that were looked up.
func (s *Service) previewOne(ctx context.Context, rec *mes.Record, unknown map[[2]string]bool) (registers bool, err error) {
	if s.check(rec); rec.Fault == nil && s.store != nil {
		if err := s.checkKnown(ctx, rec); err != nil {
			return false, err
		}
	}
	if rec.Fault != nil {
		return false, nil
	}
	rec.Identify(s.receiver)
	if s.store == nil {
		return false, nil
	}
	machine := [2]string{rec.SiteID, rec.MachineID}
	registers, there := unknown[machine]
	if !there {
		known, err := s.store.KnowsEquipment(ctx, rec.SiteID, rec.MachineID)
		if err != nil {
			return false, err
		}
		registers = !known
		unknown[machine] = registers
	}
	return registers, nil
}
