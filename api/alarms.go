package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// Alarms knows the alarms of OPC UA servers, by the name of the connection. Both methods
// fail with CodeNotFound if there is none of that name, and with CodeUnavailable while this
// server has no session with it.
type Alarms interface {
	// Alarms lists those that there are now.
	Alarms(ctx context.Context, connection string) (mes.Alarms, error)
	// ActOnAlarm returns once the OPC UA server has done it. A refusal says what to do.
	ActOnAlarm(ctx context.Context, connection string, r mes.AlarmRequest) error
}

// noAlarms are the Alarms of a server without OPC UA.
type noAlarms struct{}

func (noAlarms) Alarms(_ context.Context, connection string) (mes.Alarms, error) {
	return mes.Alarms{}, noOPCUAConnection(connection)
}

func (noAlarms) ActOnAlarm(_ context.Context, connection string, _ mes.AlarmRequest) error {
	return noOPCUAConnection(connection)
}

func noOPCUAConnection(name string) error {
	return mes.Errorf(mes.CodeNotFound, "there is no OPC UA connection %q", name)
}

// alarmBody is a condition that is of interest now, or a branch of it.
type alarmBody struct {
	SiteID    string `json:"site_id" example:"main" validate:"required"`
	MachineID string `json:"machine_id" example:"press-1" validate:"required"`
	// Node id of the condition.
	ConditionID   string `json:"condition_id" example:"nsu=urn:example:press;s=Press/Overheat" validate:"required"`
	ConditionName string `json:"condition_name,omitempty" example:"Overheat"`
	// An earlier state that still is to be acknowledged; left out for the present one.
	BranchID string `json:"branch_id,omitempty"`
	// The event that told the state, in base64: who acknowledges says by it which state was seen.
	EventID string `json:"event_id" format:"byte" example:"86TwH2F7+pIr644MzG9HUgAAAAQ=" validate:"required"`
	// Node id of the event type, and its browse name.
	EventType  string `json:"event_type" example:"i=9341" validate:"required"`
	TypeName   string `json:"event_type_name,omitempty" example:"ExclusiveLimitAlarmType"`
	SourceNode string `json:"source_node,omitempty" example:"nsu=urn:example:press;s=Press"`
	SourceName string `json:"source_name,omitempty" example:"Press"`
	Message    string `json:"message,omitempty" example:"the oil is at 95 degrees"`
	// 1 to 1000; 0 where the server does not tell it.
	Severity uint16 `json:"severity" example:"800" validate:"required"`
	// When the state began, by the server's word.
	Timestamp *time.Time `json:"timestamp,omitempty" example:"2026-11-22T10:15:00.412Z"`
	// The states of the condition; what it does not have is left out.
	Enabled      *bool  `json:"enabled,omitempty" example:"true"`
	Active       *bool  `json:"active,omitempty" example:"true"`
	Acknowledged *bool  `json:"acknowledged,omitempty" example:"false"`
	Confirmed    *bool  `json:"confirmed,omitempty"`
	Comment      string `json:"comment,omitempty"`
	// Who acted on it last, as the OPC UA server knows them.
	ClientUserID string `json:"client_user_id,omitempty"`
	// OPC UA StatusCode of what the condition is about.
	StatusCode *uint32 `json:"status_code,omitempty" example:"0"`
} //	@name	Alarm

// alarmsBody is a page of the present alarms.
type alarmsBody struct {
	page[alarmBody]
	// Whether the OPC UA server has told all alarms that there are in this session. If it has not, there may be more: it is about to, or it can't.
	Complete bool `json:"complete" example:"true" validate:"required"`
	// When it had.
	RefreshedAt *time.Time `json:"refreshed_at,omitempty" example:"2026-11-22T10:15:00Z"`
} //	@name	AlarmPage

// alarmRequest says which state of which alarm is meant.
type alarmRequest struct {
	ConditionID string `json:"condition_id,omitzero" example:"nsu=urn:example:press;s=Press/Overheat" validate:"required"`
	// As in the list: the state that was seen.
	EventID string `json:"event_id,omitzero" format:"byte" example:"86TwH2F7+pIr644MzG9HUgAAAAQ=" validate:"required"`
	// At most 1,024 bytes; required for a comment. Without one, the comment that is there stays.
	Comment string `json:"comment,omitzero" example:"the fan is cleaned"`
} //	@name	AlarmRequest

