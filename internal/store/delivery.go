package store

import (
	"context"
	"time"

	"plantgate/internal/journal"
	"plantgate/internal/mes"
)

// deliveryRow is an entry of the delivery ledger.
type deliveryRow struct {
	Hash      digest            `db:"hash"`
	RecordID  uuid              `db:"record_id"`
	Status    mes.ReceiptStatus `db:"status"`
	ArrivedAt timestamp         `db:"arrived_at"`
}

var deliveryByName = portable(`SELECT hash, record_id, status, arrived_at FROM delivery
	WHERE kind = ? AND site_id = ? AND machine_id = ? AND [key] = ?`)

// Delivery implements journal.Index.
func (s *Store) Delivery(ctx context.Context, name journal.DeliveryName) (journal.Delivery, bool, error) {
	var rows []deliveryRow
	err := s.lookUp(ctx, &rows, deliveryByName, string(name.Kind), name.SiteID, name.MachineID, name.Key)
	if err != nil || len(rows) == 0 {
		return journal.Delivery{}, false, s.db.readFault(err, "look up a delivery")
	}
	return journal.Delivery{
		DeliveryName: name, Hash: rows[0].Hash, RecordID: mes.ID(rows[0].RecordID),
		Status: rows[0].Status, ArrivedAt: rows[0].ArrivedAt.Time,
	}, true, nil
}

// PutDeliveries is the step that keeps the delivery ledger; an entry that was too
// old to count is overwritten.
func PutDeliveries(ctx context.Context, t *Tx, b *journal.Batch) error {
	for i := range b.Deliveries {
		if err := t.putDelivery(ctx, &b.Deliveries[i]); err != nil {
			return t.store.db.writeFault(err, "keep a delivery")
		}
	}
	return nil
}

func (t *Tx) putDelivery(ctx context.Context, d *journal.Delivery) error {
	return t.exec(ctx, putDelivery, string(d.Kind), d.SiteID, d.MachineID, d.Key,
		digest(d.Hash), uuid(d.RecordID), string(d.Status), timestamp{d.ArrivedAt})
}

var putDelivery = statement{sqlite: `INSERT INTO delivery
		(kind, site_id, machine_id, key, hash, record_id, status, arrived_at)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (kind, site_id, machine_id, key) DO UPDATE SET
		hash = excluded.hash, record_id = excluded.record_id,
		status = excluded.status, arrived_at = excluded.arrived_at`}

// LedgerKeep is how long entries of the delivery ledger count.
type LedgerKeep struct{ Messages, Keys time.Duration }

// Forget is the step that removes entries that no longer count, at most two for
// each that is added: the ledger stays as large as its window without a commit
// that has much to remove.
func (k LedgerKeep) Forget(ctx context.Context, t *Tx, b *journal.Batch) error {
	added := map[journal.DeliveryKind]int{}
	var now time.Time
	for i := range b.Deliveries {
		added[b.Deliveries[i].Kind]++
		now = later(now, b.Deliveries[i].ArrivedAt)
	}
	for kind, keep := range map[journal.DeliveryKind]time.Duration{
		journal.DeliveryMessage: k.Messages, journal.DeliveryKey: k.Keys,
	} {
		if added[kind] == 0 {
			continue
		}
		err := t.exec(ctx, forgetDelivery, string(kind), timestamp{now.Add(-keep)}, 2*added[kind])
		if err != nil {
			return t.store.db.writeFault(err, "forget old deliveries")
		}
	}
	return nil
}

// ForgetDeliveries removes at most limit entries of each kind that no longer count, and
// returns how many it removed: for a database that no step follows commits to. Who had
// leases long ago is forgotten with them.
func (s *Store) ForgetDeliveries(ctx context.Context, keep LedgerKeep, now time.Time, limit int) (removed int64, err error) {
	for kind, window := range map[journal.DeliveryKind]time.Duration{
		journal.DeliveryMessage: keep.Messages, journal.DeliveryKey: keep.Keys,
	} {
		err := s.update(ctx, synced, func(t *Tx) error {
			n, err := t.execCount(ctx, forgetDelivery, string(kind), timestamp{now.Add(-window)}, int64(limit))
			removed += n
			return s.db.writeFault(err, "forget old deliveries")
		})
		if err != nil {
			return removed, err
		}
	}
	return removed, s.update(ctx, synced, func(t *Tx) error {
		return s.db.writeFault(t.exec(ctx, forgetEpochs, timestamp{now.Add(-epochsKept)}), "forget who had leases")
	})
}

// forgetDelivery removes the oldest entries of a kind.
var forgetDelivery = statement{
	sqlite: `DELETE FROM delivery
		WHERE (kind, site_id, machine_id, key) IN (
			SELECT kind, site_id, machine_id, key FROM delivery
			WHERE kind = ? AND arrived_at <= ? ORDER BY arrived_at LIMIT ?)`,
	sqlserver: "DELETE TOP (@p3) FROM delivery WHERE kind = @p1 AND arrived_at <= @p2",
}
