package ingest

import (
	"sync"

	"plantgate/internal/mes"
)

// job is one batch on its way through the writer.
type job struct {
	records  []mes.Record
	receipts []mes.Receipt
	// accepted are the indexes of the records for the store.
	accepted []int
	// items are the messages for quarantine.
	items []mes.QuarantineItem
	// resolve is the quarantined item that this batch replays or discards.
	resolve *mes.QuarantineItem
	// deliveries are those of the messages that the records were.
	deliveries []mes.Delivery
	// owner is the right that is needed for some of the batch; nil if none is.
	owner *mes.Ownership
	bytes int
	// parts are those of the machines that the batch is of.
	parts parts
	// signals of all records, which are what makes a commit long.
	signals int

	// done gets a token when the batch is finished, err is how.
	done chan struct{}
	err  error
}

// jobs are kept for use again: there is one for each request.
type jobs struct{ pool sync.Pool }

func (p *jobs) get(records []mes.Record) *job {
	j, ok := p.pool.Get().(*job)
	if !ok {
		j = &job{done: make(chan struct{}, 1)}
	}
	j.records, j.receipts = records, make([]mes.Receipt, len(records))
	for i := range records {
		if records[i].Owner != nil {
			j.owner = records[i].Owner
		}
		j.deliveries = append(j.deliveries, records[i].Deliveries...)
		j.bytes += len(records[i].Payload) + recordOverhead
		j.signals += len(records[i].Signals)
	}
	return j
}

// put takes a job back that is finished, whose receipts its caller keeps.
func (p *jobs) put(j *job) {
	*j = job{done: j.done, accepted: j.accepted[:0]}
	p.pool.Put(j)
}

// recordOverhead is about what a record takes in memory besides its payload.
const recordOverhead = 512

func (j *job) accept(i int) { j.accepted = append(j.accepted, i) }

func (j *job) quarantine(i int, rec *mes.Record, fault *mes.Error) {
	item := QuarantineItem(rec, fault)
	j.items = append(j.items, item)
	j.receipts[i] = mes.Receipt{Status: mes.ReceiptQuarantined, ID: item.ID, Fault: fault}
}

// QuarantineItem makes an item of a record that can't be accepted: the message as
// it came, or the record where it came as no text or is only a part of its message.
func QuarantineItem(rec *mes.Record, fault *mes.Error) mes.QuarantineItem {
	raw, origin := rec.Payload, rec.Origin
	hasContent := len(rec.Signals) > 0 || rec.Status != ""
	if raw == nil && (hasContent || Format(origin.Format) == FormatDataValue) {
		raw, origin.Format = encodeDataValue(rec), string(FormatDataValue)
	}
	id := rec.QuarantineID
	if id.IsZero() {
		id = mes.NewID()
	}
	return mes.QuarantineItem{
		ID: id, State: mes.QuarantineOpen, ReceivedAt: rec.ReceivedAt, Origin: origin,
		SiteID: rec.SiteID, MachineID: rec.MachineID, DataType: rec.DataType,
		Reason: *fault, Raw: raw,
	}
}

// keepsFaults tells whether nobody waits for the answer to a single record.
func (j *job) keepsFaults() bool {
	for _, i := range j.accepted {
		if j.records[i].Answerable {
			return false
		}
	}
	return true
}

// Unstorable is the fault of a record that the store can't hold, for quarantine.
func Unstorable(cause error) *mes.Error {
	return mes.Errorf(mes.CodeInvalid, "%s", cause.Error())
}

func (j *job) isEmpty() bool {
	return len(j.accepted) == 0 && len(j.items) == 0 && len(j.deliveries) == 0 && j.resolve == nil
}

func (j *job) finish(err error) {
	j.err = err
	j.done <- struct{}{}
}