// alarmDoneBody is what the server has done.
type alarmDoneBody struct {
	Action      string `json:"action" enums:"acknowledge,confirm,comment" example:"acknowledge" validate:"required"`
	ConditionID string `json:"condition_id" example:"nsu=urn:example:press;s=Press/Overheat" validate:"required"`
	EventID     string `json:"event_id" format:"byte" example:"86TwH2F7+pIr644MzG9HUgAAAAQ=" validate:"required"`
} //	@name	AlarmDone

func newAlarmBody(a mes.Alarm) alarmBody {
	b := alarmBody{
		SiteID: a.SiteID, MachineID: a.MachineID, ConditionID: a.ConditionID, ConditionName: a.ConditionName, BranchID: a.BranchID,
		EventID: a.EventID, EventType: a.EventType, TypeName: a.TypeName, SourceNode: a.SourceNode, SourceName: a.SourceName,
		Message: a.Message, Severity: a.Severity, Timestamp: optionalTime(a.Time), Enabled: a.Enabled, Active: a.Active,
		Acknowledged: a.Acked, Confirmed: a.Confirmed, Comment: a.Comment, ClientUserID: a.ClientUserID,
	}
	if a.Quality != nil {
		code := uint32(*a.Quality)
		b.StatusCode = &code
	}
	return b
}

// alarmPosition is an alarm's place in the cursor of a list.
type alarmPosition struct {
	Condition string `json:"c"`
	Branch    string `json:"b"`
}

func (p *alarmPosition) isBefore(a *mes.Alarm) bool {
	return p == nil || a.ConditionID > p.Condition || a.ConditionID == p.Condition && a.BranchID > p.Branch
}

// listAlarms lists the present alarms of a connection.
//
//	@Summary		List the present alarms of an OPC UA server
//	@Description	The conditions that are of interest now (Retain of OPC 10000-9), of the machines that the key may see, in the order of their ids. They are those of the notifiers under events of the connection's configuration, as the session with the server has told them; 503 while there is no session, or another plantgate server has the connection.
//	@Tags			opcua
//	@ID				listOPCUAAlarms
//	@Security		ApiKey
//	@Produce		json
//	@Param			name	path		string	true	"name of the connection"
//	@Param			limit	query		int		false	"the most items of the answer"	minimum(1)	maximum(1000)	default(100)
//	@Param			cursor	query		string	false	"next_cursor of the part before"
//	@Success		200		{object}	alarmsBody
//	@Header			200		{string}	Link	"address of the next page"
//	@Failure		401,403,404,409,422,429,503	{object}	problemDocument
//	@Router			/api/v1/adapters/opcua/{name}/alarms [get]
func (a *API) listAlarms(c echo.Context) error {
	q := newQuery(c)
	limit, after := q.limit(), cursorOf[alarmPosition](q)
	if err := q.err(); err != nil {
		return err
	}
	all, err := a.deps.Alarms.Alarms(c.Request().Context(), pathParam(c, "name"))
	if err != nil {
		return err
	}
	scope := keyOf(c).Limit
	list := slices.DeleteFunc(all.Items, func(one mes.Alarm) bool {
		return !scope.Allows(one.SiteID, one.MachineID) || !after.isBefore(&one)
	})
	answer := alarmsBody{Complete: all.Complete, RefreshedAt: optionalTime(all.RefreshedAt)}
	answer.Items = make([]alarmBody, 0, min(limit, len(list)))
	for _, one := range list[:min(limit, len(list))] {
		answer.Items = append(answer.Items, newAlarmBody(one))
	}
	if len(list) > limit {
		last := list[limit-1]
		cursor, err := encodeCursor(q, alarmPosition{last.ConditionID, last.BranchID})
		if err != nil {
			return err
		}
		answer.NextCursor = &cursor
		c.Response().Header().Set("Link", `<`+q.next(cursor)+`>; rel="next"`)
	}
	return c.JSON(http.StatusOK, answer)
}

