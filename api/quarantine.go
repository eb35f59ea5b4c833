package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// Quarantine resolves quarantined items. Both methods fail with CodeNotFound
// for an item that is not there and CodeConflict for one that is not open.
type Quarantine interface {
	Replay(ctx context.Context, r ingest.Replay) ([]mes.Receipt, error)
	Discard(ctx context.Context, id mes.ID, by string) error
}

// QuarantineStore reads quarantined items.
type QuarantineStore interface {
	// QuarantineItems lists items, oldest first.
	QuarantineItems(ctx context.Context, filter mes.QuarantineFilter) ([]mes.QuarantineItem, error)
	// QuarantineItem fails with CodeNotFound if there is none.
	QuarantineItem(ctx context.Context, id mes.ID) (mes.QuarantineItem, error)
}

// quarantineBody is a message that could not be accepted.
type quarantineBody struct {
	ID         string     `json:"id" example:"019aab1c-7d20-7c11-9e02-3f5a6b7c8d9e" format:"uuid" validate:"required"`
	State      string     `json:"state" enums:"open,replayed,discarded" example:"open" validate:"required"`
	ReceivedAt time.Time  `json:"received_at" example:"2026-11-22T10:15:00.412Z" validate:"required"`
	Source     sourceBody `json:"source" validate:"required"`
	// Format that the message was read by.
	Format string `json:"format,omitempty" example:"auto"`
	// Site, machine and data type, as far as they are known.
	SiteID    string     `json:"site_id,omitempty" example:"main"`
	MachineID string     `json:"machine_id,omitempty" example:"M001"`
	DataType  string     `json:"data_type,omitempty" enums:"Telemetry,Production,Quality,Event,State" example:"Telemetry"`
	Reason    reasonBody `json:"reason" validate:"required"`
	// Size of the message in bytes.
	Size       int        `json:"size" example:"87" validate:"required"`
	ResolvedAt *time.Time `json:"resolved_at,omitempty" example:"2026-11-22T11:00:00Z"`
	// Id of the API key that replayed or discarded it.
	ResolvedBy string `json:"resolved_by,omitempty"`
	// Record that the replay made, the first if there are several.
	RecordID string `json:"record_id,omitempty" format:"uuid"`
} //	@name	QuarantineItem

// quarantineDetail is an item with its message.
type quarantineDetail struct {
	quarantineBody
	// The message as it came.
	Raw string `json:"raw" example:"{\"machine_id\":\"M001\",\"status\":\"Runing\"}" validate:"required"`
	// utf-8 where the message is text, else base64.
	RawEncoding string `json:"raw_encoding" enums:"utf-8,base64" example:"utf-8" validate:"required"`
} //	@name	QuarantineDetail

// reasonBody is why a message was not accepted.
type reasonBody struct {
	Code   string         `json:"code" example:"invalid" validate:"required"`
	Detail string         `json:"detail" example:"the input has invalid members" validate:"required"`
	Errors []problemField `json:"errors,omitempty"`
} //	@name	Reason

// replayRequest corrects a message before it is read again. What is left out
// stays as it was.
type replayRequest struct {
	// The corrected message: an object, an array of them, or a string with the text of any message.
	Payload jsontext.Value `json:"payload,omitzero" swaggertype:"object"`
	// Machine of a message that names none.
	MachineID string `json:"machine_id,omitzero" example:"M001"`
	// Site of a message that names none.
	SiteID string `json:"site_id,omitzero" example:"main"`
	// Format to read the message by.
	Format string `json:"format,omitzero" enums:"auto,flat,envelope,snapshot,value,ndjson" example:"auto"`
} //	@name	Replay

func newQuarantineBody(q mes.QuarantineItem) quarantineBody {
	b := quarantineBody{
		ID: q.ID.String(), State: string(q.State), ReceivedAt: q.ReceivedAt.UTC(),
		Source: newSourceBody(q.Origin), Format: q.Origin.Format,
		SiteID: q.SiteID, MachineID: q.MachineID, DataType: string(q.DataType),
		Reason: reasonBody{Code: string(q.Reason.Code), Detail: q.Reason.Message},
		Size:   int(q.RawSize), ResolvedAt: optionalTime(q.ResolvedAt), ResolvedBy: q.ResolvedBy,
	}
	for _, f := range q.Reason.Fields {
		b.Reason.Errors = append(b.Reason.Errors, problemField(f))
	}
	if !q.RecordID.IsZero() {
		b.RecordID = q.RecordID.String()
	}
	return b
}

