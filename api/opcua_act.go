package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// Bounds of one request that acts on a server.
const (
	maxWrites = 100
	maxCalls  = 20
)

// uaWriteRequest is what is to be written.
type uaWriteRequest struct {
	// At most 100.
	Items []uaWriteItem `json:"items" validate:"required"`
	// Why, for the audit; at most 1,024 bytes.
	Reason string `json:"reason,omitzero" example:"order 4711 needs 80 degrees"`
} //	@name	OPCUAWrite

// uaWriteItem is a value for a variable.
type uaWriteItem struct {
	Node string `json:"node,omitzero" example:"nsu=urn:example:press;s=Press/Setpoint" validate:"required"`
	// It is converted to the data type that the server tells; enumerations may be given by their text.
	Value jsontext.Value `json:"value,omitzero" swaggertype:"number" example:"80" validate:"required"`
	// Name of a built-in type, where the variable takes several.
	DataType string `json:"data_type,omitzero" example:"Int32"`
} //	@name	OPCUAWriteItem

// uaWriteBody is what became of the writes, in their order.
type uaWriteBody struct {
	// Of the entry in /api/v1/audit.
	AuditID string          `json:"audit_id" format:"uuid" validate:"required"`
	Items   []uaWrittenBody `json:"items" validate:"required"`
} //	@name	OPCUAWriteResult

// uaWrittenBody is what became of one write.
type uaWrittenBody struct {
	Node string `json:"node" example:"nsu=urn:example:press;s=Press/Setpoint" validate:"required"`
	// unknown: no answer came, and it may have been carried out; read the value back.
	Outcome string `json:"outcome" enums:"done,refused,unknown" example:"done" validate:"required"`
	uaStatusBody
	// What was written.
	DataType string `json:"data_type,omitempty" example:"Double"`
	// What was read right before; left out where it could not be.
	OldValue *mes.Value `json:"old_value,omitempty" swaggertype:"number" example:"72.31"`
	Detail   string     `json:"detail,omitempty"`
} //	@name	OPCUAWritten

// uaCallRequest is what is to be called.
type uaCallRequest struct {
	// At most 20; they are called one after the other.
	Items []uaCallItem `json:"items" validate:"required"`
	// Why, for the audit; at most 1,024 bytes.
	Reason string `json:"reason,omitzero" example:"the tool was changed"`
} //	@name	OPCUACall

// uaCallItem is a call of a method.
type uaCallItem struct {
	Object string `json:"object,omitzero" example:"nsu=urn:example:press;s=Press" validate:"required"`
	Method string `json:"method,omitzero" example:"nsu=urn:example:press;s=Press/Reset" validate:"required"`
	// They are converted to the types that the server tells; none if left out.
	Arguments []jsontext.Value `json:"arguments,omitzero" swaggertype:"array,number"`
} //	@name	OPCUACallItem

// uaCallBody is what became of the calls, in their order.
type uaCallBody struct {
	// Of the entry in /api/v1/audit.
	AuditID string         `json:"audit_id" format:"uuid" validate:"required"`
	Items   []uaCalledBody `json:"items" validate:"required"`
} //	@name	OPCUACallResult

// uaCalledBody is what became of one call.
type uaCalledBody struct {
	Object string `json:"object" example:"nsu=urn:example:press;s=Press" validate:"required"`
	Method string `json:"method" example:"nsu=urn:example:press;s=Press/Reset" validate:"required"`
	// unknown: no answer came, and it may have been carried out.
	Outcome string `json:"outcome" enums:"done,refused,unknown" example:"done" validate:"required"`
	uaStatusBody
	// Of the arguments, where the server found fault with some.
	ArgumentStatus []uaStatusBody `json:"argument_status,omitempty"`
	Outputs        []uaOutputBody `json:"outputs" validate:"required"`
	Detail         string         `json:"detail,omitempty"`
} //	@name	OPCUACalled

// uaOutputBody is a value that a method gave back.
type uaOutputBody struct {
	Name     string    `json:"name" example:"previous" validate:"required"`
	DataType string    `json:"data_type" example:"Int32" validate:"required"`
	Value    mes.Value `json:"value" swaggertype:"number" example:"29" validate:"required"`
	// Why the value can't be shown.
	Detail string `json:"detail,omitempty"`
} //	@name	OPCUAOutput

