package api

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// headerIdempotency names the caller's key of a whole request
// (draft-ietf-httpapi-idempotency-key-header).
const headerIdempotency = "Idempotency-Key"

// maxIdempotencyKey is its length in bytes.
const maxIdempotencyKey = 255

// ndjson is the media type of one JSON object a line.
const ndjson = "application/x-ndjson"

// stored is the answer to a single record.
type stored struct {
	ID string `json:"id" example:"019aab1c-7d20-8c11-9e02-3f5a6b7c8d9e" format:"uuid" validate:"required"`
	// created, or duplicate where the record was there already.
	Status    string `json:"status" enums:"created,duplicate" example:"created" validate:"required"`
	SiteID    string `json:"site_id" example:"main" validate:"required"`
	MachineID string `json:"machine_id" example:"M001" validate:"required"`
	// Time of the record; missing where a duplicate's first arrival has another.
	Timestamp *time.Time `json:"timestamp,omitempty" example:"2026-11-22T10:15:00Z"`
} //	@name	Stored

// batchResult is the answer to an array or to lines of records.
type batchResult struct {
	// One for each record, in the order of the request.
	Items   []batchItem  `json:"items" validate:"required"`
	Summary batchSummary `json:"summary" validate:"required"`
} //	@name	BatchResult

// batchItem is the answer to one record of a batch.
type batchItem struct {
	// Place in the request, from 0.
	Index int `json:"index" example:"0" validate:"required"`
	// HTTP status that this record alone would have got.
	StatusCode int    `json:"status_code" example:"201" validate:"required"`
	Status     string `json:"status" enums:"created,duplicate,quarantined,rejected" example:"created" validate:"required"`
	// Id of the record, or of the quarantined item.
	ID string `json:"id,omitempty" example:"019aab1c-7d20-8c11-9e02-3f5a6b7c8d9e" format:"uuid"`
	// Why it was not accepted.
	Error *problemDocument `json:"error,omitempty"`
} //	@name	BatchItem

// batchSummary counts the outcomes of a batch.
type batchSummary struct {
	Created     int `json:"created" example:"1" validate:"required"`
	Duplicate   int `json:"duplicate" example:"0" validate:"required"`
	Quarantined int `json:"quarantined" example:"0" validate:"required"`
	Rejected    int `json:"rejected" example:"0" validate:"required"`
} //	@name	BatchSummary

// reading documents the body of POST /data; ingest decodes it.
type reading struct {
	MachineID string `json:"machine_id" example:"M001"`
	// Without an offset it is local time of the machine's site; without a
	// timestamp the time of receipt counts.
	Timestamp   string  `json:"timestamp" example:"2026-11-22T10:15:00"`
	Temperature float64 `json:"temperature" example:"72.31"`
	Status      string  `json:"status" enums:"Running,Idle,Stopped,Maintenance" example:"Running"`
} //	@name	Reading

// postData stores machine data.
//
//	@Summary		Store machine data
//	@Description	Stores one record (an object) or many (an array, or one object a line as application/x-ndjson).
//	@Description	201 and 200 mean that the record is on disk. Every member but machine_id, site_id, timestamp, status, message_id, sequence and data_type is a signal.
//	@Description	A faulty single record gets its error in the answer. Faulty records of a batch go to quarantine, the others are stored.
//	@Description	The Content-Type is application/json, another +json type, text/plain, application/x-ndjson, or missing; a form, as curl -d calls it, is taken where the body is JSON.
//	@Description	The body may be compressed (Content-Encoding: gzip).
//	@Tags			data
//	@ID				postData
//	@Security		ApiKey
//	@Accept			json
//	@Produce		json
//	@Param			Idempotency-Key	header		string	false	"makes a retry of the whole request harmless for 24 hours"	maxlength(255)
//	@Param			body			body		reading	true	"one record, or an array of them"
//	@Success		200				{object}	stored	"was there already"
//	@Success		201				{object}	stored	"stored"
//	@Success		207				{object}	batchResult	"outcomes differ"
//	@Header			200,201			{string}	Location	"address of the record"
//	@Failure		400,401,403,409,413,415,422,429,503	{object}	problemDocument
//	@Router			/data [post]
func (a *API) postData(c echo.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	idempotencyKey, err := idempotencyKeyOf(c.Request())
	if err != nil {
		return err
	}
	body, err := a.readBody(c)
	if err != nil {
		return err
	}
	format, err := dataFormat(c.Request(), body)
	if err != nil {
		return err
	}
	key := keyOf(c)
	records := a.deps.Decoder.Decode(a.source(key, format), body)
	if fault := wholeFault(records, body, format); fault != nil {
		return fault
	}
	a.keepToLimit(records, key)
	setIdempotency(records, key, idempotencyKey, body)
	receipts, err := a.deps.Ingester.Ingest(c.Request().Context(), records)
	if err != nil {
		return err
	}
	if len(receipts) != len(records) {
		return mes.Wrap(mes.CodeInternal, fmt.Errorf("%d receipts for %d records", len(receipts), len(records)), "receipts are missing")
	}
	if !isBatch(body, format) {
		return answerOne(c, records[0], receipts[0])
	}
	return answerBatch(c, receipts)
}

// form is the media type that curl -d sends unless told otherwise.
const form = "application/x-www-form-urlencoded"

