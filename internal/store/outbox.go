package store

import (
	"context"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/outbox"
)

const outboxColumns = "position, id, target, order_key, topic, payload, qos, retained, created_at, expires_at"

var (
	insertMessage = portable(`INSERT INTO outbox (id, target, order_key, topic, payload, qos, retained, created_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	// replaceRetained removes the values that a newer one takes the place of.
	replaceRetained = portable("DELETE FROM outbox WHERE target = ? AND order_key = ? AND topic = ? AND retained = 1")
	waitingKeys     = portable("SELECT DISTINCT order_key FROM outbox WHERE target = ?")
	nextMessages    = statement{
		sqlite:    "SELECT " + outboxColumns + " FROM outbox WHERE target = ?1 AND order_key = ?2 ORDER BY position LIMIT ?3",
		sqlserver: "SELECT TOP (@p3) " + outboxColumns + " FROM outbox WHERE target = @p1 AND order_key = @p2 ORDER BY position",
	}
	waitingOf     = portable("SELECT count(*) AS messages, min(created_at) AS oldest FROM outbox WHERE target = ?")
	deleteMessage = portable("DELETE FROM outbox WHERE position = ?")
	// withdrawMessages removes what waits of a command.
	withdrawMessages = portable("DELETE FROM outbox WHERE id = ?")
	commandSent      = portable(`UPDATE command SET sent_at = coalesce(sent_at, ?),
		state = CASE WHEN state = 'pending' THEN 'sent' ELSE state END WHERE id = ?`)
	commandExpired = portable("UPDATE command SET state = 'expired', finished_at = ? WHERE id = ? AND state = 'pending'")
)

type outboxRow struct {
	Position  int64     `db:"position"`
	ID        uuid      `db:"id"`
	Target    string    `db:"target"`
	Key       string    `db:"order_key"`
	Topic     string    `db:"topic"`
	Payload   []byte    `db:"payload"`
	QoS       int64     `db:"qos"`
	Retained  bool      `db:"retained"`
	CreatedAt timestamp `db:"created_at"`
	ExpiresAt timestamp `db:"expires_at"`
}

func (r *outboxRow) toDomain() outbox.Message {
	return outbox.Message{
		Position: r.Position, ID: mes.ID(r.ID), Target: r.Target, Key: r.Key, Topic: r.Topic, Payload: r.Payload,
		QoS: byte(r.QoS), Retained: r.Retained, CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time,
	}
}

// EnqueueMessages puts messages into the outbox, all or none, in their order.
func (s *Store) EnqueueMessages(ctx context.Context, list []outbox.Message) error {
	return s.update(ctx, synced, func(t *Tx) error {
		for i := range list {
			if err := t.putMessage(ctx, &list[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// putMessage puts a message into the outbox with whatever else the transaction does.
func (t *Tx) putMessage(ctx context.Context, m *outbox.Message) error {
	if m.Retained {
		if err := t.exec(ctx, replaceRetained, m.Target, m.Key, m.Topic); err != nil {
			return t.store.db.writeFault(err, "replace a retained message")
		}
	}
	err := t.exec(ctx, insertMessage, uuid(m.ID), m.Target, m.Key, m.Topic, bytesOf(m.Payload),
		int64(m.QoS), m.Retained, timestamp{m.CreatedAt}, timestamp{m.ExpiresAt})
	return t.store.db.writeFault(err, "put a message into the outbox")
}

// WaitingKeys implements outbox.Store.
func (s *Store) WaitingKeys(ctx context.Context, target string) ([]string, error) {
	var keys []string
	err := s.selectRows(ctx, &keys, waitingKeys, target)
	return keys, s.db.readFault(err, "look into the outbox")
}

// NextMessages implements outbox.Store.
func (s *Store) NextMessages(ctx context.Context, target, key string, limit int) ([]outbox.Message, error) {
	var rows []outboxRow
	if err := s.selectRows(ctx, &rows, nextMessages, target, key, limit); err != nil {
		return nil, s.db.readFault(err, "read the outbox")
	}
	list := make([]outbox.Message, len(rows))
	for i := range rows {
		list[i] = rows[i].toDomain()
	}
	return list, nil
}

// WaitingOf tells what waits for a target.
func (s *Store) WaitingOf(ctx context.Context, target string) (outbox.Waiting, error) {
	var row struct {
		Messages int64     `db:"messages"`
		Oldest   timestamp `db:"oldest"`
	}
	err := s.getRow(ctx, &row, waitingOf, target)
	return outbox.Waiting{Messages: row.Messages, Oldest: row.Oldest.Time}, s.db.readFault(err, "count the outbox")
}

// MessageSent implements outbox.Store.
func (s *Store) MessageSent(ctx context.Context, m outbox.Message, at time.Time, owner *mes.Ownership) error {
	return s.settle(ctx, m, at, owner, commandSent)
}

// MessageExpired implements outbox.Store.
func (s *Store) MessageExpired(ctx context.Context, m outbox.Message, at time.Time, owner *mes.Ownership) error {
	return s.settle(ctx, m, at, owner, commandExpired)
}

// settle removes a message and tells the command that it was for, if it was for one.
func (s *Store) settle(ctx context.Context, m outbox.Message, at time.Time, owner *mes.Ownership, tell statement) error {
	return s.update(ctx, synced, func(t *Tx) error {
		if owner != nil {
			if err := t.prove(ctx, *owner); err != nil {
				return err
			}
		}
		if err := t.exec(ctx, deleteMessage, m.Position); err != nil {
			return s.db.writeFault(err, "remove a message from the outbox")
		}
		return s.db.writeFault(t.exec(ctx, tell, timestamp{at}, uuid(m.ID)), "note what became of a command")
	})
}
