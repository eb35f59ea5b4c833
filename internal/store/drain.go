package store

import (
	"context"
	"errors"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
)

// Drain is the store as what a log is drained into that was kept while it was away. It
// implements apply.Store: it remembers nothing of the log, since whatever comes from it
// twice is known by its id.
type Drain struct{ store *Store }

// Drain returns the store as what a log is drained into.
func (s *Store) Drain() Drain { return Drain{s} }

// Apply implements apply.Store. What the database refuses is tried again, whatever the
// reason: the log goes on to keep it.
func (d Drain) Apply(_ context.Context, _ journal.Applied, _ bool, fn func(*Store) error) error {
	err := fn(d.store)
	if mes.ErrorCode(err) == mes.CodeInternal && !errors.Is(err, mes.ErrDurability) {
		return mes.Wrap(mes.CodeUnavailable, err, "the database refuses what is kept here")
	}
	return err
}

// PutSpooled is the step that takes over what was accepted while the database was away,
// in one transaction. What turns out to contradict something that came before goes to
// quarantine, and so does what the database can't hold. window tells what of the ledger
// counts now.
func PutSpooled(window func() ingest.LedgerWindow) func(context.Context, *Store, *journal.Batch) error {
	return func(ctx context.Context, s *Store, b *journal.Batch) error {
		err := s.putSpooled(ctx, b, window())
		if !errors.Is(err, mes.ErrUnstorable) {
			return err
		}
		deliveries := map[mes.ID][]journal.Delivery{}
		for _, d := range b.Deliveries {
			deliveries[d.RecordID] = append(deliveries[d.RecordID], d)
		}
		if err := s.putHalves(ctx, b.Records, deliveries, window()); err != nil {
			return err
		}
		return s.putSpooled(ctx, &journal.Batch{Group: journal.Group{Items: b.Items, Deliveries: b.Deliveries, ConnectionDeliveries: b.ConnectionDeliveries}}, window())
	}
}

