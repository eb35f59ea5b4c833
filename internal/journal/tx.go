package journal

import (
	"context"
	"slices"
	"strings"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// tx is one commit of ingest. It implements ingest.Tx: it tells what is new, and
// writes the frame. What it takes is pending at once; commits take turns, so that
// nobody else looks before it is durable or undone.
type tx struct {
	j       *Journal
	number  uint64 // of the commit, in this process
	frame   []byte
	entries int
	// What it added, to be undone if it fails.
	records              []mes.ID
	deliveries           []Delivery
	connectionDeliveries []movedConnectionDelivery
	items                []mes.ID
	resolved             []mes.QuarantineItem
	moved                []movedUnit
}

// movedConnectionDelivery is a delivery that was added, and the one that it replaced, if any.
type movedConnectionDelivery struct{ made, before mes.Delivery }

// movedUnit is a unit whose newest time changed, and what it was.
type movedUnit struct {
	unit   *unit
	before int64
}

func (t *tx) undo() {
	for _, m := range slices.Backward(t.moved) {
		m.unit.newest = m.before
	}
	t.j.mu.Lock()
	defer t.j.mu.Unlock()
	for _, id := range t.records {
		delete(t.j.pending.records, id)
	}
	for _, id := range t.items {
		delete(t.j.pending.items, id)
	}
	t.j.pending.forget(t.deliveries, t.resolved)
	for _, m := range slices.Backward(t.connectionDeliveries) {
		t.j.pending.forgetConnectionDeliveries([]mes.Delivery{m.made})
		if m.before.Connection != "" {
			t.j.pending.addConnectionDelivery(m.before)
		}
	}
}

// Last implements ingest.Tx.
func (t *tx) Last() {}

// Prove implements ingest.Tx: what is here can't know it, and keeps the right with the
// records.
func (t *tx) Prove(context.Context, []mes.Ownership) error { return nil }

// AppendRecords implements ingest.Tx.
func (t *tx) AppendRecords(ctx context.Context, records []mes.Record, window ingest.LedgerWindow) ([]mes.Receipt, error) {
	ctx = context.WithoutCancel(ctx) // a caller that gave up must not fail the group
	receipts := make([]mes.Receipt, len(records))
	for i := range records {
		receipt, err := t.appendRecord(ctx, &records[i], window)
		if err != nil {
			return nil, err
		}
		receipts[i] = receipt
	}
	return receipts, nil
}

func (t *tx) appendRecord(ctx context.Context, r *mes.Record, window ingest.LedgerWindow) (mes.Receipt, error) {
	if r.Idempotency == nil {
		return t.appendUnkeyed(ctx, r, window)
	}
	name := DeliveryName{Kind: DeliveryKey, Key: r.Idempotency.Key}
	first, found, err := t.delivery(ctx, name)
	switch {
	case err != nil:
		return mes.Receipt{}, err
	case found && first.ArrivedAt.After(window.KeysSince) && first.Hash != r.Idempotency.Body:
		return mes.Receipt{Status: mes.ReceiptRejected, Fault: mes.Errorf(mes.CodeInvalid, "%w", mes.ErrKeyReused)}, nil
	case found && first.ArrivedAt.After(window.KeysSince):
		return mes.Receipt{Status: first.Status, ID: first.RecordID, Repeated: true}, nil
	}
	receipt, err := t.appendUnkeyed(ctx, r, window)
	if err == nil && receipt.Fault == nil {
		t.deliver(name, r.Idempotency.Body, receipt, window)
	}
	return receipt, err
}

// appendUnkeyed does what a record without an idempotency key needs.
func (t *tx) appendUnkeyed(ctx context.Context, r *mes.Record, window ingest.LedgerWindow) (mes.Receipt, error) {
	if r.MessageID != "" {
		receipt, found, err := t.firstMessage(ctx, r, window)
		if found || err != nil {
			return receipt, err
		}
	}
	receipt, err := t.appendNew(ctx, r)
	if err == nil && receipt.Fault == nil && r.MessageID != "" {
		t.deliver(messageName(r), r.ContentHash(), receipt, window)
	}
	return receipt, err
}

func messageName(r *mes.Record) DeliveryName {
	return DeliveryName{Kind: DeliveryMessage, SiteID: r.SiteID, MachineID: r.MachineID, Key: r.MessageID}
}

// firstMessage looks up the record's message id.
func (t *tx) firstMessage(ctx context.Context, r *mes.Record, window ingest.LedgerWindow) (mes.Receipt, bool, error) {
	first, found, err := t.delivery(ctx, messageName(r))
	if err != nil || !found || !first.ArrivedAt.After(window.MessagesSince) {
		return mes.Receipt{}, false, err
	}
	if !r.HasContent(first.Hash) {
		return messageConflict(r.MessageID), true, nil
	}
	return mes.Receipt{Status: mes.ReceiptDuplicate, ID: first.RecordID}, true, nil
}

func messageConflict(messageID string) mes.Receipt {
	return mes.Receipt{Status: mes.ReceiptRejected, Fault: mes.Errorf(mes.CodeConflict,
		"message_id %q came before with other content", messageID)}
}

// appendNew takes the record unless its id, or that of the other reading of its
// time, is there.
func (t *tx) appendNew(ctx context.Context, r *mes.Record) (mes.Receipt, error) {
	u, err := t.j.unit(ctx, r.SiteID, r.MachineID)
	if err != nil {
		return mes.Receipt{}, err
	}
	u.enter(t.number)
	if !isNewer(r, u.newest) {
		inStore := !isNewer(r, u.before)
		if alternative, ok := r.AltID(); ok {
			other := r.Position()
			other.Time, other.ID = r.AltTime, alternative
			known, err := t.has(ctx, r, other, inStore)
			if known || err != nil {
				return mes.Receipt{Status: mes.ReceiptDuplicate, ID: alternative}, err
			}
		}
		known, err := t.has(ctx, r, r.Position(), inStore)
		if err != nil {
			return mes.Receipt{}, err
		}
		if known {
			return t.knownRecord(ctx, r)
		}
	}
	t.frame = appendRecord(t.frame, r)
	t.entries++
	t.records = append(t.records, r.ID)
	t.j.mu.Lock()
	t.j.pending.records[r.ID] = struct{}{}
	t.j.mu.Unlock()
	if at := r.Time.UnixMicro(); at > u.newest {
		t.moved = append(t.moved, movedUnit{u, u.newest})
		u.newest = at
	}
	return mes.Receipt{Status: mes.ReceiptCreated, ID: r.ID}, nil
}

// isNewer tells whether the record is newer than the newest of some of its work unit, in
// which case none of these has its id: ids begin with the time in milliseconds, and
// those without a message id are made of the whole time.
func isNewer(r *mes.Record, newest int64) bool {
	if newest == noRecord {
		return true
	}
	at := r.Time.UnixMicro()
	if !r.AltTime.IsZero() {
		at = min(at, r.AltTime.UnixMicro())
	}
	if r.MessageID != "" {
		return at/1000 > newest/1000
	}
	return at > newest
}

// knownRecord answers a record whose id is there. The id of a message id says
// nothing of the content, which has to be compared once the ledger has forgotten it.
func (t *tx) knownRecord(ctx context.Context, r *mes.Record) (mes.Receipt, error) {
	if r.MessageID != "" {
		same, err := t.hasContent(ctx, r)
		if err != nil {
			return mes.Receipt{}, err
		}
		if !same {
			return messageConflict(r.MessageID), nil
		}
	}
	return mes.Receipt{Status: mes.ReceiptDuplicate, ID: r.ID}, nil
}

// hasContent compares the record with the one of its id: by the ledger, unless its
// message id was used for another since.
func (t *tx) hasContent(ctx context.Context, r *mes.Record) (bool, error) {
	if first, found, err := t.delivery(ctx, messageName(r)); err != nil || found && first.RecordID == r.ID {
		return found && r.HasContent(first.Hash), err
	}
	first, err := t.j.index.Record(ctx, r.ID)
	if err != nil {
		return false, err
	}
	return first.ContentHash() == r.ContentHash(), nil
}

// has looks for a record: in the log, then in the store, the way that records go, if it
// can be there. Of a message with very many records of one time only the first can.
func (t *tx) has(ctx context.Context, r *mes.Record, p mes.Position, inStore bool) (bool, error) {
	t.j.mu.Lock()
	_, ok := t.j.pending.records[p.ID]
	t.j.mu.Unlock()
	if ok || !inStore {
		return ok, nil
	}
	return t.j.index.HasRecord(ctx, r.SiteID, r.MachineID, p, r.MessageID == "")
}

func (t *tx) delivery(ctx context.Context, name DeliveryName) (Delivery, bool, error) {
	t.j.mu.Lock()
	d, ok := t.j.pending.deliveries[name]
	t.j.mu.Unlock()
	if ok {
		return d, true, nil
	}
	return t.j.index.Delivery(ctx, name)
}

func (t *tx) deliver(name DeliveryName, hash [32]byte, receipt mes.Receipt, window ingest.LedgerWindow) {
	// The texts are parts of whole messages, which would stay in memory with them.
	name.SiteID, name.MachineID, name.Key = strings.Clone(name.SiteID), strings.Clone(name.MachineID), strings.Clone(name.Key)
	d := Delivery{DeliveryName: name, Hash: hash, RecordID: receipt.ID, Status: receipt.Status, ArrivedAt: window.Now}
	t.frame = appendDelivery(t.frame, &d)
	t.entries++
	t.deliveries = append(t.deliveries, d)
	t.j.mu.Lock()
	t.j.pending.deliveries[name] = d
	t.j.mu.Unlock()
}

// AppendDeliveries implements ingest.Tx.
func (t *tx) AppendDeliveries(_ context.Context, list []mes.Delivery) error {
	t.j.mu.Lock()
	defer t.j.mu.Unlock()
	for i := range list {
		t.frame = appendConnectionDelivery(t.frame, &list[i])
		t.connectionDeliveries = append(t.connectionDeliveries, movedConnectionDelivery{list[i], t.j.pending.addConnectionDelivery(list[i])})
	}
	t.entries += len(list)
	return nil
}

// AppendQuarantine implements ingest.Tx.
func (t *tx) AppendQuarantine(_ context.Context, items []mes.QuarantineItem) error {
	for i := range items {
		t.frame = appendItem(t.frame, entryItem, &items[i])
	}
	t.entries += len(items)
	t.j.mu.Lock()
	defer t.j.mu.Unlock()
	for i := range items {
		t.j.pending.items[items[i].ID] = struct{}{}
		t.items = append(t.items, items[i].ID)
	}
	return nil
}

// ResolveQuarantine implements ingest.Tx: of several that resolve an item at
// once, the first wins.
func (t *tx) ResolveQuarantine(ctx context.Context, item mes.QuarantineItem) error {
	open, err := t.isOpen(context.WithoutCancel(ctx), item.ID)
	if err != nil {
		return err
	}
	if !open {
		return mes.Errorf(mes.CodeConflict, "the quarantined item %s is not open", item.ID)
	}
	t.frame = appendItem(t.frame, entryResolved, &item)
	t.entries++
	t.resolved = append(t.resolved, item)
	t.j.mu.Lock()
	t.j.pending.resolved[item.ID] = struct{}{}
	t.j.mu.Unlock()
	return nil
}

func (t *tx) isOpen(ctx context.Context, id mes.ID) (bool, error) {
	t.j.mu.Lock()
	_, resolved := t.j.pending.resolved[id]
	_, open := t.j.pending.items[id]
	t.j.mu.Unlock()
	if resolved || open {
		return !resolved, nil
	}
	state, err := t.j.index.QuarantineState(ctx, id)
	return state == mes.QuarantineOpen, err
}
