package api

import (
	"context"
	"crypto/sha256"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// Commands gives commands to machines.
type Commands interface {
	// Send returns once the command is durable. It fails with CodeConflict if it can't be
	// sent to the machine at all.
	Send(ctx context.Context, c mes.Command, key *mes.Idempotency) (mes.Command, error)
	// Cancel fails with CodeConflict if the command is not pending any more.
	Cancel(ctx context.Context, id mes.ID) (mes.Command, error)
}

// CommandStore reads commands.
type CommandStore interface {
	// Commands lists those of a machine, the newest first.
	Commands(ctx context.Context, filter mes.CommandFilter) ([]mes.Command, error)
	// Command fails with CodeNotFound if there is none.
	Command(ctx context.Context, id mes.ID) (mes.Command, error)
}

// commandRequest is a command that is to be given.
type commandRequest struct {
	// What is to be done: letters, digits, '_', '.' and '-'.
	Command string `json:"command" example:"job_order.dispatch" maxLength:"64" validate:"required"`
	// What the machine needs for it, as it goes to the machine.
	Parameters jsontext.Value `json:"parameters,omitzero" swaggertype:"object"`
	// When it is not to be sent any more.
	ExpiresAt jsontext.Value `json:"expires_at,omitzero" swaggertype:"string" example:"2026-11-22T10:25:00Z"`
	// Unknown are members that are none, which are told with the other faults.
	Unknown map[string]jsontext.Value `json:",embed" swaggerignore:"true"`
} //	@name	CommandRequest

// commandBody is a command to a machine.
type commandBody struct {
	// Goes with the command, the same in every repetition, and comes back in replies.
	ID         string         `json:"id" example:"019aab1c-7d20-7c11-9e02-3f5a6b7c8d9e" format:"uuid" validate:"required"`
	SiteID     string         `json:"site_id" example:"main" validate:"required"`
	MachineID  string         `json:"machine_id" example:"M001" validate:"required"`
	Command    string         `json:"command" example:"job_order.dispatch" validate:"required"`
	Parameters jsontext.Value `json:"parameters" swaggertype:"object" validate:"required"`
	// pending until the broker has it, then sent; acknowledged, rejected, completed and
	// failed are the machine's own words.
	State     string     `json:"state" enums:"pending,sent,acknowledged,rejected,completed,failed,expired,cancelled" example:"sent" validate:"required"`
	CreatedAt time.Time  `json:"created_at" example:"2026-11-22T10:15:00Z" validate:"required"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" example:"2026-11-22T10:25:00Z"`
	// Id of the API key that gave it.
	CreatedBy string `json:"created_by" validate:"required"`
	// When the broker acknowledged it.
	SentAt *time.Time `json:"sent_at,omitempty" example:"2026-11-22T10:15:00.012Z"`
	// When the machine acknowledged it.
	AcknowledgedAt *time.Time `json:"acknowledged_at,omitempty" example:"2026-11-22T10:15:00.412Z"`
	// When it was rejected, completed or failed, expired or was cancelled.
	FinishedAt *time.Time `json:"finished_at,omitempty" example:"2026-11-22T10:16:00Z"`
	// The reply of the machine that counted last.
	Reply *commandReplyBody `json:"reply,omitempty"`
} //	@name	Command

// commandReplyBody is what a machine said besides the state.
type commandReplyBody struct {
	Message string `json:"message,omitempty" example:"order 4711 is on the machine"`
	// Any JSON.
	Data jsontext.Value `json:"data,omitzero" swaggertype:"object"`
} //	@name	CommandReply

func newCommandBody(c mes.Command) commandBody {
	b := commandBody{
		ID: c.ID.String(), SiteID: c.SiteID, MachineID: c.MachineID, Command: c.Name, Parameters: c.Parameters,
		State: string(c.State), CreatedAt: c.CreatedAt.UTC(), ExpiresAt: optionalTime(c.ExpiresAt), CreatedBy: c.CreatedBy,
		SentAt: optionalTime(c.SentAt), AcknowledgedAt: optionalTime(c.AcknowledgedAt), FinishedAt: optionalTime(c.FinishedAt),
	}
	if c.ReplyMessage != "" || c.ReplyData != nil {
		b.Reply = &commandReplyBody{Message: c.ReplyMessage, Data: c.ReplyData}
	}
	return b
}

// sendCommand gives a command to a machine.
//
//	@Summary		Send a command to a machine
//	@Description	201 means that the command is in the store, on disk. It goes to the machine by MQTT as soon as the broker can be reached, once at least and in order among the machine's commands; repetitions have the same id.
//	@Description	409 means that no publish section of the configuration is for the machine.
//	@Tags			commands
//	@ID				sendCommand
//	@Security		ApiKey
//	@Accept			json
//	@Produce		json
//	@Param			id				path		string			true	"id, or {site}~{id}; without a site it is of the key's site"	example(M001)
//	@Param			Idempotency-Key	header		string			false	"makes a retry of the request harmless for 24 hours"	maxlength(255)
//	@Param			body			body		commandRequest	true	"the command"
//	@Success		201				{object}	commandBody
//	@Header			201				{string}	Location	"address of the command"
//	@Failure		400,401,403,404,409,413,415,422,429,503	{object}	problemDocument
//	@Router			/api/v1/equipment/{id}/commands [post]
func (a *API) sendCommand(c echo.Context) error {
	e, err := a.commanded(c)
	if err != nil {
		return err
	}
	key, err := idempotencyKeyOf(c.Request())
	if err != nil {
		return err
	}
	var request commandRequest
	body, err := a.jsonBody(c)
	if err != nil {
		return err
	}
	if err := decodeJSON(body, &request); err != nil {
		return err
	}
	command, err := request.command(e, exchangeOf(c).keyID(), a.deps.Clock())
	if err != nil {
		return err
	}
	made, err := a.deps.Commands.Send(c.Request().Context(), command, requestKey(c, key, body))
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, "/api/v1/commands/"+made.ID.String())
	return c.JSON(http.StatusCreated, newCommandBody(made))
}

