package store

import (
	"context"
	"slices"
	"strings"

	"plantgate/internal/mes"
)

// birthRow is what an edge node or a device of Sparkplug B said at its birth.
type birthRow struct {
	Name       string    `db:"name"`
	Payload    []byte    `db:"payload"`
	ReceivedAt timestamp `db:"received_at"`
}

var (
	birthsOfConnection = portable("SELECT name, payload, received_at FROM sparkplug_birth WHERE connection = ?")
	replaceBirth       = portable("UPDATE sparkplug_birth SET payload = ?, received_at = ? WHERE connection = ? AND name = ?")
	insertBirth        = portable("INSERT INTO sparkplug_birth (connection, name, payload, received_at) VALUES (?, ?, ?, ?)")
	dropBirth          = portable("DELETE FROM sparkplug_birth WHERE connection = ? AND name = ?")
)

// SparkplugBirths are the births of a connection, in the order of their addresses.
func (s *Store) SparkplugBirths(ctx context.Context, connection string) ([]mes.SparkplugBirth, error) {
	var rows []birthRow
	if err := s.selectRows(ctx, &rows, birthsOfConnection, connection); err != nil {
		return nil, s.db.readFault(err, "read births of Sparkplug")
	}
	list := make([]mes.SparkplugBirth, len(rows))
	for i, r := range rows {
		list[i] = mes.SparkplugBirth{Address: s.db.ofKey(r.Name), Payload: r.Payload, ReceivedAt: r.ReceivedAt.Time}
	}
	slices.SortFunc(list, func(a, b mes.SparkplugBirth) int { return strings.Compare(a.Address, b.Address) })
	return list, nil
}

// ChangeSparkplugBirths keeps and forgets births of a connection, both or neither.
func (s *Store) ChangeSparkplugBirths(ctx context.Context, connection string, change mes.SparkplugChange) error {
	return s.update(ctx, synced, func(t *Tx) error {
		for _, address := range change.Drop {
			if err := t.exec(ctx, dropBirth, connection, s.db.asKey(address)); err != nil {
				return s.db.writeFault(err, "forget a birth of Sparkplug")
			}
		}
		if change.Put == nil {
			return nil
		}
		return s.db.writeFault(t.putBirth(ctx, connection, change.Put), "keep a birth of Sparkplug")
	})
}

func (t *Tx) putBirth(ctx context.Context, connection string, b *mes.SparkplugBirth) error {
	name, payload, at := t.store.db.asKey(b.Address), nonNil(b.Payload), timestamp{mes.Micros(b.ReceivedAt)}
	n, err := t.execCount(ctx, replaceBirth, payload, at, connection, name)
	if err != nil || n > 0 {
		return err
	}
	return t.exec(ctx, insertBirth, connection, name, payload, at)
}

// nonNil is an empty text of bytes for none: the column takes no NULL.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
