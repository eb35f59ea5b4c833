package store

import (
	"context"
	"time"

	"plantgate/internal/mes"
)

const auditColumns = `id, action, connection, state, created_at, finished_at, created_by, reason, detail, request, result`

var (
	auditByID   = portable("SELECT " + auditColumns + " FROM audit WHERE id = ?")
	insertAudit = portable("INSERT INTO audit (" + auditColumns + `)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM audit WHERE id = ?)`)
	finishAudit = portable("UPDATE audit SET state = ?, finished_at = ?, detail = ?, result = ? WHERE id = ? AND state = 'pending'")
)

type auditRow struct {
	ID         uuid           `db:"id"`
	Action     string         `db:"action"`
	Connection string         `db:"connection"`
	State      mes.AuditState `db:"state"`
	CreatedAt  timestamp      `db:"created_at"`
	FinishedAt timestamp      `db:"finished_at"`
	CreatedBy  string         `db:"created_by"`
	Reason     string         `db:"reason"`
	Detail     string         `db:"detail"`
	Request    string         `db:"request"`
	Result     string         `db:"result"`
}

func (r *auditRow) toDomain(db database) mes.AuditEntry {
	e := mes.AuditEntry{
		ID: mes.ID(r.ID), Action: r.Action, Connection: r.Connection, State: r.State,
		CreatedAt: r.CreatedAt.Time, FinishedAt: r.FinishedAt.Time, CreatedBy: r.CreatedBy,
		Reason: db.meant(r.Reason), Detail: db.meant(r.Detail),
	}
	if r.Request != "" {
		e.Request = []byte(r.Request)
	}
	if r.Result != "" {
		e.Result = []byte(r.Result)
	}
	return e
}

// AuditEntry returns an entry, or an error of CodeNotFound.
func (s *Store) AuditEntry(ctx context.Context, id mes.ID) (mes.AuditEntry, error) {
	var rows []auditRow
	if err := s.selectRows(ctx, &rows, auditByID, uuid(id)); err != nil {
		return mes.AuditEntry{}, s.db.readFault(err, "read an audit entry")
	}
	if len(rows) == 0 {
		return mes.AuditEntry{}, mes.Errorf(mes.CodeNotFound, "there is no audit entry %s", id)
	}
	return rows[0].toDomain(s.db), nil
}

// AuditEntries lists what people did to the floor, the newest first.
func (s *Store) AuditEntries(ctx context.Context, f mes.AuditFilter) ([]mes.AuditEntry, error) {
	q := s.auditQuery(f)
	var rows []auditRow
	if err := s.selectRows(ctx, &rows, q.statement(), q.args...); err != nil {
		return nil, s.db.readFault(err, "list audit entries")
	}
	list := make([]mes.AuditEntry, len(rows))
	for i := range rows {
		list[i] = rows[i].toDomain(s.db)
	}
	return list, nil
}

func (s *Store) auditQuery(f mes.AuditFilter) *query {
	q := s.newQuery("SELECT " + auditColumns + " FROM audit")
	q.equal("action", f.Action)
	q.equal("connection", f.Connection)
	q.equal("created_by", f.CreatedBy)
	q.equal("state", string(f.State))
	if !f.Before.IsZero() {
		q.where("id < ?", uuid(f.Before))
	}
	q.order("id DESC")
	q.limit(f.Limit)
	return q
}

// BeginAudit stores an entry before its action is tried, durably, and returns its id. If a
// request with the same idempotency key began one before, nothing is stored and the id is
// of that; it fails with mes.ErrKeyReused if that request was another.
func (s *Store) BeginAudit(ctx context.Context, e mes.AuditEntry, key *mes.Idempotency) (id mes.ID, err error) {
	err = s.update(ctx, synced, func(t *Tx) error {
		if id, err = t.answered(ctx, key, e.CreatedAt); err != nil || !id.IsZero() {
			return err
		}
		id = e.ID
		n, err := t.execCount(ctx, insertAudit,
			uuid(e.ID), e.Action, e.Connection, string(e.State), timestamp{e.CreatedAt}, timestamp{e.FinishedAt}, e.CreatedBy,
			s.db.sent(e.Reason), s.db.sent(e.Detail), string(e.Request), string(e.Result), uuid(e.ID))
		if err != nil || n == 0 { // it is there already where the answer to a commit was lost
			return s.db.writeFault(err, "create an audit entry")
		}
		return t.noteAnswer(ctx, key, e.ID, e.CreatedAt)
	})
	return id, err
}

// FinishAudit notes what came of an action. An entry that is finished stays as it is.
func (s *Store) FinishAudit(ctx context.Context, id mes.ID, state mes.AuditState, at time.Time, detail string, result []byte) error {
	return s.update(ctx, synced, func(t *Tx) error {
		err := t.exec(ctx, finishAudit, string(state), timestamp{at}, s.db.sent(detail), string(result), uuid(id))
		return s.db.writeFault(err, "finish an audit entry")
	})
}