// dataFormat tells the format from the media type. Scripts that only set their
// key send none, or that of a form: their body is JSON if it looks so.
func dataFormat(r *http.Request, body []byte) (ingest.Format, error) {
	name, err := mediaType(r)
	if err != nil {
		return "", err
	}
	switch {
	case name == ndjson || name == "application/ndjson" || name == "application/jsonl":
		return ingest.FormatNDJSON, nil
	case isJSON(name) || name == "text/plain" || name == "" || name == form && looksLikeJSON(body):
		return ingest.FormatAuto, nil
	default:
		return "", mes.Errorf(mes.CodeUnsupported, "the body must be JSON with Content-Type: application/json, or application/x-ndjson for one object a line")
	}
}

func looksLikeJSON(body []byte) bool {
	start := withoutMark(body)
	return bytes.HasPrefix(start, []byte("{")) || bytes.HasPrefix(start, []byte("["))
}

func (a *API) source(key *mes.APIKey, format ingest.Format) ingest.Source {
	return ingest.Source{
		Origin: mes.Origin{
			Door: mes.DoorREST, Connection: key.ID.String(), Address: "/data", Format: string(format),
		},
		SiteID:     a.homeSite(key),
		ReceivedAt: a.deps.Clock(),
		Answerable: true,
	}
}

func isBatch(body []byte, format ingest.Format) bool {
	return format == ingest.FormatNDJSON || bytes.HasPrefix(withoutMark(body), []byte("["))
}

// withoutMark leaves out a byte order mark and white space at the beginning.
func withoutMark(body []byte) []byte {
	return bytes.TrimLeft(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), " \t\r\n")
}

// wholeFault returns the fault of a batch that can't be read as one. Its sender
// gets it, and nothing goes to quarantine.
func wholeFault(records []mes.Record, body []byte, format ingest.Format) error {
	if len(records) == 0 {
		return mes.Errorf(mes.CodeInvalid, "the batch is empty; send at least one record")
	}
	if len(records) > 1 || records[0].Fault == nil || !isBatch(body, format) {
		return nil
	}
	whole := len(withoutMark(records[0].Payload)) == len(withoutMark(body))
	if format == ingest.FormatNDJSON {
		whole = whole && (records[0].Fault.Code == mes.CodeTooLarge || len(withoutMark(body)) == 0)
	}
	if whole {
		return records[0].Fault
	}
	return nil
}

// keepToLimit faults records of sites and machines that the key is not bound to.
// Nothing of a caller's goes to the quarantine of others either.
func (a *API) keepToLimit(records []mes.Record, key *mes.APIKey) {
	for i := range records {
		r := &records[i]
		if key.Limit.Allows(r.SiteID, r.MachineID) {
			continue
		}
		if r.Fault == nil {
			r.Fault = mes.Errorf(mes.CodeForbidden, "the API key may not write machine %q of site %q", r.MachineID, r.SiteID)
		}
		r.SiteID, r.MachineID = a.homeSite(key), ""
	}
}

func idempotencyKeyOf(r *http.Request) (string, error) {
	list := r.Header.Values(headerIdempotency)
	if len(list) == 0 {
		return "", nil
	}
	key := list[0]
	if len(list) > 1 || key == "" || len(key) > maxIdempotencyKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", invalidParameter(headerIdempotency, "must be given once, with 1 to %d printable ASCII characters", maxIdempotencyKey)
	}
	return key, nil
}

func setIdempotency(records []mes.Record, key *mes.APIKey, header string, body []byte) {
	if header == "" {
		return
	}
	sum := sha256.Sum256(body)
	for i := range records {
		records[i].Idempotency = &mes.Idempotency{Key: fmt.Sprintf("%s/%s#%d", key.ID, header, i), Body: sum}
	}
}

func answerOne(c echo.Context, r mes.Record, receipt mes.Receipt) error {
	if receipt.Fault != nil {
		return receipt.Fault
	}
	answer := stored{ID: receipt.ID.String(), Status: string(receipt.Status), SiteID: r.SiteID, MachineID: r.MachineID}
	if receipt.ID == r.ID && !r.Time.IsZero() {
		t := r.Time.UTC()
		answer.Timestamp = &t
	}
	c.Response().Header().Set(echo.HeaderLocation, "/data/"+answer.ID)
	return c.JSON(statusOfReceipt(receipt), answer)
}

func answerBatch(c echo.Context, receipts []mes.Receipt) error {
	result := newBatchResult(receipts)
	status := http.StatusMultiStatus
	switch len(receipts) {
	case result.Summary.Created:
		status = http.StatusCreated
	case result.Summary.Duplicate:
		status = http.StatusOK
	}
	return c.JSON(status, result)
}

func newBatchResult(receipts []mes.Receipt) batchResult {
	result := batchResult{Items: make([]batchItem, len(receipts))}
	for i, receipt := range receipts {
		item := batchItem{Index: i, StatusCode: statusOfReceipt(receipt), Status: string(receipt.Status)}
		if !receipt.ID.IsZero() {
			item.ID = receipt.ID.String()
		}
		if receipt.Fault != nil {
			doc := problemOf(receipt.Fault)
			item.Error = &doc
		}
		result.Items[i] = item
		result.Summary.count(receipt.Status)
	}
	return result
}

func (s *batchSummary) count(status mes.ReceiptStatus) {
	switch status {
	case mes.ReceiptCreated:
		s.Created++
	case mes.ReceiptDuplicate:
		s.Duplicate++
	case mes.ReceiptQuarantined:
		s.Quarantined++
	case mes.ReceiptRejected:
		s.Rejected++
	}
}

func statusOfReceipt(r mes.Receipt) int {
	switch {
	case r.Fault != nil:
		return statusOf(r.Fault.Code)
	case r.Status == mes.ReceiptCreated:
		return http.StatusCreated
	default:
		return http.StatusOK
	}
}