// acknowledgeAlarm acknowledges a state of an alarm.
//
//	@Summary		Acknowledge an alarm of an OPC UA server
//	@Description	Needs acknowledge: true of the connection's configuration (403). 200 means that the OPC UA server has done it. 409 says that the alarm is acknowledged already, or has another state than that of event_id; so a retry does no harm. Each request is audited, on disk before it is tried.
//	@Tags			opcua
//	@ID				acknowledgeOPCUAAlarm
//	@Security		ApiKey
//	@Accept			json
//	@Produce		json
//	@Param			name	path		string			true	"name of the connection"
//	@Param			body	body		alarmRequest	true	"which alarm"
//	@Success		200		{object}	alarmDoneBody
//	@Failure		400,401,403,404,409,413,415,422,429,503	{object}	problemDocument
//	@Router			/api/v1/adapters/opcua/{name}/alarms/acknowledge [post]
func (a *API) acknowledgeAlarm(c echo.Context) error { return a.actOnAlarm(c, mes.AlarmAcknowledge) }

// confirmAlarm confirms a state of an alarm.
//
//	@Summary		Confirm an alarm of an OPC UA server
//	@Description	As acknowledge, for conditions that are to be confirmed too; 409 if this one is not.
//	@Tags			opcua
//	@ID				confirmOPCUAAlarm
//	@Security		ApiKey
//	@Accept			json
//	@Produce		json
//	@Param			name	path		string			true	"name of the connection"
//	@Param			body	body		alarmRequest	true	"which alarm"
//	@Success		200		{object}	alarmDoneBody
//	@Failure		400,401,403,404,409,413,415,422,429,503	{object}	problemDocument
//	@Router			/api/v1/adapters/opcua/{name}/alarms/confirm [post]
func (a *API) confirmAlarm(c echo.Context) error { return a.actOnAlarm(c, mes.AlarmConfirm) }

// commentAlarm comments on a state of an alarm.
//
//	@Summary		Comment on an alarm of an OPC UA server
//	@Description	As acknowledge; the state stays as it is.
//	@Tags			opcua
//	@ID				commentOPCUAAlarm
//	@Security		ApiKey
//	@Accept			json
//	@Produce		json
//	@Param			name	path		string			true	"name of the connection"
//	@Param			body	body		alarmRequest	true	"which alarm"
//	@Success		200		{object}	alarmDoneBody
//	@Failure		400,401,403,404,409,413,415,422,429,503	{object}	problemDocument
//	@Router			/api/v1/adapters/opcua/{name}/alarms/comment [post]
func (a *API) commentAlarm(c echo.Context) error { return a.actOnAlarm(c, mes.AlarmComment) }

func (a *API) actOnAlarm(c echo.Context, action mes.AlarmAction) error {
	if err := noQuery(c); err != nil {
		return err
	}
	var request alarmRequest
	if err := a.decode(c, &request); err != nil {
		return err
	}
	if err := request.check(action); err != nil {
		return err
	}
	err := a.deps.Alarms.ActOnAlarm(c.Request().Context(), pathParam(c, "name"), mes.AlarmRequest{
		Action: action, ConditionID: request.ConditionID, EventID: request.EventID, Comment: request.Comment,
		By: exchangeOf(c).keyID(), Scope: keyOf(c).Limit,
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, alarmDoneBody{Action: string(action), ConditionID: request.ConditionID, EventID: request.EventID})
}

func (r alarmRequest) check(action mes.AlarmAction) error {
	var faults []mes.FieldError
	fault := func(pointer, detail string) {
		faults = append(faults, mes.FieldError{Pointer: pointer, Detail: detail})
	}
	if r.ConditionID == "" {
		fault("/condition_id", "is required")
	}
	if id, err := base64.StdEncoding.DecodeString(r.EventID); err != nil || len(id) == 0 {
		fault("/event_id", "must be the event_id of the list, in base64")
	}
	switch {
	case len(r.Comment) > mes.MaxAlarmComment:
		fault("/comment", fmt.Sprintf("must have at most %d bytes", mes.MaxAlarmComment))
	case r.Comment == "" && action == mes.AlarmComment:
		fault("/comment", "is required")
	}
	if err := mes.Invalid(faults); err != nil {
		return err
	}
	return nil
}
