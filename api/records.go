package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// RecordStore reads records.
type RecordStore interface {
	// Records lists records in the order of their positions.
	Records(ctx context.Context, filter mes.RecordFilter) ([]mes.Record, error)
	// Record fails with CodeNotFound if there is none.
	Record(ctx context.Context, id mes.ID) (mes.Record, error)
}

// recordBody is one message of one machine at one time.
type recordBody struct {
	ID        string    `json:"id" example:"019aab1c-7d20-8c11-9e02-3f5a6b7c8d9e" format:"uuid" validate:"required"`
	SiteID    string    `json:"site_id" example:"main" validate:"required"`
	MachineID string    `json:"machine_id" example:"M001" validate:"required"`
	DataType  string    `json:"data_type" enums:"Telemetry,Production,Quality,Event,State" example:"Telemetry" validate:"required"`
	Timestamp time.Time `json:"timestamp" example:"2026-11-22T10:15:00Z" validate:"required"`
	// Whose clock the timestamp is of.
	TimestampOrigin string `json:"timestamp_origin" enums:"source,server,receipt" example:"source" validate:"required"`
	// Time that an OPC UA server gave.
	ServerTimestamp *time.Time `json:"server_timestamp,omitempty" example:"2026-11-22T10:15:00.002Z"`
	ReceivedAt      time.Time  `json:"received_at" example:"2026-11-22T10:15:00.412Z" validate:"required"`
	Status          string     `json:"status,omitempty" enums:"Running,Idle,Stopped,Maintenance" example:"Running"`
	// OPC UA StatusCode; 0 is Good.
	StatusCode uint32 `json:"status_code" example:"0" validate:"required"`
	Quality    string `json:"quality" enums:"good,uncertain,bad" example:"good" validate:"required"`
	// Order among records of the same time.
	Sequence  *int64 `json:"sequence,omitempty"`
	MessageID string `json:"message_id,omitempty"`
	// Values by name; numbers are exact decimals.
	Signals map[string]mes.Value `json:"signals" swaggertype:"object" validate:"required"`
	Units   map[string]string    `json:"units,omitempty"`
	Flags   []string             `json:"flags" example:"ahead" validate:"required"`
	Source  sourceBody           `json:"source" validate:"required"`
	// The message as it came, if it is a JSON object and all of it is this record.
	Payload json.RawMessage `json:"payload,omitempty" swaggertype:"object"`
} //	@name	Record

// sourceBody says where a message came from.
type sourceBody struct {
	Door string `json:"door" enums:"rest,mqtt,opcua,import" example:"rest" validate:"required"`
	// Name of the MQTT or OPC UA connection, or id of the API key.
	Connection string `json:"connection,omitempty"`
	// Topic, node id or path.
	Address string `json:"address,omitempty" example:"/data"`
} //	@name	Source

func newRecordBody(r mes.Record) recordBody {
	b := recordBody{
		ID: r.ID.String(), SiteID: r.SiteID, MachineID: r.MachineID, DataType: string(r.DataType),
		Timestamp: r.Time.UTC(), TimestampOrigin: string(r.TimeOrigin),
		ServerTimestamp: optionalTime(r.ServerTime), ReceivedAt: r.ReceivedAt.UTC(),
		Status: string(r.Status), StatusCode: uint32(r.StatusCode), Quality: r.StatusCode.Severity(),
		Sequence: r.Sequence, MessageID: r.MessageID,
		Signals: make(map[string]mes.Value, len(r.Signals)),
		Flags:   make([]string, 0, len(r.Flags)),
		Source:  newSourceBody(r.Origin),
	}
	for _, s := range r.Signals {
		b.Signals[s.Name] = s.Value
		if s.Unit != "" {
			if b.Units == nil {
				b.Units = make(map[string]string)
			}
			b.Units[s.Name] = s.Unit
		}
	}
	for _, f := range r.Flags {
		b.Flags = append(b.Flags, string(f))
	}
	if json.Valid(r.Payload) {
		b.Payload = r.Payload
	}
	return b
}

func newSourceBody(o mes.Origin) sourceBody {
	return sourceBody{Door: string(o.Door), Connection: o.Connection, Address: o.Address}
}

// optionalTime is nil for the zero time.
func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// recordPosition is a record's place in the cursor of a list.
type recordPosition struct {
	Time     time.Time `json:"t"`
	Sequence *int64    `json:"s,omitempty"`
	ID       mes.ID    `json:"i"`
}