// quarantinePosition is an item's place in the cursor of a list.
type quarantinePosition struct {
	ID mes.ID `json:"i"`
}

// listQuarantine lists quarantined items.
//
//	@Summary	List quarantined messages
//	@Tags		quarantine
//	@ID			listQuarantine
//	@Security	ApiKey
//	@Produce	json
//	@Param		state	query		string	false	"state of the item"	Enums(open, replayed, discarded)
//	@Param		source	query		string	false	"protocol it came by"	Enums(rest, mqtt, opcua, import)
//	@Param		site_id	query		string	false	"site"
//	@Param		limit	query		int		false	"size of the page"	minimum(1)	maximum(1000)	default(100)
//	@Param		cursor	query		string	false	"next_cursor of the page before"
//	@Success	200		{object}	page[quarantineBody]
//	@Header		200		{string}	Link	"address of the next page"
//	@Failure	401,403,422,429,503	{object}	problemDocument
//	@Router		/api/v1/quarantine [get]
func (a *API) listQuarantine(c echo.Context) error {
	q := newQuery(c)
	limit := q.limit()
	filter := mes.QuarantineFilter{
		Scope: keyOf(c).Limit, SiteID: q.id("site_id"), Door: oneOf(q, "source", mes.Doors()), Limit: limit + 1,
		State: oneOf(q, "state", []mes.QuarantineState{mes.QuarantineOpen, mes.QuarantineReplayed, mes.QuarantineDiscarded}),
	}
	if p := cursorOf[quarantinePosition](q); p != nil {
		filter.After = p.ID
	}
	if err := q.err(); err != nil {
		return err
	}
	found, err := a.deps.Store.QuarantineItems(c.Request().Context(), filter)
	if err != nil {
		return err
	}
	return answerPage(c, q, found, limit, newQuarantineBody, func(i mes.QuarantineItem) quarantinePosition {
		return quarantinePosition{i.ID}
	})
}

// getQuarantined returns one item with its message.
//
//	@Summary	Read a quarantined message
//	@Tags		quarantine
//	@ID			getQuarantined
//	@Security	ApiKey
//	@Produce	json
//	@Param		id	path		string	true	"id of the item"	format(uuid)
//	@Success	200	{object}	quarantineDetail
//	@Failure	401,403,404,422,429,503	{object}	problemDocument
//	@Router		/api/v1/quarantine/{id} [get]
func (a *API) getQuarantined(c echo.Context) error {
	item, err := a.quarantined(c)
	if err != nil {
		return err
	}
	detail := quarantineDetail{quarantineBody: newQuarantineBody(item), Raw: string(item.Raw), RawEncoding: "utf-8"}
	if !utf8.Valid(item.Raw) {
		detail.Raw, detail.RawEncoding = base64.StdEncoding.EncodeToString(item.Raw), "base64"
	}
	return c.JSON(http.StatusOK, detail)
}

// getQuarantinedRaw returns the bytes of the message.
//
//	@Summary	Download a quarantined message as it came
//	@Tags		quarantine
//	@ID			getQuarantinedRaw
//	@Security	ApiKey
//	@Produce	octet-stream
//	@Param		id	path		string	true	"id of the item"	format(uuid)
//	@Success	200	{file}		binary
//	@Header		200	{string}	Content-Disposition	"name of the file"
//	@Failure	401,403,404,422,429,503	{object}	problemDocument
//	@Router		/api/v1/quarantine/{id}/raw [get]
func (a *API) getQuarantinedRaw(c echo.Context) error {
	item, err := a.quarantined(c)
	if err != nil {
		return err
	}
	// As a download, since the bytes may be a page of somebody's making.
	c.Response().Header().Set(echo.HeaderContentDisposition, `attachment; filename="`+item.ID.String()+`.bin"`)
	return c.Blob(http.StatusOK, echo.MIMEOctetStream, item.Raw)
}