// commanded returns the machine that the path names.
func (a *API) commanded(c echo.Context) (mes.Equipment, error) {
	if err := noQuery(c); err != nil {
		return mes.Equipment{}, err
	}
	e, err := a.equipment(c)
	if err == nil && e.Level != mes.LevelWorkUnit {
		err = invalidParameter("id", "is a %s: commands are for machines", e.Level)
	}
	return e, err
}

// command fails with every fault of the request. One whose only fault is the command's
// own passes: a retry of it may be answered.
func (r commandRequest) command(e mes.Equipment, by string, now time.Time) (mes.Command, error) {
	command := mes.Command{SiteID: e.SiteID, MachineID: e.ID, Name: r.Command, CreatedBy: by, CreatedAt: now}
	var faults []mes.FieldError
	for _, name := range slices.Sorted(maps.Keys(r.Unknown)) {
		faults = append(faults, mes.FieldError{Pointer: mes.Pointer(name), Detail: detailUnknown})
	}
	switch r.Parameters.Kind() {
	case 0:
	case '{':
		if err := r.Parameters.Compact(); err != nil {
			return command, mes.Errorf(mes.CodeMalformed, "the body is not valid JSON")
		}
		command.Parameters = r.Parameters
	default:
		faults = append(faults, mes.FieldError{Pointer: "/parameters", Detail: "must be an object"})
	}
	if kind := r.ExpiresAt.Kind(); kind != 0 && kind != 'n' {
		if err := json.Unmarshal(r.ExpiresAt, &command.ExpiresAt); err != nil {
			faults = append(faults, mes.FieldError{Pointer: "/expires_at", Detail: detailTime})
			command.ExpiresAt = time.Time{}
		}
	}
	if len(faults) == 0 {
		return command, nil
	}
	if fault := command.Validate(); fault != nil {
		faults = append(faults, fault.Fields...)
	}
	return command, mes.Invalid(faults)
}

// requestKey names a request by the caller's key, and tells it from others of that name
// by its address and body. It is nil for a request without a key.
func requestKey(c echo.Context, key string, body []byte) *mes.Idempotency {
	if key == "" {
		return nil
	}
	hash := sha256.New()
	_, _ = hash.Write([]byte(c.Request().Method + " " + c.Request().URL.EscapedPath() + "\n"))
	_, _ = hash.Write(body)
	return &mes.Idempotency{Key: exchangeOf(c).keyID() + "/" + key, Body: [32]byte(hash.Sum(nil))}
}

