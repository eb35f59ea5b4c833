package mqtt

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"plantgate/internal/mes"
)

// Bounds of one commit: messages that are taken at once, and records after
// which no further message joins.
const (
	maxBatchMessages = 512
	maxBatchRecords  = 2000
)

// maxReadRecords is after how many records and signals that are not stored no further
// message is read: small ones may hold very many.
const maxReadRecords = 20_000

// What is waited for behind a commit: the part of its time, and how long at most.
const (
	gatherPart = 5
	maxGather  = 5 * time.Millisecond
)

// consume stores what was handed over until ctx ends. It takes what is there
// and commits at once: brokers send only a few messages ahead of
// acknowledgements (RabbitMQ 10, Mosquitto 20), so waiting for a larger batch
// would only wait. What the acknowledgements themselves let the broker send it does wait
// for, a fraction of what the commit took: else each commit would have one part of the
// window, and the next the rest of it.
func (a *Adapter) consume(ctx context.Context) {
	var last *session
	for {
		batch := a.queue.take(ctx, maxBatchMessages)
		if batch == nil {
			return
		}
		batch = a.decode(batch)
		if s := batch[0].session; s != last {
			last, a.expected = s, nil
			if s.wasKept() {
				batch = a.resume(ctx, batch)
			}
		} else {
			a.goOn(batch)
		}
		began := time.Now()
		a.storeAll(ctx, batch)
		for i := range batch {
			a.condition.flow.settled(batch[i].binding)
		}
		stored := len(batch)
		a.queue.release(batch)
		a.queue.gather(ctx, stored, min(time.Since(began)/gatherPart, maxGather))
	}
}

// storeAll commits a batch in its order, in several units if its messages hold
// many records. When ctx ends the rest stays unacknowledged: the broker will
// deliver it again.
func (a *Adapter) storeAll(ctx context.Context, batch []delivery) {
	start := 0
	var records []mes.Record
	var ends []int // of each message's records
	for i := range batch {
		records = append(records, a.fresh(&batch[i])...)
		ends = append(ends, len(records))
		if len(records) < maxBatchRecords && i < len(batch)-1 {
			continue
		}
		receipts, ok := a.store(ctx, records)
		if !ok {
			return
		}
		first := 0
		for j, end := range ends {
			d := &batch[start+j]
			a.condition.flow.stored(d.binding, records[first:end], receipts[first:end])
			a.sparkplug.stored(d)
			a.acknowledge(d)
			first = end
		}
		start, records, ends = i+1, nil, nil
	}
}

// fresh are the records of a message, with the deliveries by which it is known if it comes
// again; none if it came before.
func (a *Adapter) fresh(d *delivery) []mes.Record {
	switch {
	case d.known || d.Retained && !d.identified && a.ledger.repeatsRetained(d):
		a.condition.repeated()
		return nil
	case !d.identified:
		list := a.ledger.note(d)
		if len(d.records) > 0 {
			d.records[0].Deliveries = list
		} else {
			a.sparkplug.owe(list)
		}
	}
	a.sparkplug.note(d)
	return d.records
}

// acknowledge tells the broker that a message is stored.
func (a *Adapter) acknowledge(d *delivery) {
	if !d.identified && !d.known && d.comesAgain() && !d.session.isOver() {
		a.ledger.acknowledge(d.number)
	}
	d.ack()
}

// store ingests the records and returns after their commit. As long as
// that fails it tries again, for the messages are neither acknowledged nor
// dropped; it tells that it did not only once ctx has ended, or another server has the
// connection and gets the messages.
func (a *Adapter) store(ctx context.Context, records []mes.Record) ([]mes.Receipt, bool) {
	if len(records) == 0 {
		return nil, true
	}
	pause := newBackOff(maxStorePause)
	for {
		receipts, err := a.ingester.Ingest(ctx, records)
		if err == nil {
			a.condition.hold("")
			return receipts, true
		}
		if ctx.Err() != nil || errors.Is(err, mes.ErrLeaseLost) {
			return nil, false
		}
		wait := pause.NextBackOff()
		a.condition.hold("messages can't be stored and stay with the broker: " + forOperator(err, "see the log"))
		a.log.Warn("storing MQTT messages failed", "error", err, "cause", errors.Unwrap(err), "records", len(records), "retry_in", wait)
		if !sleep(ctx, wait) {
			return nil, false
		}
	}
}

func countQuarantined(receipts []mes.Receipt) int {
	n := 0
	for _, r := range receipts {
		if r.Status == mes.ReceiptQuarantined {
			n++
		}
	}
	return n
}

// variation is by how much of itself a pause is longer or shorter.
const variation = 0.5

// newBackOff starts at half a second and doubles, each step varied by half so that
// clients don't come back in step; none is longer than longest.
func newBackOff(longest time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.RandomizationFactor = variation
	b.MaxInterval = time.Duration(float64(longest) / (1 + variation))
	b.InitialInterval = min(500*time.Millisecond, b.MaxInterval)
	b.Multiplier = 2
	b.Reset()
	return b
}

// sleep waits and tells whether the time passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
