package ingest

import (
	"context"
	"sync"
	"time"

	"plantgate/internal/mes"
)

// queue holds jobs for the writers, in order of arrival, bounded in records and
// bytes. A single job larger than the bounds is let in when the queue is empty.
type queue struct {
	maxRecords, maxBytes int
	wake                 []chan struct{} // for each writer: has a token when jobs may wait for it

	mu             sync.Mutex
	jobs           []*job
	busy           parts // of the machines that writers are at work on
	records, bytes int
	closed         bool
	room           chan struct{} // closed and replaced when room is made
}

func newQueue(maxRecords, maxBytes, writers int) *queue {
	q := &queue{maxRecords: maxRecords, maxBytes: maxBytes, room: make(chan struct{})}
	for range writers {
		q.wake = append(q.wake, make(chan struct{}, 1))
	}
	return q
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
	q.signal(j.parts.first())
	return nil, nil
}

// signal wakes a writer. A job of several parts is anybody's.
func (q *queue) signal(writer int) {
	select {
	case q.wake[writer] <- struct{}{}:
	default:
	}
}

// take returns jobs for a writer, up to maxRecords records and as many signals as one
// batch may have, but at least one job if there is one for it: those of its own part of
// the machines, or of several parts that nobody is at work on. Jobs that have a part in
// common stay in their order. The parts are busy until done.
func (q *queue) take(writer, maxRecords int) (jobs []*job, taken parts) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) == 0 {
		return nil, 0
	}
	records, signals, at := 0, 0, 0
	passed := q.jobs[:0:len(q.jobs)]
	blocked := q.busy
	for ; at < len(q.jobs); at++ {
		j := q.jobs[at]
		if !j.parts.isFor(writer) && j.parts&^taken != 0 || j.parts&blocked != 0 {
			blocked |= j.parts
			passed = append(passed, j)
			continue
		}
		if len(jobs) > 0 && (records+len(j.records) > maxRecords || signals+j.signals > maxBatchSignals) {
			break
		}
		jobs = append(jobs, j)
		taken |= j.parts
		records += len(j.records)
		signals += j.signals
		q.bytes -= j.bytes
	}
	// Those that were passed over stand before the rest again.
	rest := at - len(passed)
	copy(q.jobs[rest:at], passed)
	clear(q.jobs[:rest])
	q.jobs = q.jobs[rest:]
	if len(jobs) == 0 {
		return nil, 0
	}
	q.records -= records
	q.busy |= taken
	if len(q.jobs) > 0 {
		q.signal(writer)
	}
	close(q.room)
	q.room = make(chan struct{})
	return jobs, taken
}

// takeAll returns all that wait, for nobody will store them.
func (q *queue) takeAll() []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	jobs := q.jobs
	q.jobs, q.records, q.bytes = nil, 0, 0
	return jobs
}

// done says that a writer has finished what it took.
func (q *queue) done(taken parts) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy &^= taken
	if len(q.jobs) > 0 && len(q.wake) > 1 {
		for writer := range q.wake {
			q.signal(writer)
		}
	}
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
