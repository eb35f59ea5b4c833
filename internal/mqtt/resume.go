package mqtt

import (
	"context"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// What a broker sends again comes at once after a connect. It is waited for while it may
// be that more comes, for as long at most.
const (
	resumeQuiet   = 300 * time.Millisecond
	resumeLongest = 3 * time.Second
)

// resume marks, in the first batch of a session that the broker had kept, what was
// stored before the connection ended. It returns the batch with what was waited for.
//
// A broker marks what it sends again with DUP, and sends it in the old order before
// anything new (MQTT 3.1.1, 4.4 and 4.6). But DUP proves nothing by itself: it marks also
// what was sent and never came, and with RabbitMQ what its publisher sent again. Nor do
// packet ids, which RabbitMQ gives anew.
func (a *Adapter) resume(ctx context.Context, batch []delivery) []delivery {
	deadline := time.Now().Add(resumeLongest)
	for {
		again, more := repeats(batch)
		more = more && len(batch) < maxHeldMessages/2 && weight(batch...) < maxReadRecords && time.Now().Before(deadline)
		contents := make([]content, len(again))
		for i, place := range again {
			contents[i] = batch[place].content()
		}
		known, rest, doubtful, undecided := a.ledger.overlay(contents, more)
		if !undecided {
			a.expected = rest
			for _, place := range again[:known] {
				batch[place].known = true
			}
			if doubtful {
				a.condition.doubted(int64(len(again) - known))
			}
			return batch
		}
		next := a.queue.takeMore(ctx, batch[0].session, maxBatchMessages, resumeQuiet)
		if next == nil {
			deadline = time.Time{} // nothing more comes
		}
		batch = append(batch, a.decode(next)...)
	}
}

// goOn marks what goes on after a piece that came again.
func (a *Adapter) goOn(batch []delivery) {
	for i := range batch {
		d := &batch[i]
		switch {
		case len(a.expected) == 0:
			return
		case d.qos == 0 || d.Retained:
		case !d.dup || !d.identified && d.content() != a.expected[0].content:
			a.expected = nil
		case !d.identified:
			d.known, a.expected = true, a.expected[1:]
		}
	}
}

// repeats are the places of the messages at the beginning of a session that the broker
// sends again and that have no identity of their own, and whether more may follow.
func repeats(batch []delivery) (places []int, more bool) {
	for i := range batch {
		d := &batch[i]
		switch {
		case d.qos == 0 || d.Retained:
		case !d.dup:
			return places, false
		case !d.identified:
			places = append(places, i)
		}
	}
	return places, true
}

// decode reads the messages of a batch, at least one, until they have very many records. The
// rest goes back to where it was taken from.
func (a *Adapter) decode(batch []delivery) []delivery {
	read := 0
	for i := range batch {
		if read >= maxReadRecords {
			a.queue.putBack(batch[i:])
			return batch[:i]
		}
		a.decodeOne(&batch[i])
		read += weight(batch[i])
	}
	return batch
}

// weight is how many records and signals messages have that were read.
func weight(batch ...delivery) (n int) {
	for i := range batch {
		n += len(batch[i].records)
		for j := range batch[i].records {
			n += len(batch[i].records[j].Signals)
		}
	}
	return n
}

func (a *Adapter) decodeOne(d *delivery) {
	a.sparkplug.arrive(d.session)
	if a.sparkplug.matches(d.Topic) {
		d.records = a.sparkplug.read(d)
		// What they are depends on what is known of the node, and may differ the next time.
		d.identified = !d.comesAgain() && isIdentified(d.records)
		return
	}
	d.records = a.bindings.Decode(a.decoder, d.Message)
	d.identified = isIdentified(d.records)
}

// isIdentified tells whether a message that comes again is known by what it says.
func isIdentified(records []mes.Record) bool {
	for i := range records {
		r := &records[i]
		if ingest.IsReply(*r) {
			continue // one that comes again changes nothing
		}
		if r.Fault != nil || r.TimeOrigin == mes.TimeReceipt && r.MessageID == "" {
			return false
		}
	}
	return true
}
