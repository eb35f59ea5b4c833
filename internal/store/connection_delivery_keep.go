package store

import (
	"context"
	"strings"

	"plantgate/internal/journal"
)

// ConnectionDeliveryKeep bounds what is kept of what came by connections under names that
// have no end: of each connection, how many deliveries there may be whose names begin alike.
// Those whose names come again (the places in the order of deliveries) are bounded by that.
type ConnectionDeliveryKeep struct {
	// Prefixes are the beginnings of names, with the number that is kept of each.
	Prefixes map[string]int
	// Every is how many deliveries are added between two looks.
	Every int

	added int
	ran   bool
}

// Forget is the step that removes the deliveries with the lowest numbers beyond those that
// are kept: once in so many that are added, since it has to look at all of them.
func (k *ConnectionDeliveryKeep) Forget(ctx context.Context, t *Tx, b *journal.Batch) error {
	for i := range b.ConnectionDeliveries {
		for prefix := range k.Prefixes {
			if strings.HasPrefix(b.ConnectionDeliveries[i].Name, prefix) {
				k.added++
			}
		}
	}
	if k.added == 0 || k.ran && k.added < k.Every {
		return nil
	}
	limit := 2 * max(k.added, k.Every) // so that it comes to an end of what is there
	k.added, k.ran = 0, true
	for prefix, keep := range k.Prefixes {
		if _, err := t.forgetConnectionDeliveries(ctx, prefix, keep, limit); err != nil {
			return err
		}
	}
	return nil
}

// ForgetConnectionDeliveries removes, of each connection, deliveries whose names begin with
// prefix beyond the newest, of which keep stay, at most limit at once, and returns how many
// it removed: for a database that no step follows commits to.
func (s *Store) ForgetConnectionDeliveries(ctx context.Context, prefix string, keep, limit int) (removed int64, err error) {
	err = s.update(ctx, synced, func(t *Tx) error {
		removed, err = t.forgetConnectionDeliveries(ctx, prefix, keep, limit)
		return err
	})
	return removed, err
}

func (t *Tx) forgetConnectionDeliveries(ctx context.Context, prefix string, keep, limit int) (int64, error) {
	n, err := t.execCount(ctx, forgetOfConnections, prefix, after(prefix), int64(keep), int64(limit))
	return n, t.store.db.writeFault(err, "forget what came by connections long ago")
}

var forgetOfConnections = statement{
	sqlite: `DELETE FROM connection_delivery WHERE (connection, name) IN (
		SELECT connection, name FROM (
			SELECT connection, name, row_number() OVER (PARTITION BY connection ORDER BY number DESC) AS place
			FROM connection_delivery WHERE name >= ? AND name < ?)
		WHERE place > ? LIMIT ?)`,
	sqlserver: `DELETE d FROM (
			SELECT TOP (@p4) connection, name FROM (
				SELECT connection, name, row_number() OVER (PARTITION BY connection ORDER BY number DESC) AS place
				FROM connection_delivery WHERE name >= @p1 AND name < @p2) AS p
			WHERE place > @p3) AS old
		JOIN connection_delivery AS d ON d.connection = old.connection AND d.name = old.name`,
}