// writeOPCUA writes values to variables.
//
//	@Summary		Write variables of an OPC UA server
//	@Description	Only variables that stand under writable of the connection's configuration can be written: if one of them does not, nothing is written (403). Values are converted to the data types that the server tells; if one does not fit, nothing is written (422). Each item has its own result, since servers write them one by one: 207 says that not all of them are done.
//	@Description	Every request is kept in /api/v1/audit, on disk before it is tried, refused ones as well.
//	@Tags			opcua
//	@ID				writeOPCUA
//	@Security		ApiKey
//	@Accept			json
//	@Produce		json
//	@Param			name			path		string			true	"name of the connection"
//	@Param			Idempotency-Key	header		string			false	"makes a retry of the request harmless for 24 hours"	maxlength(255)
//	@Param			body			body		uaWriteRequest	true	"what to write"
//	@Success		200				{object}	uaWriteBody
//	@Success		207				{object}	uaWriteBody
//	@Failure		400,401,403,404,409,413,415,422,429,503	{object}	problemDocument
//	@Router			/api/v1/adapters/opcua/{name}/write [post]
func (a *API) writeOPCUA(c echo.Context) error {
	var request uaWriteRequest
	caller, err := a.action(c, &request, &request.Reason)
	if err != nil {
		return err
	}
	items, err := request.items()
	if err != nil {
		return err
	}
	done, err := a.deps.OPCUA.Write(c.Request().Context(), pathParam(c, "name"), items, caller)
	if err != nil {
		return err
	}
	answer := uaWriteBody{AuditID: done.AuditID.String(), Items: make([]uaWrittenBody, len(done.Items))}
	for i, w := range done.Items {
		answer.Items[i] = uaWrittenBody{
			Node: w.Node, Outcome: string(w.Outcome), uaStatusBody: newUAStatus(w.UAStatus), DataType: w.DataType, OldValue: w.OldValue, Detail: w.Detail,
		}
	}
	return c.JSON(statusOfAction(done.Complete), answer)
}

// callOPCUA calls methods of objects.
//
//	@Summary		Call methods of an OPC UA server
//	@Description	Only methods that stand under callable of the connection's configuration can be called: if one of them does not, nothing is called (403). Arguments are converted to the types that the server tells; if one does not fit, nothing is called (422). 207 says that not all calls are done.
//	@Description	Every request is kept in /api/v1/audit, on disk before it is tried, refused ones as well.
//	@Tags			opcua
//	@ID				callOPCUA
//	@Security		ApiKey
//	@Accept			json
//	@Produce		json
//	@Param			name			path		string			true	"name of the connection"
//	@Param			Idempotency-Key	header		string			false	"makes a retry of the request harmless for 24 hours"	maxlength(255)
//	@Param			body			body		uaCallRequest	true	"what to call"
//	@Success		200				{object}	uaCallBody
//	@Success		207				{object}	uaCallBody
//	@Failure		400,401,403,404,409,413,415,422,429,503	{object}	problemDocument
//	@Router			/api/v1/adapters/opcua/{name}/call [post]
func (a *API) callOPCUA(c echo.Context) error {
	var request uaCallRequest
	caller, err := a.action(c, &request, &request.Reason)
	if err != nil {
		return err
	}
	items, err := request.items()
	if err != nil {
		return err
	}
	done, err := a.deps.OPCUA.Call(c.Request().Context(), pathParam(c, "name"), items, caller)
	if err != nil {
		return err
	}
	answer := uaCallBody{AuditID: done.AuditID.String(), Items: make([]uaCalledBody, len(done.Items))}
	for i := range done.Items {
		answer.Items[i] = newUACalledBody(&done.Items[i])
	}
	return c.JSON(statusOfAction(done.Complete), answer)
}

func newUACalledBody(r *mes.UACalled) uaCalledBody {
	b := uaCalledBody{
		Object: r.Object, Method: r.Method, Outcome: string(r.Outcome), uaStatusBody: newUAStatus(r.UAStatus), Detail: r.Detail,
		Outputs: make([]uaOutputBody, len(r.Outputs)),
	}
	for _, s := range r.ArgumentStatus {
		b.ArgumentStatus = append(b.ArgumentStatus, newUAStatus(s))
	}
	for i, o := range r.Outputs {
		b.Outputs[i] = uaOutputBody(o)
	}
	return b
}

