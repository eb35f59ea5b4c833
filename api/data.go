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
	// created, or duplicate where the record was there already; accepted while the
	// database is away: durable on this server, with this id, and not yet to be read.
	Status    string `json:"status" enums:"created,duplicate,accepted" example:"created" validate:"required"`
	SiteID    string `json:"site_id" example:"main" validate:"required"`
	MachineID string `json:"machine_id" example:"M001" validate:"required"`
	// Time of the record; missing where a duplicate's first arrival has another.
	Timestamp *time.Time `json:"timestamp,omitempty" example:"2026-11-22T10:15:00Z"`
} //	@name	Stored

// Decoder reads the bodies of POST /data: one record at once, of many some at a
// time.
type Decoder interface {
	DecodeOne(src ingest.Source, body []byte, rec *mes.Record)
	Open(src ingest.Source, body []byte) (*ingest.Batch, *mes.Error)
}

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
//	@Description	201 and 200 mean that the record is in the store, on disk; 202 that the shared database is away and the record on the disk of this server. Every member but machine_id, site_id, timestamp, status, message_id, sequence and data_type is a signal.
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
//	@Success		202				{object}	stored	"on the disk of this server, while the database is away"
//	@Success		207				{object}	batchResult	"outcomes differ"
//	@Header			200,201			{string}	Location	"address of the record"
//	@Failure		400,401,403,409,413,415,422,429,503	{object}	problemDocument
//	@Router			/data [post]
func (a *API) postData(c echo.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	p := posted{exchange: exchangeOf(c)}
	var err error
	if p.idempotencyKey, err = idempotencyKeyOf(c.Request()); err != nil {
		return err
	}
	if p.body, err = a.readBody(c); err != nil {
		return err
	}
	if p.format, err = dataFormat(c.Request(), p.body); err != nil {
		return err
	}
	if isBatch(p.body, p.format) {
		return a.postBatch(c, &p)
	}
	return a.postOne(c, &p)
}

// posted is a request to store data.
type posted struct {
	*exchange
	idempotencyKey string
	body           []byte
	format         ingest.Format
	bodySum        [32]byte
}

func (a *API) postOne(c echo.Context, p *posted) error {
	record := p.record
	p.record = nil
	if record == nil {
		record = new([1]mes.Record)
	}
	a.deps.Decoder.DecodeOne(a.source(p), p.body, &record[0])
	receipts, err := a.ingest(c, p, a.deps.Ingester, record[:], 0)
	if err != nil {
		return err // the record and the body may still be on their way
	}
	p.record = record
	p.doneWithBody(p.body)
	return p.answerOne(c, &record[0], receipts[0])
}

// ingest stores some of the records of a request; first is the place of the first
// in it.
func (a *API) ingest(c echo.Context, p *posted, to ingest.Ingester, records []mes.Record, first int) ([]mes.Receipt, error) {
	a.keepToLimit(records, &p.key)
	p.setIdempotency(records, first)
	receipts, err := to.Ingest(c.Request().Context(), records)
	if err == nil && len(receipts) != len(records) {
		err = mes.Wrap(mes.CodeInternal, fmt.Errorf("%d receipts for %d records", len(receipts), len(records)), "receipts are missing")
	}
	return receipts, err
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

func (a *API) source(p *posted) ingest.Source {
	return ingest.Source{
		Origin: mes.Origin{
			Door: mes.DoorREST, Connection: p.keyID(), Address: "/data", Format: string(p.format),
		},
		SiteID:     a.homeSite(&p.key),
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
	list := r.Header[headerIdempotency]
	if len(list) == 0 {
		return "", nil
	}
	key := list[0]
	if len(list) > 1 || key == "" || len(key) > maxIdempotencyKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", invalidParameter(headerIdempotency, "must be given once, with 1 to %d printable ASCII characters", maxIdempotencyKey)
	}
	return key, nil
}

// setIdempotency gives each record the caller's key of the request, with its place
// in it.
func (p *posted) setIdempotency(records []mes.Record, first int) {
	if p.idempotencyKey == "" {
		return
	}
	if first == 0 {
		p.bodySum = sha256.Sum256(p.body)
	}
	for i := range records {
		records[i].Idempotency = &mes.Idempotency{Key: fmt.Sprintf("%s/%s#%d", p.keyID(), p.idempotencyKey, first+i), Body: p.bodySum}
	}
}

// answerOne answers with what stored describes.
func (x *exchange) answerOne(c echo.Context, r *mes.Record, receipt mes.Receipt) error {
	if receipt.Fault != nil {
		return receipt.Fault
	}
	location := string(receipt.ID.Append(append(x.text[:0], "/data/"...)))
	b := x.text[:0]
	b = append(b, `{"id":"`...)
	b = append(b, location[len("/data/"):]...)
	b = append(b, `","status":"`...)
	b = append(b, receipt.Status...)
	b = append(b, `","site_id":`...)
	b = mes.String(r.SiteID).AppendJSON(b)
	b = append(b, `,"machine_id":`...)
	b = mes.String(r.MachineID).AppendJSON(b)
	if receipt.ID == r.ID && !r.Time.IsZero() {
		b = append(b, `,"timestamp":"`...)
		b = r.Time.UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, '"')
	}
	b = append(b, '}', '\n')
	x.text = b
	c.Response().Header()[echo.HeaderLocation] = []string{location}
	return x.sendJSON(c, statusOfReceipt(receipt), x.text)
}

// sendJSON sends a whole answer.
func (x *exchange) sendJSON(c echo.Context, status int, body []byte) error {
	if len(body) < compressFrom {
		x.plain()
		// The same for every caller, and so with few enough headers for a small map.
		delete(c.Response().Header(), echo.HeaderVary)
	}
	c.Response().Header()[echo.HeaderContentType] = jsonType
	c.Response().WriteHeader(status)
	_, err := c.Response().Write(body)
	return err
}

func statusOfReceipt(r mes.Receipt) int {
	switch {
	case r.Fault != nil:
		return statusOf(r.Fault.Code)
	case r.Status == mes.ReceiptCreated:
		return http.StatusCreated
	case r.Status == mes.ReceiptAccepted:
		return http.StatusAccepted
	default:
		return http.StatusOK
	}
}