// listRecords lists records.
//
//	@Summary	List records
//	@Tags		data
//	@ID			listRecords
//	@Security	ApiKey
//	@Produce	json
//	@Param		machine_id	query		string	false	"id of the machine, or {site}~{id}; without a site it is of the key's site"
//	@Param		machine		query		string	false	"the same as machine_id"
//	@Param		site_id		query		string	false	"site"
//	@Param		from		query		string	false	"first time, inclusive"	format(date-time)
//	@Param		to			query		string	false	"last time, exclusive"	format(date-time)
//	@Param		data_type	query		string	false	"data type"	Enums(Telemetry, Production, Quality, Event, State)
//	@Param		source		query		string	false	"protocol it came by"	Enums(rest, mqtt, opcua, import)
//	@Param		status		query		string	false	"status that the record bears"	Enums(Running, Idle, Stopped, Maintenance)
//	@Param		order		query		string	false	"asc is oldest first"	Enums(asc, desc)	default(desc)
//	@Param		limit		query		int		false	"size of the page"	minimum(1)	maximum(1000)	default(100)
//	@Param		cursor		query		string	false	"next_cursor of the page before"
//	@Success	200			{object}	page[recordBody]
//	@Header		200			{string}	Link	"address of the next page"
//	@Failure	401,403,422,429,503	{object}	problemDocument
//	@Router		/data [get]
func (a *API) listRecords(c echo.Context) error {
	q, key := newQuery(c), keyOf(c)
	site, machine := a.machineFilter(q, key)
	filter := mes.RecordFilter{
		Scope: key.Limit, SiteID: site, MachineID: machine,
		From: q.time("from"), To: q.time("to"),
		DataType: oneOf(q, "data_type", mes.DataTypes()), Door: oneOf(q, "source", mes.Doors()),
		Status:     oneOf(q, "status", mes.Statuses()),
		Descending: oneOf(q, "order", []string{"asc", "desc"}) != "asc",
	}
	if !filter.From.IsZero() && !filter.To.IsZero() && filter.To.Before(filter.From) {
		q.fault("to", "must not be before from")
	}
	limit := q.limit()
	if p := cursorOf[recordPosition](q); p != nil {
		filter.After = &mes.Position{Time: p.Time, Sequence: p.Sequence, ID: p.ID}
	}
	if err := q.err(); err != nil {
		return err
	}
	found, limit, err := readPage(limit, sizeOfRecord, func(last *mes.Record, n int) ([]mes.Record, error) {
		if last != nil {
			p := last.Position()
			filter.After = &p
		}
		filter.Limit = n
		return a.deps.Store.Records(c.Request().Context(), filter)
	})
	if err != nil {
		return err
	}
	return answerPage(c, q, found, limit, newRecordBody, func(r mes.Record) recordPosition {
		return recordPosition{r.Time.UTC(), r.Sequence, r.ID}
	})
}

// sizeOfRecord is about what a record takes in an answer, in bytes.
func sizeOfRecord(r mes.Record) int {
	size := len(r.Payload)
	for _, s := range r.Signals {
		size += len(s.Name) + len(s.Value.Text())
	}
	return size
}

// machineFilter reads site_id and machine_id, or its short form machine.
func (a *API) machineFilter(q *query, key *mes.APIKey) (site, machine string) {
	site = q.id("site_id")
	machine, short := q.text("machine_id"), q.text("machine")
	switch {
	case machine == "":
		machine = short
	case short != "" && short != machine:
		q.fault("machine", "must not differ from machine_id")
	}
	if machine == "" {
		return site, ""
	}
	if site == "" || strings.Contains(machine, "~") {
		own, id := a.address(key, machine)
		if site != "" && own != site {
			q.fault("machine_id", "names another site than site_id")
		}
		site, machine = own, id
	}
	for _, id := range []string{site, machine} {
		if err := mes.CheckID(id); err != nil {
			q.fault("machine_id", "%s", err.Error())
			break
		}
	}
	return site, machine
}

// getRecord returns one record.
//
//	@Summary	Read a record
//	@Tags		data
//	@ID			getRecord
//	@Security	ApiKey
//	@Produce	json
//	@Param		id	path		string	true	"id of the record"	format(uuid)
//	@Success	200	{object}	recordBody
//	@Failure	401,403,404,422,429,503	{object}	problemDocument
//	@Router		/data/{id} [get]
func (a *API) getRecord(c echo.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	id, err := pathID(c)
	if err != nil {
		return err
	}
	r, err := a.deps.Store.Record(c.Request().Context(), id)
	if err != nil {
		return err
	}
	if !keyOf(c).Limit.Allows(r.SiteID, r.MachineID) {
		return mes.Errorf(mes.CodeNotFound, "there is no record %s", id)
	}
	return c.JSON(http.StatusOK, newRecordBody(r))
}
