package store

import (
	"context"
	"database/sql"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/outbox"
)

const commandColumns = `id, site_id, machine_id, name, parameters, created_at, expires_at, created_by,
	state, sent_at, acknowledged_at, finished_at, reply_message, reply_data`

var (
	commandByID   = portable("SELECT " + commandColumns + " FROM command WHERE id = ?")
	insertCommand = portable("INSERT INTO command (" + commandColumns + `)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM command WHERE id = ?)`)
	cancelCommand = portable("UPDATE command SET state = 'cancelled', finished_at = ? WHERE id = ? AND state = 'pending'")

	requestByKey   = portable("SELECT hash, resource_id FROM request WHERE request_key = ? AND created_at >= ?")
	insertRequest  = portable("INSERT INTO request (request_key, hash, resource_id, created_at) VALUES (?, ?, ?, ?)")
	forgetRequests = portable("DELETE FROM request WHERE created_at < ?")
)

// requestsKept is how long an idempotency key counts.
const requestsKept = 24 * time.Hour

type commandRow struct {
	ID             uuid             `db:"id"`
	SiteID         string           `db:"site_id"`
	MachineID      string           `db:"machine_id"`
	Name           string           `db:"name"`
	Parameters     string           `db:"parameters"`
	CreatedAt      timestamp        `db:"created_at"`
	ExpiresAt      timestamp        `db:"expires_at"`
	CreatedBy      string           `db:"created_by"`
	State          mes.CommandState `db:"state"`
	SentAt         timestamp        `db:"sent_at"`
	AcknowledgedAt timestamp        `db:"acknowledged_at"`
	FinishedAt     timestamp        `db:"finished_at"`
	ReplyMessage   string           `db:"reply_message"`
	ReplyData      sql.NullString   `db:"reply_data"`
}

func (r *commandRow) toDomain(db database) mes.Command {
	c := mes.Command{
		ID: mes.ID(r.ID), SiteID: r.SiteID, MachineID: r.MachineID, Name: r.Name, Parameters: []byte(r.Parameters),
		CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time, CreatedBy: r.CreatedBy,
		State: r.State, SentAt: r.SentAt.Time, AcknowledgedAt: r.AcknowledgedAt.Time, FinishedAt: r.FinishedAt.Time,
		ReplyMessage: db.meant(r.ReplyMessage),
	}
	if r.ReplyData.Valid {
		c.ReplyData = []byte(r.ReplyData.String)
	}
	return c
}

// Command returns a command, or an error of CodeNotFound.
func (s *Store) Command(ctx context.Context, id mes.ID) (mes.Command, error) {
	var rows []commandRow
	if err := s.selectRows(ctx, &rows, commandByID, uuid(id)); err != nil {
		return mes.Command{}, s.db.readFault(err, "read a command")
	}
	if len(rows) == 0 {
		return mes.Command{}, noCommand(id)
	}
	return rows[0].toDomain(s.db), nil
}

func noCommand(id mes.ID) error {
	return mes.Errorf(mes.CodeNotFound, "there is no command %s", id)
}

// Commands lists the commands of a machine, the newest first.
func (s *Store) Commands(ctx context.Context, f mes.CommandFilter) ([]mes.Command, error) {
	q := s.commandQuery(f)
	var rows []commandRow
	if err := s.selectRows(ctx, &rows, q.statement(), q.args...); err != nil {
		return nil, s.db.readFault(err, "list commands")
	}
	list := make([]mes.Command, len(rows))
	for i := range rows {
		list[i] = rows[i].toDomain(s.db)
	}
	return list, nil
}

func (s *Store) commandQuery(f mes.CommandFilter) *query {
	q := s.newQuery("SELECT " + commandColumns + " FROM command")
	q.where("site_id = ?", f.SiteID)
	q.where("machine_id = ?", f.MachineID)
	q.equal("state", string(f.State))
	if !f.Before.IsZero() {
		q.where("id < ?", uuid(f.Before))
	}
	q.order("id DESC")
	q.limit(f.Limit)
	return q
}

