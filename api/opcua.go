package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// OPCUA looks at the servers of the configured OPC UA connections, and acts on them. All
// methods fail with CodeNotFound if there is no connection of the name, with CodeForbidden if
// the key is bound to other machines than those of the connection, and with CodeUnavailable
// while the server is away.
type OPCUA interface {
	// Browse lists what stands right below a node, "" for the server's objects: at most limit
	// nodes after a place.
	Browse(ctx context.Context, connection, node string, after *mes.UAPlace, limit int, scope mes.Scope) ([]mes.UANode, error)
	// Read has a result for each item.
	Read(ctx context.Context, connection string, items []mes.UARead, scope mes.Scope) ([]mes.UAValue, error)
	// Write and Call have a result for each item, and are audited. Their errors say that
	// nothing was changed.
	Write(ctx context.Context, connection string, items []mes.UAWrite, caller mes.UACaller) (mes.UAAction[mes.UAWritten], error)
	Call(ctx context.Context, connection string, items []mes.UACall, caller mes.UACaller) (mes.UAAction[mes.UACalled], error)
	// Refused audits an action that did not come so far.
	Refused(ctx context.Context, action, connection string, caller mes.UACaller, fault error)
}

// maxReads bounds the items of one read.
const maxReads = 1000

// uaNodeBody is a node as it is seen from its parent.
type uaNodeBody struct {
	// With the URI of its namespace, as the configuration takes it.
	NodeID      string `json:"node_id" example:"nsu=urn:example:press;s=Press/Temperature" validate:"required"`
	BrowseName  string `json:"browse_name" example:"Temperature" validate:"required"`
	DisplayName string `json:"display_name" example:"Temperature" validate:"required"`
	Class       string `json:"class" enums:"Object,Variable,Method,View,ObjectType,VariableType,ReferenceType,DataType" example:"Variable" validate:"required"`
	// How the parent refers to it.
	ReferenceType string `json:"reference_type" example:"HasComponent" validate:"required"`
	// Of objects and variables.
	TypeDefinition string `json:"type_definition,omitempty" example:"AnalogItemType"`
	// Of variables.
	DataType string `json:"data_type,omitempty" example:"Double"`
	// -1 is a scalar, 1 an array, more are dimensions; 0 is one dimension or more, -2 anything, -3 a scalar or one dimension.
	ValueRank *int32 `json:"value_rank,omitempty" example:"-1"`
	// What the server lets this user do, as far as it tells. The configuration's writable stands beside it.
	Readable *bool `json:"readable,omitempty" example:"true"`
	Writable *bool `json:"writable,omitempty" example:"false"`
} //	@name	OPCUANode

func newUANodeBody(n mes.UANode) uaNodeBody {
	b := uaNodeBody{
		NodeID: n.NodeID, BrowseName: n.BrowseName, DisplayName: n.DisplayName, Class: n.Class,
		ReferenceType: n.ReferenceType, TypeDefinition: n.TypeDefinition, DataType: n.DataType,
	}
	if n.Class == "Variable" {
		b.ValueRank, b.Readable, b.Writable = &n.ValueRank, &n.Readable, &n.Writable
	}
	return b
}

// browseOPCUA lists what stands right below a node.
//
//	@Summary		Browse an OPC UA server
//	@Description	One level: what the hierarchical references of a node lead to, in the server's order. plantgate asks by a session of its own, which is closed 10 seconds after the last request, whichever server has the connection.
//	@Tags			opcua
//	@ID				browseOPCUA
//	@Security		ApiKey
//	@Produce		json
//	@Param			name	path		string	true	"name of the connection"
//	@Param			node	query		string	false	"node id, by nsu= or ns=; the Objects folder if left out"
//	@Param			limit	query		int		false	"size of the page"	minimum(1)	maximum(1000)	default(100)
//	@Param			cursor	query		string	false	"next_cursor of the page before"
//	@Success		200		{object}	page[uaNodeBody]
//	@Header			200		{string}	Link	"address of the next page"
//	@Failure		401,403,404,409,413,422,429,503	{object}	problemDocument
//	@Router			/api/v1/adapters/opcua/{name}/browse [get]
func (a *API) browseOPCUA(c echo.Context) error {
	q := newQuery(c)
	node, limit, position := q.text("node"), q.limit(), cursorOf[mes.UAPlace](q)
	if err := q.err(); err != nil {
		return err
	}
	found, err := a.deps.OPCUA.Browse(c.Request().Context(), pathParam(c, "name"), node, position, limit+1, keyOf(c).Limit)
	if err != nil {
		return err
	}
	return answerPage(c, q, found, limit, newUANodeBody, func(n mes.UANode) mes.UAPlace { return n.Place })
}

// uaReadRequest is what is to be read.
type uaReadRequest struct {
	// At most 1,000.
	Items []uaReadItem `json:"items" validate:"required"`
} //	@name	OPCUARead

// uaReadItem is an attribute of a node.
type uaReadItem struct {
	Node string `json:"node,omitzero" example:"nsu=urn:example:press;s=Press/Temperature" validate:"required"`
	// Value if left out.
	Attribute string `json:"attribute,omitzero" example:"Value"`
} //	@name	OPCUAReadItem

