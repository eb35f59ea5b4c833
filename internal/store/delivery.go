package store

import (
	"context"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// The kinds of entries in the delivery ledger.
const (
	deliveryMessage = "message"
	deliveryKey     = "key"
)

// deliveryRow is an entry of the delivery ledger: what first arrived under a
// message id of a machine, or under an idempotency key (site and machine empty).
type deliveryRow struct {
	Kind      string            `db:"kind"`
	SiteID    string            `db:"site_id"`
	MachineID string            `db:"machine_id"`
	Key       string            `db:"key"`
	Hash      digest            `db:"hash"`
	RecordID  uuid              `db:"record_id"`
	Status    mes.ReceiptStatus `db:"status"`
	ArrivedAt timestamp         `db:"arrived_at"`
}

// ledgerCount is how many entries of each kind a call has added.
type ledgerCount struct{ messages, keys int }

// firstAnswer looks up an idempotency key and returns the first receipt again.
func (t *tx) firstAnswer(ctx context.Context, key *mes.Idempotency, window ingest.LedgerWindow) (mes.Receipt, bool, error) {
	row := deliveryRow{Kind: deliveryKey, Key: key.Key}
	found, err := t.getDelivery(ctx, &row, window.KeysSince)
	if !found || err != nil {
		return mes.Receipt{}, false, err
	}
	if row.Hash != key.Body {
		return mes.Receipt{Status: mes.ReceiptRejected, Fault: mes.Errorf(mes.CodeInvalid, "%w", mes.ErrKeyReused)}, true, nil
	}
	return mes.Receipt{Status: row.Status, ID: mes.ID(row.RecordID), Repeated: true}, true, nil
}

// firstMessage looks up the record's message id.
func (t *tx) firstMessage(ctx context.Context, r *mes.Record, window ingest.LedgerWindow) (mes.Receipt, bool, error) {
	row := deliveryRow{Kind: deliveryMessage, SiteID: r.SiteID, MachineID: r.MachineID, Key: r.MessageID}
	found, err := t.getDelivery(ctx, &row, window.MessagesSince)
	if !found || err != nil {
		return mes.Receipt{}, false, err
	}
	if !r.HasContent(row.Hash) {
		return messageConflict(r.MessageID), true, nil
	}
	return mes.Receipt{Status: mes.ReceiptDuplicate, ID: mes.ID(row.RecordID)}, true, nil
}

func messageConflict(messageID string) mes.Receipt {
	return mes.Receipt{Status: mes.ReceiptRejected, Fault: mes.Errorf(mes.CodeConflict,
		"message_id %q came before with other content", messageID)}
}

// getDelivery fills row by its key, if it arrived after since.
func (t *tx) getDelivery(ctx context.Context, row *deliveryRow, since time.Time) (bool, error) {
	return t.writer.get(ctx, row, `SELECT kind, site_id, machine_id, key, hash, record_id, status, arrived_at
		FROM delivery
		WHERE kind = ? AND site_id = ? AND machine_id = ? AND key = ? AND arrived_at > ?`,
		row.Kind, row.SiteID, row.MachineID, row.Key, since.UnixMicro())
}

// putDelivery adds an entry; one that was too old to count is overwritten.
func (t *tx) putDelivery(ctx context.Context, row deliveryRow) error {
	return t.writer.exec(ctx, `INSERT INTO delivery
			(kind, site_id, machine_id, key, hash, record_id, status, arrived_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (kind, site_id, machine_id, key) DO UPDATE SET
			hash = excluded.hash, record_id = excluded.record_id,
			status = excluded.status, arrived_at = excluded.arrived_at`,
		row.Kind, row.SiteID, row.MachineID, row.Key, row.Hash, row.RecordID, string(row.Status), row.ArrivedAt)
}

// forgetDeliveries removes entries that no longer count, at most two for each
// that was added: the ledger stays as large as its window without a commit that
// has much to remove.
func (t *tx) forgetDeliveries(ctx context.Context, window ingest.LedgerWindow, added ledgerCount) error {
	if err := t.forget(ctx, deliveryMessage, window.MessagesSince, 2*added.messages); err != nil {
		return err
	}
	return t.forget(ctx, deliveryKey, window.KeysSince, 2*added.keys)
}

const forgetDelivery = `DELETE FROM delivery
	WHERE (kind, site_id, machine_id, key) IN (
		SELECT kind, site_id, machine_id, key FROM delivery
		WHERE kind = ? AND arrived_at <= ? ORDER BY arrived_at LIMIT ?)`

func (t *tx) forget(ctx context.Context, kind string, since time.Time, limit int) error {
	if limit == 0 {
		return nil
	}
	return t.writer.exec(ctx, forgetDelivery,
		kind, since.UnixMicro(), limit)
}