// quarantined returns the item that the path names, if the key may see it.
func (a *API) quarantined(c echo.Context) (mes.QuarantineItem, error) {
	if err := noQuery(c); err != nil {
		return mes.QuarantineItem{}, err
	}
	id, err := pathID(c)
	if err != nil {
		return mes.QuarantineItem{}, err
	}
	item, err := a.deps.Store.QuarantineItem(c.Request().Context(), id)
	if err != nil {
		return mes.QuarantineItem{}, err
	}
	if !keyOf(c).Limit.Allows(item.SiteID, item.MachineID) {
		return mes.QuarantineItem{}, mes.Errorf(mes.CodeNotFound, "there is no quarantined item %s", id)
	}
	return item, nil
}

// replayQuarantined reads an item again and stores its records.
//
//	@Summary		Replay a quarantined message
//	@Description	Reads the message again, corrected if the body says so, and stores its records. If any of it is still faulty, nothing is stored and the item stays open.
//	@Tags			quarantine
//	@ID				replayQuarantined
//	@Security		ApiKey
//	@Accept			json
//	@Produce		json
//	@Param			id		path		string			true	"id of the item"	format(uuid)
//	@Param			body	body		replayRequest	false	"what to correct; nothing if missing"
//	@Success		200		{object}	batchResult
//	@Failure		400,401,403,404,409,413,415,422,429,503	{object}	problemDocument
//	@Router			/api/v1/quarantine/{id}/replay [post]
func (a *API) replayQuarantined(c echo.Context) error {
	item, err := a.quarantined(c)
	if err != nil {
		return err
	}
	var request replayRequest
	if err := a.decodeOptional(c, &request); err != nil {
		return err
	}
	replay, err := request.replay(item.ID, keyOf(c))
	if err != nil {
		return err
	}
	receipts, err := a.deps.Quarantine.Replay(c.Request().Context(), replay)
	if err != nil {
		return err
	}
	return sendBatch(c, http.StatusOK, receipts)
}

func (r replayRequest) replay(id mes.ID, key *mes.APIKey) (ingest.Replay, error) {
	replay := ingest.Replay{
		ID: id, By: key.ID.String(), MachineID: r.MachineID, SiteID: r.SiteID, Format: r.Format, Limit: key.Limit,
	}
	var faults []mes.FieldError
	switch r.Payload.Kind() {
	case 0:
	case '{', '[':
		replay.Body = r.Payload
	case '"':
		replay.Body, _ = jsontext.AppendUnquote([]byte{}, r.Payload) // decoding checked it
	default:
		faults = append(faults, mes.FieldError{Pointer: "/payload", Detail: "must be an object, an array or a string"})
	}
	for pointer, value := range map[string]string{"/machine_id": r.MachineID, "/site_id": r.SiteID} {
		if value == "" {
			continue
		}
		if err := mes.CheckID(value); err != nil {
			faults = append(faults, mes.FieldError{Pointer: pointer, Detail: err.Error()})
		}
	}
	if r.Format != "" && !slices.Contains(formats(), ingest.Format(r.Format)) {
		faults = append(faults, mes.FieldError{Pointer: "/format", Detail: "must be one of auto, flat, envelope, snapshot, value, ndjson"})
	}
	if fault := mes.Invalid(faults); fault != nil {
		return replay, fault
	}
	return replay, nil
}

func formats() []ingest.Format {
	return []ingest.Format{
		ingest.FormatAuto, ingest.FormatFlat, ingest.FormatEnvelope,
		ingest.FormatSnapshot, ingest.FormatValue, ingest.FormatNDJSON,
	}
}

// discardQuarantined closes an item without storing anything.
//
//	@Summary		Discard a quarantined message
//	@Description	Closes the item. Its message stays readable.
//	@Tags			quarantine
//	@ID				discardQuarantined
//	@Security		ApiKey
//	@Produce		json
//	@Param			id	path	string	true	"id of the item"	format(uuid)
//	@Success		204
//	@Failure		401,403,404,409,422,429,503	{object}	problemDocument
//	@Router			/api/v1/quarantine/{id}/discard [post]
func (a *API) discardQuarantined(c echo.Context) error {
	item, err := a.quarantined(c)
	if err != nil {
		return err
	}
	if err := a.deps.Quarantine.Discard(c.Request().Context(), item.ID, keyOf(c).ID.String()); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