// commandPosition is a command's place in the cursor of a list.
type commandPosition struct {
	ID mes.ID `json:"i"`
}

// listCommands lists the commands of a machine.
//
//	@Summary		List the commands of a machine
//	@Description	The newest first.
//	@Tags			commands
//	@ID				listCommands
//	@Security		ApiKey
//	@Produce		json
//	@Param			id		path		string	true	"id, or {site}~{id}; without a site it is of the key's site"	example(M001)
//	@Param			state	query		string	false	"state of the command"	Enums(pending, sent, acknowledged, rejected, completed, failed, expired, cancelled)
//	@Param			limit	query		int		false	"size of the page"	minimum(1)	maximum(1000)	default(100)
//	@Param			cursor	query		string	false	"next_cursor of the page before"
//	@Success		200		{object}	page[commandBody]
//	@Header			200		{string}	Link	"address of the next page"
//	@Failure		401,403,404,422,429,503	{object}	problemDocument
//	@Router			/api/v1/equipment/{id}/commands [get]
func (a *API) listCommands(c echo.Context) error {
	q := newQuery(c)
	limit := q.limit()
	filter := mes.CommandFilter{State: oneOf(q, "state", mes.CommandStates())}
	position := cursorOf[commandPosition](q)
	if err := q.err(); err != nil {
		return err
	}
	e, err := a.equipment(c)
	if err != nil {
		return err
	}
	filter.SiteID, filter.MachineID = e.SiteID, e.ID
	found, limit, err := readPage(limit, func(m mes.Command) int { return len(m.Parameters) + len(m.ReplyData) },
		func(last *mes.Command, n int) ([]mes.Command, error) {
			switch filter.Limit = n; {
			case last != nil:
				filter.Before = last.ID
			case position != nil:
				filter.Before = position.ID
			}
			return a.deps.Store.Commands(c.Request().Context(), filter)
		})
	if err != nil {
		return err
	}
	return answerPage(c, q, found, limit, newCommandBody, func(m mes.Command) commandPosition { return commandPosition{m.ID} })
}

// getCommand returns one command.
//
//	@Summary	Read a command
//	@Tags		commands
//	@ID			getCommand
//	@Security	ApiKey
//	@Produce	json
//	@Param		id	path		string	true	"id of the command"	format(uuid)
//	@Success	200	{object}	commandBody
//	@Failure	401,403,404,422,429,503	{object}	problemDocument
//	@Router		/api/v1/commands/{id} [get]
func (a *API) getCommand(c echo.Context) error {
	command, err := a.command(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, newCommandBody(command))
}

// cancelCommand ends a command that is pending.
//
//	@Summary		Cancel a command
//	@Description	Of a command that is pending: it is not sent any more. If it was on its way at that moment the machine gets it all the same; sent_at or a reply shows that.
//	@Tags			commands
//	@ID				cancelCommand
//	@Security		ApiKey
//	@Produce		json
//	@Param			id	path		string	true	"id of the command"	format(uuid)
//	@Success		200	{object}	commandBody
//	@Failure		401,403,404,409,422,429,503	{object}	problemDocument
//	@Router			/api/v1/commands/{id}/cancel [post]
func (a *API) cancelCommand(c echo.Context) error {
	command, err := a.command(c)
	if err != nil {
		return err
	}
	if command, err = a.deps.Commands.Cancel(c.Request().Context(), command.ID); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, newCommandBody(command))
}

// command returns the command that the path names, if the key may see its machine.
func (a *API) command(c echo.Context) (mes.Command, error) {
	if err := noQuery(c); err != nil {
		return mes.Command{}, err
	}
	id, err := pathID(c)
	if err != nil {
		return mes.Command{}, err
	}
	command, err := a.deps.Store.Command(c.Request().Context(), id)
	if err == nil && !keyOf(c).Limit.Allows(command.SiteID, command.MachineID) {
		err = mes.Errorf(mes.CodeNotFound, "there is no command %s", id)
	}
	return command, err
}
