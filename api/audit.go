package api

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// AuditStore reads what people did to the floor.
type AuditStore interface {
	// AuditEntries lists entries, the newest first.
	AuditEntries(ctx context.Context, filter mes.AuditFilter) ([]mes.AuditEntry, error)
	// AuditEntry fails with CodeNotFound if there is none.
	AuditEntry(ctx context.Context, id mes.ID) (mes.AuditEntry, error)
}

// auditBody is one action of a person on the floor.
type auditBody struct {
	ID     string `json:"id" example:"019aab1c-7d20-7c11-9e02-3f5a6b7c8d9e" format:"uuid" validate:"required"`
	Action string `json:"action" enums:"opcua.write,opcua.call,opcua.alarm.acknowledge,opcua.alarm.confirm,opcua.alarm.comment" example:"opcua.write" validate:"required"`
	// Name of the connection; left out if there is none of the name that was given.
	Connection string `json:"connection,omitempty" example:"press"`
	// pending: it is under way, or its end is not known. partial: some of it was not done, or nothing is known of some. refused and failed changed nothing; failed could not be tried.
	State      string     `json:"state" enums:"pending,done,partial,refused,failed" example:"done" validate:"required"`
	CreatedAt  time.Time  `json:"created_at" example:"2026-11-22T10:15:00Z" validate:"required"`
	FinishedAt *time.Time `json:"finished_at,omitempty" example:"2026-11-22T10:15:00.012Z"`
	// Id of the API key.
	CreatedBy string `json:"created_by" validate:"required"`
	// What the caller gave as reason.
	Reason string `json:"reason,omitempty" example:"order 4711 needs 80 degrees"`
	// Why it was refused or failed.
	Detail string `json:"detail,omitempty"`
	// What was asked for, as in the request.
	Request jsontext.Value `json:"request,omitzero" swaggertype:"object"`
	// What came of each item, with old values of variables.
	Result jsontext.Value `json:"result,omitzero" swaggertype:"object"`
} //	@name	AuditEntry

func newAuditBody(e mes.AuditEntry) auditBody {
	return auditBody{
		ID: e.ID.String(), Action: e.Action, Connection: e.Connection, State: string(e.State), CreatedAt: e.CreatedAt.UTC(),
		FinishedAt: optionalTime(e.FinishedAt), CreatedBy: e.CreatedBy, Reason: e.Reason, Detail: e.Detail,
		Request: e.Request, Result: e.Result,
	}
}

// auditPosition is an entry's place in the cursor of a list.
type auditPosition struct {
	ID mes.ID `json:"i"`
}

// listAudit lists what people did to the floor.
//
//	@Summary		List what people did to the floor
//	@Description	Writes and calls by the API, refused ones as well, the newest first. Entries are not deleted.
//	@Tags			operation
//	@ID				listAudit
//	@Security		ApiKey
//	@Produce		json
//	@Param			action		query		string	false	"kind of action"	Enums(opcua.write, opcua.call, opcua.alarm.acknowledge, opcua.alarm.confirm, opcua.alarm.comment)
//	@Param			connection	query		string	false	"name of the connection"
//	@Param			created_by	query		string	false	"id of the API key"
//	@Param			state		query		string	false	"how it ended"	Enums(pending, done, partial, refused, failed)
//	@Param			limit		query		int		false	"size of the page"	minimum(1)	maximum(1000)	default(100)
//	@Param			cursor		query		string	false	"next_cursor of the page before"
//	@Success		200			{object}	page[auditBody]
//	@Header			200			{string}	Link	"address of the next page"
//	@Failure		401,403,422,429,503	{object}	problemDocument
//	@Router			/api/v1/audit [get]
func (a *API) listAudit(c echo.Context) error {
	if err := unbound(c, "the audit is of the whole plant"); err != nil {
		return err
	}
	q := newQuery(c)
	limit := q.limit()
	filter := mes.AuditFilter{
		Action: oneOf(q, "action", mes.AuditActions()), Connection: q.id("connection"), CreatedBy: q.id("created_by"),
		State: oneOf(q, "state", mes.AuditStates()),
	}
	position := cursorOf[auditPosition](q)
	if err := q.err(); err != nil {
		return err
	}
	found, limit, err := readPage(limit, func(e mes.AuditEntry) int { return len(e.Request) + len(e.Result) },
		func(last *mes.AuditEntry, n int) ([]mes.AuditEntry, error) {
			switch filter.Limit = n; {
			case last != nil:
				filter.Before = last.ID
			case position != nil:
				filter.Before = position.ID
			}
			return a.deps.Store.AuditEntries(c.Request().Context(), filter)
		})
	if err != nil {
		return err
	}
	return answerPage(c, q, found, limit, newAuditBody, func(e mes.AuditEntry) auditPosition { return auditPosition{e.ID} })
}

// getAudit returns one action.
//
//	@Summary	Read what somebody did to the floor
//	@Tags		operation
//	@ID			getAudit
//	@Security	ApiKey
//	@Produce	json
//	@Param		id	path		string	true	"id of the entry"	format(uuid)
//	@Success	200	{object}	auditBody
//	@Failure	401,403,404,422,429,503	{object}	problemDocument
//	@Router		/api/v1/audit/{id} [get]
func (a *API) getAudit(c echo.Context) error {
	if err := unbound(c, "the audit is of the whole plant"); err != nil {
		return err
	}
	if err := noQuery(c); err != nil {
		return err
	}
	id, err := pathID(c)
	if err != nil {
		return err
	}
	e, err := a.deps.Store.AuditEntry(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, newAuditBody(e))
}

// unbound refuses keys that are bound to sites or machines; why says what is not of these alone.
func unbound(c echo.Context, why string) error {
	if limit := keyOf(c).Limit; len(limit.Sites) > 0 || len(limit.Machines) > 0 {
		return mes.Errorf(mes.CodeForbidden, "%s, and the key is bound to sites or machines", why)
	}
	return nil
}
