package store

import (
	"context"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// AppendRecords implements ingest.Tx. Everything that it looks up has a unique
// index, so that the cost of a record does not grow with the store.
func (t *tx) AppendRecords(ctx context.Context, records []mes.Record, window ingest.LedgerWindow) ([]mes.Receipt, error) {
	ctx = context.WithoutCancel(ctx) // an interrupted statement would undo the whole group
	receipts := make([]mes.Receipt, len(records))
	var kept ledgerCount
	for i := range records {
		receipt, err := t.appendRecord(ctx, &records[i], window, &kept)
		if err != nil {
			return nil, t.store.writeError(err, "append a record")
		}
		receipts[i] = receipt
	}
	if err := t.forgetDeliveries(ctx, window, kept); err != nil {
		return nil, t.store.writeError(err, "forget old deliveries")
	}
	return receipts, nil
}

func (t *tx) appendRecord(ctx context.Context, r *mes.Record, window ingest.LedgerWindow, kept *ledgerCount) (mes.Receipt, error) {
	if r.Idempotency != nil {
		receipt, found, err := t.firstAnswer(ctx, r.Idempotency, window)
		if found || err != nil {
			return receipt, err
		}
	}
	receipt, err := t.appendUnkeyed(ctx, r, window, kept)
	if err != nil || r.Idempotency == nil || receipt.Fault != nil {
		return receipt, err
	}
	kept.keys++
	return receipt, t.putDelivery(ctx, deliveryRow{
		Kind: deliveryKey, Key: r.Idempotency.Key, Hash: r.Idempotency.Body,
		RecordID: uuid(receipt.ID), Status: receipt.Status, ArrivedAt: timestamp{window.Now},
	})
}

// appendUnkeyed does what a record without an idempotency key needs.
func (t *tx) appendUnkeyed(ctx context.Context, r *mes.Record, window ingest.LedgerWindow, kept *ledgerCount) (mes.Receipt, error) {
	if r.MessageID != "" {
		receipt, found, err := t.firstMessage(ctx, r, window)
		if found || err != nil {
			return receipt, err
		}
	}
	if alternative, ok := r.AltID(); ok {
		found, err := t.hasRecord(ctx, alternative)
		if err != nil {
			return mes.Receipt{}, err
		}
		if found {
			return mes.Receipt{Status: mes.ReceiptDuplicate, ID: alternative}, nil
		}
	}
	created, err := t.insertRecord(ctx, r)
	if err != nil {
		return mes.Receipt{}, err
	}
	receipt := mes.Receipt{Status: mes.ReceiptCreated, ID: r.ID}
	if !created {
		if receipt, err = t.knownRecord(ctx, r); err != nil {
			return mes.Receipt{}, err
		}
	}
	if r.MessageID == "" || receipt.Fault != nil {
		return receipt, nil
	}
	kept.messages++
	return receipt, t.putDelivery(ctx, deliveryRow{
		Kind: deliveryMessage, SiteID: r.SiteID, MachineID: r.MachineID, Key: r.MessageID,
		Hash: r.ContentHash(), RecordID: uuid(receipt.ID), Status: receipt.Status,
		ArrivedAt: timestamp{window.Now},
	})
}

// knownRecord answers a record whose id is there. The id of a message id says
// nothing of the content, which has to be compared once the ledger has
// forgotten it.
func (t *tx) knownRecord(ctx context.Context, r *mes.Record) (mes.Receipt, error) {
	receipt := mes.Receipt{Status: mes.ReceiptDuplicate, ID: r.ID}
	if r.MessageID == "" {
		return receipt, nil
	}
	var row recordRow
	if _, err := t.writer.get(ctx, &row, "SELECT "+recordColumns+" FROM record WHERE id = ?", uuid(r.ID)); err != nil {
		return mes.Receipt{}, err
	}
	first := row.toDomain()
	if first.ContentHash() != r.ContentHash() {
		return messageConflict(r.MessageID), nil
	}
	return receipt, nil
}

func (t *tx) hasRecord(ctx context.Context, id mes.ID) (bool, error) {
	var one int
	return t.writer.get(ctx, &one, "SELECT 1 FROM record WHERE id = ?", uuid(id))
}

// insertRecord stores the record unless its id is there, and tells whether it did.
func (t *tx) insertRecord(ctx context.Context, r *mes.Record) (bool, error) {
	given, sequence := sequenceColumns(r.Sequence)
	n, err := t.writer.execCount(ctx, `INSERT INTO record (`+recordColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO NOTHING`,
		uuid(r.ID), r.SiteID, r.MachineID, string(r.DataType), timestamp{r.Time}, given, sequence,
		string(r.TimeOrigin), timestamp{r.ServerTime}, timestamp{r.ReceivedAt}, string(r.Status),
		int64(r.StatusCode), r.MessageID, r.Snapshot, list[mes.Flag](r.Flags),
		string(r.Origin.Door), r.Origin.Connection, r.Origin.Address, r.Origin.Format,
		signals(r.Signals), payload(r.Payload))
	return n == 1, err
}

// payload keeps the difference between none and empty.
func payload(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}