// CreateCommand implements command.Store.
func (s *Store) CreateCommand(ctx context.Context, c mes.Command, m outbox.Message, key *mes.Idempotency) (id mes.ID, err error) {
	err = s.update(ctx, synced, func(t *Tx) error {
		if id, err = t.answered(ctx, key, c.CreatedAt); err != nil || !id.IsZero() {
			return err
		}
		id = c.ID
		made, err := t.insertCommand(ctx, &c)
		if err != nil || !made { // it is there already where the answer to a commit was lost
			return err
		}
		if err := t.putMessage(ctx, &m); err != nil {
			return err
		}
		return t.noteAnswer(ctx, key, c.ID, c.CreatedAt)
	})
	return id, err
}

type requestRow struct {
	Hash       digest `db:"hash"`
	ResourceID uuid   `db:"resource_id"`
}

// made is what the request made, if it is the one with that hash.
func (r *requestRow) made(hash [32]byte) (mes.ID, error) {
	if r.Hash != digest(hash) {
		return mes.ID{}, mes.Errorf(mes.CodeInvalid, "%w", mes.ErrKeyReused)
	}
	return mes.ID(r.ResourceID), nil
}

// MadeByRequest implements command.Store.
func (s *Store) MadeByRequest(ctx context.Context, key mes.Idempotency, now time.Time) (mes.ID, error) {
	var rows []requestRow
	err := s.selectRows(ctx, &rows, requestByKey, s.db.asKey(key.Key), timestamp{now.Add(-requestsKept)})
	if err != nil || len(rows) == 0 {
		return mes.ID{}, s.db.readFault(err, "look for a request")
	}
	return rows[0].made(key.Body)
}

// answered is MadeByRequest in a transaction that makes what was not made yet. No key has
// made anything.
func (t *Tx) answered(ctx context.Context, key *mes.Idempotency, now time.Time) (mes.ID, error) {
	if key == nil {
		return mes.ID{}, nil
	}
	since := timestamp{now.Add(-requestsKept)}
	if err := t.exec(ctx, forgetRequests, since); err != nil {
		return mes.ID{}, t.store.db.writeFault(err, "forget old requests")
	}
	var row requestRow
	found, err := t.get(ctx, &row, requestByKey, t.store.db.asKey(key.Key), since)
	if err != nil || !found {
		return mes.ID{}, t.store.db.writeFault(err, "look for a request")
	}
	return row.made(key.Body)
}

func (t *Tx) noteAnswer(ctx context.Context, key *mes.Idempotency, id mes.ID, now time.Time) error {
	if key == nil {
		return nil
	}
	err := t.exec(ctx, insertRequest, t.store.db.asKey(key.Key), digest(key.Body), uuid(id), timestamp{now})
	return t.store.db.writeFault(err, "note a request")
}

func (t *Tx) insertCommand(ctx context.Context, c *mes.Command) (bool, error) {
	n, err := t.execCount(ctx, insertCommand,
		uuid(c.ID), c.SiteID, c.MachineID, c.Name, string(c.Parameters), timestamp{c.CreatedAt}, timestamp{c.ExpiresAt}, c.CreatedBy,
		string(c.State), timestamp{c.SentAt}, timestamp{c.AcknowledgedAt}, timestamp{c.FinishedAt},
		t.store.db.sent(c.ReplyMessage), jsonOrNull(c.ReplyData), uuid(c.ID))
	return n == 1, t.store.db.writeFault(err, "create a command")
}

func jsonOrNull(b []byte) sql.NullString { return sql.NullString{String: string(b), Valid: b != nil} }

// CancelCommand implements command.Store.
func (s *Store) CancelCommand(ctx context.Context, id mes.ID, at time.Time) error {
	return s.update(ctx, synced, func(t *Tx) error {
		if err := t.exec(ctx, withdrawMessages, uuid(id)); err != nil {
			return s.db.writeFault(err, "withdraw a command")
		}
		n, err := t.execCount(ctx, cancelCommand, timestamp{at}, uuid(id))
		if err != nil || n == 1 {
			return s.db.writeFault(err, "cancel a command")
		}
		var row commandRow
		found, err := t.get(ctx, &row, commandByID, uuid(id))
		switch {
		case err != nil:
			return s.db.writeFault(err, "read a command")
		case !found:
			return noCommand(id)
		case row.State == mes.CommandCancelled:
			return nil
		}
		return mes.Errorf(mes.CodeConflict, "the command is %s: only a pending one can be cancelled", row.State)
	})
}