func statusOfAction(complete bool) int {
	if complete {
		return http.StatusOK
	}
	return http.StatusMultiStatus
}

// action reads a request that acts, and who sent it.
func (a *API) action(c echo.Context, request any, reason *string) (mes.UACaller, error) {
	caller := callerOf(c)
	if err := noQuery(c); err != nil {
		return caller, err
	}
	key, err := idempotencyKeyOf(c.Request())
	if err != nil {
		return caller, err
	}
	body, err := a.jsonBody(c)
	if err != nil {
		return caller, err
	}
	if err := decodeJSON(body, request, json.RejectUnknownMembers(true)); err != nil {
		return caller, err
	}
	if len(*reason) > mes.MaxAuditReason {
		return caller, mes.Invalid([]mes.FieldError{{Pointer: "/reason", Detail: fmt.Sprintf("must have at most %d bytes", mes.MaxAuditReason)}})
	}
	caller.Reason, caller.Key = *reason, requestKey(c, key, body)
	return caller, nil
}

func callerOf(c echo.Context) mes.UACaller {
	return mes.UACaller{KeyID: exchangeOf(c).keyID(), Scope: keyOf(c).Limit}
}

func (r *uaWriteRequest) items() ([]mes.UAWrite, error) {
	if err := countItems(len(r.Items), maxWrites); err != nil {
		return nil, err
	}
	items := make([]mes.UAWrite, len(r.Items))
	var faults []mes.FieldError
	for i, item := range r.Items {
		switch pointer := fmt.Sprintf("/items/%d/value", i); {
		case item.Value.Kind() == 0:
			faults = append(faults, mes.FieldError{Pointer: pointer, Detail: "is required"})
		default:
			faults = append(faults, tooDeep(pointer, item.Value)...)
		}
		items[i] = mes.UAWrite{Node: item.Node, Value: mes.RawJSON(item.Value), DataType: item.DataType}
	}
	if fault := mes.Invalid(faults); fault != nil {
		return nil, fault
	}
	return items, nil
}

func (r *uaCallRequest) items() ([]mes.UACall, error) {
	if err := countItems(len(r.Items), maxCalls); err != nil {
		return nil, err
	}
	items := make([]mes.UACall, len(r.Items))
	var faults []mes.FieldError
	for i, item := range r.Items {
		items[i] = mes.UACall{Object: item.Object, Method: item.Method, Arguments: make([]mes.RawJSON, len(item.Arguments))}
		for k, argument := range item.Arguments {
			items[i].Arguments[k] = mes.RawJSON(argument)
			faults = append(faults, tooDeep(fmt.Sprintf("/items/%d/arguments/%d", i, k), argument)...)
		}
	}
	if fault := mes.Invalid(faults); fault != nil {
		return nil, fault
	}
	return items, nil
}

// tooDeep refuses a value that the audit would keep and few readers of JSON could read.
func tooDeep(pointer string, value jsontext.Value) []mes.FieldError {
	if n := mes.JSONDepth(value); n > mes.MaxCommandDepth {
		return []mes.FieldError{{Pointer: pointer, Detail: fmt.Sprintf("must not be nested deeper than %d levels; it has %d", mes.MaxCommandDepth, n)}}
	}
	return nil
}

// auditRefusals notes who tried to act on the floor with a key that may not.
func (a *API) auditRefusals(r route, next echo.HandlerFunc) echo.HandlerFunc {
	action := mes.AuditOPCUAWrite
	switch _, last, _ := strings.Cut(r.path, "/:name/"); last {
	case "call":
		action = mes.AuditOPCUACall
	case "write":
	default:
		action = mes.AlarmAction(strings.TrimPrefix(last, "alarms/")).Audited()
	}
	return func(c echo.Context) error {
		err := next(c)
		if err != nil && exchangeOf(c).authenticated && !keyOf(c).Has(r.scope) && mes.ErrorCode(err) == mes.CodeForbidden {
			a.deps.OPCUA.Refused(c.Request().Context(), action, pathParam(c, "name"), callerOf(c), err)
		}
		return err
	}
}
