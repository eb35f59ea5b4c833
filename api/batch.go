package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

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
	Status     string `json:"status" enums:"created,duplicate,accepted,quarantined,rejected" example:"created" validate:"required"`
	// Id of the record, or of the quarantined item.
	ID string `json:"id,omitempty" example:"019aab1c-7d20-8c11-9e02-3f5a6b7c8d9e" format:"uuid"`
	// Why it was not accepted.
	Error *problemDocument `json:"error,omitempty"`
} //	@name	BatchItem

// batchSummary counts the outcomes of a batch.
type batchSummary struct {
	Created     int `json:"created" example:"1" validate:"required"`
	Duplicate   int `json:"duplicate" example:"0" validate:"required"`
	Accepted    int `json:"accepted" example:"0" validate:"required"`
	Quarantined int `json:"quarantined" example:"0" validate:"required"`
	Rejected    int `json:"rejected" example:"0" validate:"required"`
} //	@name	BatchSummary

// batchPart is how many records of a batch are in memory at the same time.
const batchPart = 1024

// postBatch stores a batch part by part, and keeps no more of it than its body and
// the receipts.
//
// What is wrong with the batch as a whole shows before anything is stored. If the
// server fails after the first part, the answer says of each record whether it was
// stored: those that were not bear the failure.
func (a *API) postBatch(c echo.Context, p *posted) error {
	batch, fault := a.deps.Decoder.Open(a.source(p), p.body)
	if fault != nil {
		return fault
	}
	receipts := make([]mes.Receipt, 0, batch.Len())
	records := make([]mes.Record, min(batch.Len(), batchPart))
	to := a.deps.Ingester
	for n := batch.Next(records); n > 0; n = batch.Next(records) {
		part, err := a.ingest(c, p, to, records[:n], len(receipts))
		switch {
		case err == nil:
			receipts = append(receipts, part...)
		case len(receipts) == 0:
			return err
		default:
			return a.answerBatch(c, a.breakOff(c, receipts, err))
		}
		to = a.deps.Patient
	}
	p.doneWithBody(p.body)
	return a.answerBatch(c, receipts)
}

// breakOff fills the receipts of a batch with those of records that were not stored.
func (a *API) breakOff(c echo.Context, receipts []mes.Receipt, err error) []mes.Receipt {
	var fault *mes.Error
	switch {
	case errors.As(err, &fault):
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		fault = mes.Errorf(mes.CodeUnavailable, "the request ended before its answer was ready")
	default:
		fault = mes.Wrap(mes.CodeInternal, err, "")
	}
	if statusOf(fault.Code) == http.StatusInternalServerError {
		a.deps.Logger.LogAttrs(c.Request().Context(), levelError, "request failed", requestAttrs(c, err)...)
	}
	for len(receipts) < cap(receipts) {
		receipts = append(receipts, mes.Receipt{Status: mes.ReceiptRejected, Fault: fault})
	}
	return receipts
}

// answerBatch answers with what batchResult describes.
func (a *API) answerBatch(c echo.Context, receipts []mes.Receipt) error {
	status, summary := http.StatusMultiStatus, summaryOf(receipts)
	switch len(receipts) {
	case summary.Created:
		status = http.StatusCreated
	case summary.Duplicate:
		status = http.StatusOK
	case summary.Accepted:
		status = http.StatusAccepted
	}
	return sendBatch(c, status, receipts)
}

// sendFrom is how much of an answer is put together before it is sent.
const sendFrom = 16 << 10

func sendBatch(c echo.Context, status int, receipts []mes.Receipt) error {
	x := exchangeOf(c)
	c.Response().Header()[echo.HeaderContentType] = jsonType
	b := x.text[:0]
	b = append(b, `{"items":[`...)
	for i := range receipts {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendItem(b, i, &receipts[i]); err != nil {
			return err
		}
		if len(b) < sendFrom {
			continue
		}
		if !c.Response().Committed {
			c.Response().WriteHeader(status)
		}
		if _, err := c.Response().Write(b); err != nil {
			return err
		}
		b = b[:0]
	}
	b = append(b, `],"summary":`...)
	x.text = append(summaryOf(receipts).append(b), '}', '\n')
	if !c.Response().Committed {
		return x.sendJSON(c, status, x.text)
	}
	_, err := c.Response().Write(x.text)
	return err
}

// appendItem appends what batchItem describes.
func appendItem(b []byte, index int, receipt *mes.Receipt) ([]byte, error) {
	b = append(b, `{"index":`...)
	b = strconv.AppendInt(b, int64(index), 10)
	b = append(b, `,"status_code":`...)
	b = strconv.AppendInt(b, int64(statusOfReceipt(*receipt)), 10)
	b = append(b, `,"status":"`...)
	b = append(b, receipt.Status...)
	b = append(b, '"')
	if !receipt.ID.IsZero() {
		b = append(b, `,"id":"`...)
		b = receipt.ID.Append(b)
		b = append(b, '"')
	}
	if receipt.Fault != nil {
		problem, err := json.Marshal(problemOf(receipt.Fault))
		if err != nil {
			return nil, err
		}
		b = append(append(b, `,"error":`...), problem...)
	}
	return append(b, '}'), nil
}

func summaryOf(receipts []mes.Receipt) batchSummary {
	var s batchSummary
	for i := range receipts {
		switch receipts[i].Status {
		case mes.ReceiptCreated:
			s.Created++
		case mes.ReceiptDuplicate:
			s.Duplicate++
		case mes.ReceiptAccepted:
			s.Accepted++
		case mes.ReceiptQuarantined:
			s.Quarantined++
		case mes.ReceiptRejected:
			s.Rejected++
		}
	}
	return s
}

func (s batchSummary) append(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"created":`...), int64(s.Created), 10)
	b = strconv.AppendInt(append(b, `,"duplicate":`...), int64(s.Duplicate), 10)
	b = strconv.AppendInt(append(b, `,"accepted":`...), int64(s.Accepted), 10)
	b = strconv.AppendInt(append(b, `,"quarantined":`...), int64(s.Quarantined), 10)
	b = strconv.AppendInt(append(b, `,"rejected":`...), int64(s.Rejected), 10)
	return append(b, '}')
}
