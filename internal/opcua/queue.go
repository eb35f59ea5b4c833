package opcua

import (
	"context"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/link"
)

// queue stands between the subscription and ingest. It takes what the library
// hands over at once, so that the publish loop never waits for a commit, and it
// is bounded: when ingest is slower for long, put blocks, no publish request is
// sent, and the server's own queue of each item fills up. That is where values
// wait (OPC 10000-4, 5.13.1.5); if it overflows the server marks the loss and
// the record bears mes.FlagOverflow.
type queue struct {
	live chan entry
	// late is what comes from history: it is taken while there is room beside live values.
	late     chan entry
	maxBatch int
	ingester ingest.Ingester
	cursors  *cursors
	status   *status
	log      *slog.Logger
	timing   timing
}

// entryKind is what an entry brings.
type entryKind uint8

const (
	entryLive    entryKind = iota // a value as it came
	entryHistory                  // a value from history
	entryOther                    // a record that is no value of a node
	entryGap                      // a record of what may be lost
	entryHeard                    // no record: the connection was heard of
	entryClose                    // no record: gaps are filled
	entryMessage                  // no record: the end of a message
)

// entry is on its way to ingest; what it says of tracks is noted once it, and everything
// before it, is stored.
type entry struct {
	kind   entryKind
	record mes.Record
	track  *track
	// at is the time of the value, or when the connection was heard of by a lane.
	at   time.Time
	lane int
	// generation is that of the gap which a value from history is of; progress tells that
	// nothing is missing before it. receipt is what became of the record.
	generation int
	progress   bool
	receipt    mes.ReceiptStatus
	closes     []done
	// Once everything up to here is stored, stored is closed and then is called.
	stored chan struct{}
	then   func()
}

func (e *entry) hasRecord() bool { return e.kind <= entryGap }

// isNew tells whether the record was not there before.
func (e *entry) isNew() bool {
	return e.receipt == mes.ReceiptCreated || e.receipt == mes.ReceiptAccepted
}

// ahead tells whether the value is in quarantine since its time is to come: the cursor
// would pass what comes until then.
func (e *entry) ahead() bool {
	return e.receipt == mes.ReceiptQuarantined && e.record.Time.After(e.record.ReceivedAt)
}

func newQueue(d Deps, c *cursors, st *status, t timing) *queue {
	return &queue{
		live:     make(chan entry, t.queue),
		late:     make(chan entry, t.batch),
		maxBatch: t.batch,
		ingester: d.Ingester,
		cursors:  c,
		status:   st,
		log:      d.Logger,
		timing:   t,
	}
}

// consume hands batches to ingest until the queue is closed and empty, or ctx
// ends. A batch is what is there at the moment, never waited for.
func (q *queue) consume(ctx context.Context) {
	for {
		first, ok := q.next()
		if !ok {
			return
		}
		batch := q.fill(first)
		if err := q.deliver(ctx, batch); err != nil {
			q.log.Error("opcua: stopped before everything received was stored",
				"records", len(batch)+len(q.live), "error", err)
			return
		}
	}
}

// next waits for an entry, a live one where there is one.
func (q *queue) next() (entry, bool) {
	select {
	case e, ok := <-q.live:
		return e, ok
	default:
	}
	select {
	case e, ok := <-q.live:
		return e, ok
	case e := <-q.late:
		return e, true
	}
}

// fill takes what is there. A tenth of a batch is for what is late, so that it gets on
// beside any load.
func (q *queue) fill(first entry) []entry {
	batch := []entry{first}
	room := q.maxBatch - min(q.maxBatch/10, len(q.late))
	batch = take(batch, q.live, room)
	return take(batch, q.late, q.maxBatch)
}

func take(batch []entry, from <-chan entry, room int) []entry {
	for len(batch) < room {
		select {
		case e, ok := <-from:
			if !ok {
				return batch
			}
			batch = append(batch, e)
		default:
			return batch
		}
	}
	return batch
}

// deliver offers the same batch until it is durable, and notes that.
func (q *queue) deliver(ctx context.Context, batch []entry) error {
	records := make([]mes.Record, 0, len(batch))
	of := make([]int, 0, len(batch))
	live := 0
	for i := range batch {
		if batch[i].hasRecord() {
			records, of = append(records, batch[i].record), append(of, i)
		}
		if batch[i].kind == entryLive {
			live++
		}
	}
	if len(records) > 0 {
		receipts, err := q.offer(ctx, records)
		if err != nil {
			return err
		}
		for k, r := range receipts {
			batch[of[k]].receipt = r.Status
		}
		q.count(batch, of, records, receipts, live)
	}
	q.cursors.settled(batch)
	for i := range batch {
		if batch[i].stored != nil {
			close(batch[i].stored)
		}
		if batch[i].then != nil {
			batch[i].then()
		}
	}
	return nil
}

