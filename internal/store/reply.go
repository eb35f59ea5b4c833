package store

import (
	"context"
	"database/sql/driver"
	"slices"

	"plantgate/internal/command"
	"plantgate/internal/mes"
)

// repliesAtOnce is how many replies one transaction notes: others wait for the commands
// that it holds.
const repliesAtOnce = 128

var (
	replyRows = rowsOf("id BINARY(16)", "state NVARCHAR(20)", "acknowledged_at DATETIME2(6)", "finished_at DATETIME2(6)",
		"reply_message NVARCHAR(MAX)", "reply_data NVARCHAR(MAX)")
	idRows = rowsOf("id BINARY(16)")

	// commandsToAnswer reads commands that nobody else changes until the transaction ends.
	commandsToAnswer = statement{
		sqlite: "SELECT " + commandColumns + " FROM command WHERE id = ?",
		sqlserver: `UPDATE c SET state = c.state FROM ` + idRows + ` JOIN command AS c ON c.id = j.id;
			SELECT ` + commandColumns + ` FROM command WHERE id IN (SELECT j.id FROM ` + idRows + `)`,
	}
	replyToCommands = statement{
		sqlite: `UPDATE command SET state = ?2, acknowledged_at = ?3, finished_at = ?4, reply_message = ?5, reply_data = ?6
			WHERE id = ?1`,
		sqlserver: `UPDATE c SET state = j.state, acknowledged_at = j.acknowledged_at, finished_at = j.finished_at,
				reply_message = j.reply_message, reply_data = j.reply_data
			FROM ` + replyRows + ` JOIN command AS c ON c.id = j.id`,
	}
	// withdrawAnswered removes what waits of commands: who has answered has them.
	withdrawAnswered = statement{
		sqlite:    "DELETE FROM outbox WHERE id = ?",
		sqlserver: "DELETE o FROM " + idRows + " JOIN outbox AS o ON o.id = j.id",
	}
)

// ReplyToCommands implements command.Store. What was noted before one fails stays: the
// same replies again change nothing.
func (s *Store) ReplyToCommands(ctx context.Context, replies []mes.CommandReply) ([]command.ReplyOutcome, error) {
	outcomes := make([]command.ReplyOutcome, 0, len(replies))
	for part := range slices.Chunk(replies, repliesAtOnce) {
		var of []command.ReplyOutcome
		err := s.update(ctx, synced, func(t *Tx) (err error) {
			of, err = t.replyToCommands(ctx, part)
			return err
		})
		if err != nil {
			return nil, err
		}
		outcomes = append(outcomes, of...)
	}
	return outcomes, nil
}

// replyToCommands reads, decides and writes.
func (t *Tx) replyToCommands(ctx context.Context, replies []mes.CommandReply) ([]command.ReplyOutcome, error) {
	commands, err := t.commandsToAnswer(ctx, replies)
	if err != nil {
		return nil, t.store.db.writeFault(err, "read commands")
	}
	outcomes := make([]command.ReplyOutcome, len(replies))
	var changed []*mes.Command
	for i := range replies {
		r := &replies[i]
		c := commands[r.CommandID]
		switch {
		case c == nil:
			outcomes[i] = command.ReplyUnknown
		case r.MachineID != "" && r.MachineID != c.MachineID:
			outcomes[i] = command.ReplyForeign
		case r.SiteID != "" && r.SiteID != c.SiteID:
			outcomes[i] = command.ReplyOtherSite
		case !c.Take(*r):
			outcomes[i] = command.ReplyLate
		default:
			outcomes[i] = command.ReplyTaken
			if !slices.Contains(changed, c) {
				changed = append(changed, c)
			}
		}
	}
	return outcomes, t.noteReplies(ctx, changed)
}

// commandsToAnswer are the commands that replies are to, by their ids.
func (t *Tx) commandsToAnswer(ctx context.Context, replies []mes.CommandReply) (map[mes.ID]*mes.Command, error) {
	commands := make(map[mes.ID]*mes.Command, len(replies))
	var ids [][]any
	for i := range replies {
		id := replies[i].CommandID
		if _, ok := commands[id]; !ok {
			commands[id] = nil
			ids = append(ids, []any{uuid(id)})
		}
	}
	rows, err := selectEach[commandRow](ctx, t, commandsToAnswer, ids)
	for i := range rows {
		c := rows[i].toDomain(t.store.db)
		commands[c.ID] = &c
	}
	return commands, err
}

// noteReplies keeps commands as replies have changed them, and sends nothing more of them.
func (t *Tx) noteReplies(ctx context.Context, list []*mes.Command) error {
	ids, rows := make([][]any, len(list)), make([][]any, len(list))
	for i, c := range list {
		var data driver.Value
		if c.ReplyData != nil {
			data = t.store.db.sentLong(string(c.ReplyData))
		}
		ids[i] = []any{uuid(c.ID)}
		rows[i] = []any{
			uuid(c.ID), string(c.State), timestamp{c.AcknowledgedAt}, timestamp{c.FinishedAt},
			t.store.db.sentLong(c.ReplyMessage), data,
		}
	}
	if err := t.each(ctx, withdrawAnswered, ids); err != nil {
		return t.store.db.writeFault(err, "withdraw commands")
	}
	return t.store.db.writeFault(t.each(ctx, replyToCommands, rows), "note replies")
}