// putHalves takes over records that the database can't hold as a whole: half by half,
// until it is known which of them it is.
func (s *Store) putHalves(ctx context.Context, records []mes.Record, deliveries map[mes.ID][]journal.Delivery, window ingest.LedgerWindow) error {
	if len(records) > 1 {
		half := len(records) / 2
		for _, part := range [][]mes.Record{records[:half], records[half:]} {
			b := &journal.Batch{Group: journal.Group{Records: part}}
			for i := range part {
				b.Deliveries = append(b.Deliveries, deliveries[part[i].ID]...)
			}
			err := s.putSpooled(ctx, b, window)
			if errors.Is(err, mes.ErrUnstorable) {
				err = s.putHalves(ctx, part, deliveries, window)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	for i := range records { // the one, if any
		item := spooledItem(&records[i], ingest.Unstorable(mes.ErrUnstorable))
		if err := s.putSpooled(ctx, &journal.Batch{Group: journal.Group{Items: []mes.QuarantineItem{item}}}, window); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) putSpooled(ctx context.Context, b *journal.Batch, window ingest.LedgerWindow) error {
	return s.update(ctx, synced, func(t *Tx) error { return t.putSpooled(ctx, b, window) })
}

func (t *Tx) putSpooled(ctx context.Context, b *journal.Batch, window ingest.LedgerWindow) error {
	in := &intakeTx{Tx: t}
	before, err := t.keysBefore(ctx, b.Deliveries, window)
	if err != nil {
		return t.store.db.writeFault(err, "look up idempotency keys")
	}
	records, repeats := sortRepeated(b, before)
	records, items, err := t.sortOvertaken(ctx, records)
	if err != nil {
		return err
	}
	items = append(items, repeats...)
	receipts, err := in.AppendRecords(ctx, records, window)
	if err != nil {
		return err
	}
	for i := range receipts {
		if receipts[i].Fault != nil {
			items = append(items, spooledItem(&records[i], receipts[i].Fault))
		}
	}
	items = append(items, b.Items...)
	if err := in.AppendQuarantine(ctx, items); err != nil {
		return err
	}
	if err := in.AppendDeliveries(ctx, b.ConnectionDeliveries); err != nil {
		return err
	}
	return t.store.db.writeFault(t.putNewKeys(ctx, b.Deliveries, before, window), "keep deliveries")
}

// spooledItem is a record of the log for quarantine: by the same id whenever it is drained.
func spooledItem(r *mes.Record, fault *mes.Error) mes.QuarantineItem {
	content := r.ContentHash()
	r.QuarantineID = mes.DerivedID(r.ReceivedAt, "spooled "+r.ID.String()+string(content[:]))
	return ingest.QuarantineItem(r, fault)
}

// sortOvertaken splits off what may be in the database already under another id: values
// without a time of their own, of a connection that another server had taken over when
// they came. That server subscribed to the same values. (MQTT brokers give a message to
// one of them only.)
func (t *Tx) sortOvertaken(ctx context.Context, records []mes.Record) (kept []mes.Record, items []mes.QuarantineItem, err error) {
	lost := map[mes.Ownership]time.Time{}
	kept = make([]mes.Record, 0, len(records))
	for i := range records {
		r := &records[i]
		if r.Owner == nil || r.Origin.Door != mes.DoorOPCUA || r.TimeOrigin == mes.TimeSource {
			kept = append(kept, *r)
			continue
		}
		at, known := lost[*r.Owner]
		if !known {
			if at, err = t.overtaken(ctx, *r.Owner); err != nil {
				return nil, nil, err
			}
			lost[*r.Owner] = at
		}
		if at.IsZero() || r.ReceivedAt.Before(at) {
			kept = append(kept, *r)
			continue
		}
		items = append(items, spooledItem(r, ingest.Overtaken()))
	}
	return kept, items, nil
}

// keysBefore is what the ledger says of the idempotency keys among the deliveries.
func (t *Tx) keysBefore(ctx context.Context, list []journal.Delivery, window ingest.LedgerWindow) (map[string]journal.Delivery, error) {
	var names [][]any
	for i := range list {
		if d := &list[i]; d.Kind == journal.DeliveryKey {
			names = append(names, []any{string(d.Kind), d.SiteID, d.MachineID, t.store.db.asKey(d.Key)})
		}
	}
	rows, err := selectEach[namedDeliveryRow](ctx, t, deliveriesByName, names)
	if err != nil {
		return nil, err
	}
	before := make(map[string]journal.Delivery, len(rows))
	for i := range rows {
		d := rows[i].toDomain()
		if d.ArrivedAt.After(window.KeysSince) {
			before[t.store.db.ofKey(d.Key)] = d
		}
	}
	return before, nil
}

// sortRepeated leaves out the records of requests that were answered before, under
// another id: without a time of its own a record that is sent again gets one while that
// can't be known. What is under the key of another request goes to quarantine.
func sortRepeated(b *journal.Batch, before map[string]journal.Delivery) (kept []mes.Record, items []mes.QuarantineItem) {
	repeats := map[mes.ID]bool{} // whether it is the same request
	for i := range b.Deliveries {
		d := &b.Deliveries[i]
		if first, known := before[d.Key]; known && d.Kind == journal.DeliveryKey && first.RecordID != d.RecordID {
			repeats[d.RecordID] = first.Hash == d.Hash
		}
	}
	if len(repeats) == 0 {
		return b.Records, nil
	}
	for i := range b.Records {
		r := &b.Records[i]
		switch same, repeated := repeats[r.ID]; {
		case !repeated:
			kept = append(kept, *r)
		case !same:
			items = append(items, spooledItem(r, mes.Errorf(mes.CodeInvalid, "%w", mes.ErrKeyReused)))
		}
	}
	return kept, items
}

// putNewKeys adds the idempotency keys that were not in the ledger before. Message ids
// are added with their records.
func (t *Tx) putNewKeys(ctx context.Context, list []journal.Delivery, before map[string]journal.Delivery, window ingest.LedgerWindow) error {
	var fresh []journal.Delivery
	added := map[string]bool{}
	for _, d := range list {
		if _, known := before[d.Key]; d.Kind == journal.DeliveryKey && !known && !added[d.Key] {
			added[d.Key] = true
			fresh = append(fresh, d)
		}
	}
	return t.store.db.putDeliveries(ctx, t, fresh, window)
}