// offer offers the same records until they are durable. Identity makes a repeated
// batch harmless, so an unclear outcome needs no care.
func (q *queue) offer(ctx context.Context, records []mes.Record) ([]mes.Receipt, error) {
	wait := q.timing.newBackOff()
	for {
		receipts, err := q.ingester.Ingest(ctx, records)
		if err == nil {
			return receipts, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		pause := max(wait.NextBackOff(), 0)
		q.log.Warn("opcua: batch not stored, will be retried", "records", len(records), "pause", pause, "error", err)
		if sleep(ctx, pause) != nil {
			return nil, err
		}
	}
}

// count measures live values; what is late by nature would spoil the figures.
func (q *queue) count(batch []entry, of []int, records []mes.Record, receipts []mes.Receipt, live int) {
	n := 0
	for _, r := range receipts {
		if r.Status == mes.ReceiptQuarantined {
			n++
		}
	}
	q.status.flow.Quarantined(n)
	if live < len(records) {
		kept := records[:0:0]
		for k, i := range of {
			if batch[i].kind == entryLive {
				kept = append(kept, records[k])
			}
		}
		records = kept
	}
	q.status.flow.Stored(records, q.status.now())
	q.status.flow.Settled(live)
}

// sleep waits for d or for the end of ctx, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// timing gathers the time-outs and sizes, so that tests can shorten them. The
// values are such that a server that returns is read again within 15 s even if
// an attempt has just begun to hang: open + longest back-off + subscription.
type timing struct {
	link         link.Timing
	drain        time.Duration // storing what was received, once Run shall end
	backOffFirst time.Duration
	backOffMax   time.Duration
	crowded      time.Duration // for how long a server refuses sessions until fewer do
	refused      time.Duration // pause after the server, or we, refused on principle
	undecided    time.Duration // pause while somebody has to decide of a certificate
	nodeFirst    time.Duration // first retry of a bad node
	nodeMax      time.Duration
	undecodable  time.Duration // longest pause before a node is looked at by a session of its own
	audit        time.Duration // between two looks at nodes that say nothing
	certificates time.Duration // between two looks at the own certificates
	cursors      time.Duration // between two times that cursors are kept
	look         time.Duration // between two looks for gaps
	firsts       time.Duration // a new session waits so long for the first value of every node
	later        time.Duration // the first pause for history that is written later
	overflows    time.Duration // between two looks at overflows of the server's queues
	attempts     int           // at the history of a node, before it is given up
	queue        int           // records that wait for ingest
	batch        int           // records of one Ingest call
}

func defaultTiming() timing {
	return timing{
		link:         link.DefaultTiming(),
		drain:        10 * time.Second,
		backOffFirst: 250 * time.Millisecond,
		backOffMax:   3 * time.Second,
		crowded:      time.Minute, // longer than it keeps those that were lost
		refused:      30 * time.Second,
		undecided:    8 * time.Second,
		nodeFirst:    5 * time.Second,
		nodeMax:      10 * time.Second,
		undecodable:  5 * time.Minute,
		audit:        10 * time.Second,
		certificates: time.Hour,
		cursors:      10 * time.Second,
		look:         500 * time.Millisecond,
		firsts:       5 * time.Second,
		later:        time.Second,
		overflows:    30 * time.Second,
		attempts:     8,
		queue:        8192,
		batch:        1000,
	}
}

// variation is by how much of itself a pause is longer or shorter.
const variation = 0.3

// newBackOff grows the pause with jitter, so that several gateways do not
// return to a restarted server at the same moment.
func (t timing) newBackOff() *backoff.ExponentialBackOff {
	return growing(t.backOffFirst, t.backOffMax, 1.7)
}

// growing returns pauses from about first on, of which none is longer than longest.
func growing(first, longest time.Duration, multiplier float64) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.MaxInterval = time.Duration(float64(longest) / (1 + variation))
	b.InitialInterval = min(first, b.MaxInterval)
	b.Multiplier, b.RandomizationFactor = multiplier, variation
	b.Reset()
	return b
}
