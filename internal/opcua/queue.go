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
	items    chan item
	cursors  *cursors
	maxBatch int
	ingester ingest.Ingester
	status   *status
	log      *slog.Logger
	timing   timing
}

// item is a record on its way to ingest, or a word that is due once all before it are
// stored.
type item struct {
	record mes.Record
	// key is the node's of a live value; "" of others.
	key    string
	stored func()
}

func newQueue(d Deps, st *status, c *cursors, t timing) *queue {
	return &queue{
		items:    make(chan item, t.queue),
		cursors:  c,
		maxBatch: t.batch,
		ingester: d.Ingester,
		status:   st,
		log:      d.Logger,
		timing:   t,
	}
}

// consume hands batches to ingest until the queue is closed and empty, or ctx
// ends. A batch is what is there at the moment, never waited for.
func (q *queue) consume(ctx context.Context) {
	for first := range q.items {
		batch := q.fill(first)
		if err := q.deliver(ctx, batch); err != nil {
			q.log.Error("opcua: stopped before everything received was stored",
				"records", len(batch)+len(q.items), "error", err)
			return
		}
	}
}

func (q *queue) fill(first item) []item {
	batch := []item{first}
	for len(batch) < q.maxBatch {
		select {
		case i, ok := <-q.items:
			if !ok {
				return batch
			}
			batch = append(batch, i)
		default:
			return batch
		}
	}
	return batch
}

// deliver offers the same batch until it is durable. Identity makes a repeated
// batch harmless, so an unclear outcome needs no care.
func (q *queue) deliver(ctx context.Context, batch []item) error {
	records := make([]mes.Record, 0, len(batch))
	for _, i := range batch {
		if i.stored == nil {
			records = append(records, i.record)
		}
	}
	if len(records) == 0 {
		q.note(batch, nil)
		return nil
	}
	wait := q.timing.newBackOff()
	for {
		receipts, err := q.ingester.Ingest(ctx, records)
		if err == nil {
			q.note(batch, receipts)
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		pause := max(wait.NextBackOff(), 0)
		q.log.Warn("opcua: batch not stored, will be retried", "records", len(batch), "pause", pause, "error", err)
		if sleep(ctx, pause) != nil {
			return err
		}
	}
}

// note counts what became of a batch, and moves the cursors. A value whose time can't be
// right is in quarantine, and moves none.
func (q *queue) note(batch []item, receipts []mes.Receipt) {
	live := make([]mes.Record, 0, len(batch))
	quarantined, next := 0, 0
	for _, i := range batch {
		if i.stored != nil {
			i.stored()
			continue
		}
		aside := next < len(receipts) && receipts[next].Status == mes.ReceiptQuarantined
		next++
		if aside {
			quarantined++
		}
		if i.key == "" {
			continue
		}
		live = append(live, i.record)
		if !aside || i.record.Fault != nil {
			q.cursors.stored(i.key, momentOf(&i.record))
		}
	}
	q.status.flow.Quarantined(quarantined)
	q.status.flow.Stored(live, q.status.now())
	q.status.flow.Settled(len(live))
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
	refused      time.Duration // pause after the server, or we, refused on principle
	undecided    time.Duration // pause while somebody has to decide of a certificate
	nodeFirst    time.Duration // first retry of a bad node
	nodeMax      time.Duration
	audit        time.Duration // between two looks at nodes that say nothing
	recover      time.Duration // between two looks at what was missed
	flush        time.Duration // between two times that cursors are kept
	certificates time.Duration // between two looks at the own certificates
	queue        int           // records that wait for ingest
	batch        int           // records of one Ingest call
}

func defaultTiming() timing {
	return timing{
		link:         link.DefaultTiming(),
		drain:        10 * time.Second,
		backOffFirst: 250 * time.Millisecond,
		backOffMax:   3 * time.Second,
		refused:      30 * time.Second,
		undecided:    8 * time.Second,
		nodeFirst:    5 * time.Second,
		nodeMax:      10 * time.Second,
		audit:        10 * time.Second,
		recover:      time.Second,
		flush:        30 * time.Second,
		certificates: time.Hour,
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