// uaReadBody has a result for each item, in their order.
type uaReadBody struct {
	Items []uaValueBody `json:"items" validate:"required"`
} //	@name	OPCUAReadResult

// uaValueBody is what the server says of an attribute.
type uaValueBody struct {
	Node      string `json:"node" example:"nsu=urn:example:press;s=Press/Temperature" validate:"required"`
	Attribute string `json:"attribute" example:"Value" validate:"required"`
	uaStatusBody
	Quality string `json:"quality" enums:"good,uncertain,bad" example:"good" validate:"required"`
	// Numbers are exact; NaN and the infinities are texts.
	Value mes.Value `json:"value" swaggertype:"number" example:"72.31" validate:"required"`
	// Of the value, with [] for each dimension of an array.
	DataType        string     `json:"data_type,omitempty" example:"Double"`
	SourceTimestamp *time.Time `json:"source_timestamp,omitempty" example:"2026-11-22T10:15:00.123456Z"`
	ServerTimestamp *time.Time `json:"server_timestamp,omitempty" example:"2026-11-22T10:15:00.123456Z"`
	// Why there is no value.
	Detail string `json:"detail,omitempty"`
} //	@name	OPCUAValue

// uaStatusBody is an OPC UA StatusCode.
type uaStatusBody struct {
	Status     string `json:"status" example:"Good" validate:"required"`
	StatusCode uint32 `json:"status_code" example:"0" validate:"required"`
}

func newUAStatus(s mes.UAStatus) uaStatusBody { return uaStatusBody{s.Name, uint32(s.Code)} }

// readOPCUA reads attributes of nodes.
//
//	@Summary		Read nodes of an OPC UA server
//	@Description	Reads now, and stores nothing. A node that can't be read has the status in its result: the answer is 200 all the same.
//	@Tags			opcua
//	@ID				readOPCUA
//	@Security		ApiKey
//	@Accept			json
//	@Produce		json
//	@Param			name	path		string			true	"name of the connection"
//	@Param			body	body		uaReadRequest	true	"what to read"
//	@Success		200		{object}	uaReadBody
//	@Failure		400,401,403,404,413,415,422,429,503	{object}	problemDocument
//	@Router			/api/v1/adapters/opcua/{name}/read [post]
func (a *API) readOPCUA(c echo.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	var request uaReadRequest
	if err := a.decode(c, &request); err != nil {
		return err
	}
	if err := countItems(len(request.Items), maxReads); err != nil {
		return err
	}
	items := make([]mes.UARead, len(request.Items))
	for i, item := range request.Items {
		items[i] = mes.UARead{Node: item.Node, Attribute: item.Attribute}
	}
	values, err := a.deps.OPCUA.Read(c.Request().Context(), pathParam(c, "name"), items, keyOf(c).Limit)
	if err != nil {
		return err
	}
	answer := uaReadBody{Items: make([]uaValueBody, len(values))}
	for i, v := range values {
		answer.Items[i] = uaValueBody{
			Node: v.Node, Attribute: v.Attribute, uaStatusBody: newUAStatus(v.Status), Quality: v.Status.Code.Severity(),
			Value: v.Value, DataType: v.DataType, SourceTimestamp: optionalTime(v.SourceTime), ServerTimestamp: optionalTime(v.ServerTime),
			Detail: v.Detail,
		}
	}
	return c.JSON(http.StatusOK, answer)
}

func countItems(n, most int) error {
	if n < 1 || n > most {
		return mes.Invalid([]mes.FieldError{{Pointer: "/items", Detail: fmt.Sprintf("must be 1 to %d, not %d", most, n)}})
	}
	return nil
}

// noOPCUA is a server without OPC UA connections.
type noOPCUA struct{}

func (noOPCUA) none(connection string) error {
	return mes.Errorf(mes.CodeNotFound, "there is no OPC UA connection %q", connection)
}

// Browse implements OPCUA.
func (n noOPCUA) Browse(_ context.Context, connection, _ string, _ *mes.UAPlace, _ int, _ mes.Scope) ([]mes.UANode, error) {
	return nil, n.none(connection)
}

// Read implements OPCUA.
func (n noOPCUA) Read(_ context.Context, connection string, _ []mes.UARead, _ mes.Scope) ([]mes.UAValue, error) {
	return nil, n.none(connection)
}

// Write implements OPCUA.
func (n noOPCUA) Write(_ context.Context, connection string, _ []mes.UAWrite, _ mes.UACaller) (mes.UAAction[mes.UAWritten], error) {
	return mes.UAAction[mes.UAWritten]{}, n.none(connection)
}

// Call implements OPCUA.
func (n noOPCUA) Call(_ context.Context, connection string, _ []mes.UACall, _ mes.UACaller) (mes.UAAction[mes.UACalled], error) {
	return mes.UAAction[mes.UACalled]{}, n.none(connection)
}

// Refused implements OPCUA.
func (noOPCUA) Refused(context.Context, string, string, mes.UACaller, error) {}
