package ingest

import (
	"context"
	"sync"
	"time"

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
	// owner is the right by which all of the batch was received; nil if it needs none.
	owner *mes.Ownership
	bytes int
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
	if len(records) > 0 {
		j.owner = records[0].Owner
	}
	for i := range records {
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
// it came, or the record where it came as no text.
func QuarantineItem(rec *mes.Record, fault *mes.Error) mes.QuarantineItem {
	raw := rec.Payload
	if raw == nil && Format(rec.Origin.Format) == FormatDataValue {
		raw = encodeDataValue(rec)
	}
	return mes.QuarantineItem{
		ID: mes.NewID(), State: mes.QuarantineOpen, ReceivedAt: rec.ReceivedAt, Origin: rec.Origin,
		SiteID: rec.SiteID, MachineID: rec.MachineID, DataType: rec.DataType,
		Reason: *fault, Raw: raw,
	}
}

func (j *job) isEmpty() bool { return len(j.accepted) == 0 && len(j.items) == 0 && j.resolve == nil }

func (j *job) finish(err error) {
	j.err = err
	j.done <- struct{}{}
}

// queue holds jobs for the writer, in order of arrival, bounded in records and
// bytes. A single job larger than the bounds is let in when the queue is empty.
type queue struct {
	maxRecords, maxBytes int

	mu             sync.Mutex
	jobs           []*job
	records, bytes int
	closed         bool
	room           chan struct{} // closed and replaced when room is made
	wake           chan struct{} // has a token when jobs wait
}

func newQueue(maxRecords, maxBytes int) *queue {
	return &queue{maxRecords: maxRecords, maxBytes: maxBytes, room: make(chan struct{}), wake: make(chan struct{}, 1)}
}

func (q *queue) push(ctx context.Context, j *job, wait bool) error {
	for {
		room, err := q.tryPush(j)
		if err != nil || room == nil {
			return err
		}
		if !wait {
			return errBusy()
		}
		select {
		case <-room:
		case <-ctx.Done():
			return mes.Wrap(mes.CodeUnavailable, ctx.Err(), "the request ended while it waited for room")
		}
	}
}

func errBusy() error {
	return &mes.Error{Code: mes.CodeUnavailable, Message: "the server is busy writing; try again", RetryAfter: time.Second}
}

// tryPush returns nil, nil when the job is in the queue, and otherwise a channel
// that is closed when there may be room.
func (q *queue) tryPush(j *job) (<-chan struct{}, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, mes.Errorf(mes.CodeUnavailable, "the server is stopping")
	}
	full := q.records+len(j.records) > q.maxRecords || q.bytes+j.bytes > q.maxBytes
	if full && len(q.jobs) > 0 {
		return q.room, nil
	}
	q.jobs = append(q.jobs, j)
	q.records += len(j.records)
	q.bytes += j.bytes
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil, nil
}

// take returns the jobs that wait, up to maxRecords records and as many signals
// as one batch may have, but at least one job if any waits.
func (q *queue) take(maxRecords int) []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, records, signals := 0, 0, 0
	for n < len(q.jobs) && (n == 0 || records+len(q.jobs[n].records) <= maxRecords && signals+q.jobs[n].signals <= maxBatchSignals) {
		records += len(q.jobs[n].records)
		signals += q.jobs[n].signals
		q.bytes -= q.jobs[n].bytes
		n++
	}
	if n == 0 {
		return nil
	}
	taken := append([]*job(nil), q.jobs[:n]...)
	clear(q.jobs[:n])
	q.jobs = q.jobs[n:]
	q.records -= records
	if len(q.jobs) > 0 {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	close(q.room)
	q.room = make(chan struct{})
	return taken
}

// close lets nothing more in; what is there can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	close(q.room)
	q.room = make(chan struct{})
}

// isEmpty tells whether no job waits.
func (q *queue) isEmpty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.jobs) == 0
}

// depth is the number of records that wait.
func (q *queue) depth() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.records
}
