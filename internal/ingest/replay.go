package ingest

import (
	"context"
	"time"

	"plantgate/internal/mes"
)

// Replay says how a quarantined message is to be read again.
type Replay struct {
	ID mes.ID
	// By is the id of the API key that asks.
	By string
	// Body is the corrected message; nil is the message as it came.
	Body []byte
	// MachineID, SiteID and Format replace what the door knew; "" keeps it.
	MachineID, SiteID, Format string
	// Limit bounds the sites and machines that the records may be of.
	Limit mes.Scope
}

// Replay decodes a quarantined message once more and stores its records in the
// same commit that closes the item. If any of it is still faulty, nothing is
// stored, the item stays open, and the fault is returned. A time of receipt
// stays that of the first arrival, so that a replay repeated after a crash
// makes no second record.
func (s *Service) Replay(ctx context.Context, r Replay) ([]mes.Receipt, error) {
	item, err := s.store.QuarantineItem(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	if item.State != mes.QuarantineOpen {
		return nil, mes.Errorf(mes.CodeConflict, "the item was %s already", item.State)
	}
	batch := s.decoder.Decode(s.replaySource(item, r), replayBody(item, r))
	j := s.jobs.get(batch)
	for i := range batch {
		if err := s.admitReplayed(ctx, &batch[i], item, i); err != nil {
			return nil, err
		}
		if !r.Limit.Allows(batch[i].SiteID, batch[i].MachineID) {
			return nil, mes.Errorf(mes.CodeForbidden, "the key may not write machine %q of site %q", batch[i].MachineID, batch[i].SiteID)
		}
		j.accept(i)
	}
	item.State, item.ResolvedAt, item.ResolvedBy = mes.QuarantineReplayed, mes.Micros(s.opts.Clock()), r.By
	j.resolve = &item
	return s.commit(ctx, j, false)
}

// admitReplayed checks a record of a replay. It has the time of the first
// arrival where the receipt counts, and the item's id for its receiver.
func (s *Service) admitReplayed(ctx context.Context, rec *mes.Record, item mes.QuarantineItem, index int) error {
	rec.Answerable = true
	rec.ReceivedAt = mes.Micros(item.ReceivedAt)
	if rec.Fault == nil && rec.TimeOrigin == mes.TimeReceipt {
		rec.Time = rec.ReceivedAt.Add(time.Duration(index) * time.Microsecond)
	}
	if err := s.admit(ctx, rec); err != nil {
		return err
	}
	if rec.Fault != nil {
		return rec.Fault
	}
	rec.Identify(item.ID)
	return nil
}

// replaySource is what is known of a quarantined message: what the door knew, instead of
// that what the present configuration says of its topic, and what the caller corrects.
func (s *Service) replaySource(item mes.QuarantineItem, r Replay) Source {
	src := Source{
		Origin: item.Origin, SiteID: item.SiteID, MachineID: item.MachineID, DataType: item.DataType,
		ReceivedAt: item.ReceivedAt, Answerable: true,
	}
	if zone, err := time.LoadLocation(item.Origin.TimeZone); err == nil && item.Origin.TimeZone != "" {
		src.Zone = zone
	}
	if s.opts.Present != nil && r.Format == "" && Format(item.Origin.Format) != FormatDataValue {
		if present, ok := s.opts.Present(item.Origin); ok {
			src.bind(present)
		}
	}
	if r.MachineID != "" {
		src.MachineID = r.MachineID
	}
	if r.SiteID != "" {
		src.SiteID = r.SiteID
	}
	if r.Format != "" {
		src.Origin.Format = r.Format
	}
	return src
}

// bind takes over how a binding reads messages, and what it knows of them.
func (src *Source) bind(b Source) {
	src.Origin.Format, src.Zone, src.Mapping = b.Origin.Format, b.Zone, b.Mapping
	if src.Zone == nil {
		src.Origin.TimeZone = ""
	}
	if b.SiteID != "" {
		src.SiteID = b.SiteID
	}
	if b.MachineID != "" {
		src.MachineID = b.MachineID
	}
	if b.DataType != "" {
		src.DataType = b.DataType
	}
}

func replayBody(item mes.QuarantineItem, r Replay) []byte {
	if r.Body != nil {
		return r.Body
	}
	return item.Raw
}

// Discard closes a quarantined item without storing anything. Its bytes stay.
func (s *Service) Discard(ctx context.Context, id mes.ID, by string) error {
	item, err := s.store.QuarantineItem(ctx, id)
	if err != nil {
		return err
	}
	item.State, item.ResolvedAt, item.ResolvedBy = mes.QuarantineDiscarded, mes.Micros(s.opts.Clock()), by
	j := s.jobs.get(nil)
	j.resolve = &item
	_, err = s.commit(ctx, j, false)
	return err
}
