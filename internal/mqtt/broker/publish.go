package broker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/broker/sessions"
	"plantgate/internal/mqtt/topic"
)

// lastingRetry is how long a message that nobody else has (QoS 0, a will) is
// tried before it is given up.
const lastingRetry = 10 * time.Second

// Publish sends a message to the subscribers of its topic, and tells how many sessions
// that are. When it returns without an error the broker has it on the disk for every
// persistent session that is subscribed with QoS 1 or 2, connected or not, and as retained
// message if it is one; without persistence it has it in memory. Messages that one caller
// publishes one after another come in that order. They are not machine data: the broker's
// subscriptions do not store them.
//
// CodeInvalid is for a topic or a QoS that can't be, CodeUnavailable for a broker that
// can't keep it now. After an error, that of ctx included, the message may have been
// published all the same, if it was being written. One that still waited is given up, so
// that attempts do not pile up behind a disk that hangs.
func (b *Broker) Publish(ctx context.Context, m mqtt.Publication) (subscribers int, err error) {
	switch err := topic.CheckName(m.Topic); {
	case err != nil:
		return 0, mes.Wrap(mes.CodeInvalid, err, "the topic can't be published to")
	case m.Topic[0] == '$' || m.QoS > 2:
		return 0, mes.Errorf(mes.CodeInvalid, "a topic of the broker's own, or a QoS above 2, can't be published to")
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case b.work.Err() != nil:
		return 0, mes.Wrap(mes.CodeUnavailable, mqtt.ErrNotConnected, "the broker has stopped")
	}
	subscribers, err = b.sessions.PublishFor(ctx, sessions.Message{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retained})
	switch {
	case err == nil:
		if subscribers == 0 {
			b.unheard.Add(1)
		}
		return subscribers, nil
	case ctx.Err() != nil:
		return 0, ctx.Err()
	}
	return 0, mes.Wrap(mes.CodeUnavailable, err, "the broker can't keep the message")
}

// take stores a publication, if a subscription of the configuration is for it, and
// gives it to the subscribers' sessions.
func (b *Broker) take(pk packets.Packet, m sessions.Message) error {
	if b.bindings.Match(pk.TopicName) && !clearsRetained(pk) {
		if pk.FixedHeader.Qos == 0 {
			b.keep(pk.TopicName, pk.Payload)
		} else if err := b.store(pk.TopicName, pk.Payload); err != nil {
			return err
		}
	}
	err := b.sessions.Publish(m)
	if err != nil && pk.FixedHeader.Qos == 0 {
		b.lost.Add(1)
		b.failed(err, "a message of QoS 0 to the broker could not be retained")
		return nil
	}
	return err
}

// clearsRetained tells a packet that says nothing but that the retained message
// of its topic is to be removed (MQTT 3.1.1, 3.3.1.3).
func clearsRetained(pk packets.Packet) bool {
	return pk.FixedHeader.Retain && len(pk.Payload) == 0
}

// keep stores a message that its sender will not send again: it is tried for a
// while, and its client is read no further meanwhile.
func (b *Broker) keep(topic string, payload []byte) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = 100 * time.Millisecond
	_, err := backoff.Retry(b.work, func() (struct{}, error) { return struct{}{}, b.store(topic, payload) },
		backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(lastingRetry))
	if err != nil {
		b.lost.Add(1)
		b.failed(err, "a message of QoS 0 to the broker could not be stored and is lost")
	}
}

func (b *Broker) store(topic string, payload []byte) error {
	now := b.now()
	defer b.condition.flow.Received(topic, now)()
	records := b.bindings.Decode(b.decoder, mqtt.Message{Topic: topic, Payload: payload, ReceivedAt: now})
	if len(records) == 0 {
		return nil
	}
	receipts, err := b.ingester.Ingest(b.work, records)
	if err != nil {
		return err
	}
	b.condition.flow.Stored(topic, records, receipts)
	return nil
}

// OnWill publishes the will of a client that is gone as everything else is published.
// What it returns is all that the library does about it: nothing.
func (h *hook) OnWill(cl *mochi.Client, will mochi.Will) (mochi.Will, error) {
	// A will does not outlive its session (MQTT 5.0, 3.1.3.2.2).
	delay := min(cl.Properties.Will.WillDelayInterval, h.expiry(cl))
	cl.Properties.Will.WillDelayInterval = 0
	rights := h.b.users.rightsOf(string(cl.Properties.Username))
	if !rights.mayPublish(will.TopicName, string(cl.Properties.Username), cl.ID) {
		h.b.denied.count(deniedWill)
		return mochi.Will{}, nil
	}
	publish := func() { h.b.publishWill(will, cl.ID) }
	if delay == 0 {
		publish()
	} else {
		h.b.wills.later(cl.ID, time.Duration(delay)*time.Second, publish)
	}
	return mochi.Will{}, nil
}

func (b *Broker) publishWill(will mochi.Will, origin string) {
	b.willsSent.Add(1)
	if b.bindings.Match(will.TopicName) && (!will.Retain || len(will.Payload) > 0) {
		b.keep(will.TopicName, will.Payload)
	}
	err := b.sessions.Publish(sessions.Message{
		Topic: will.TopicName, Payload: will.Payload, QoS: will.Qos, Retain: will.Retain, Origin: origin,
		Properties: sessions.Properties{User: will.User},
	})
	if err != nil {
		b.lost.Add(1)
		b.failed(err, "a will could not be given to subscribers")
	}
}

// wills are those that wait for their delay (MQTT 5.0, 3.1.3.2.2). They end with the
// program.
type wills struct {
	mu     sync.Mutex
	byID   map[string]*time.Timer
	closed bool
	going  sync.WaitGroup
}

// later publishes after a delay, unless the client comes back.
func (w *wills) later(id string, delay time.Duration, publish func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(delay, func() {
		w.mu.Lock()
		mine := w.byID[id] == timer && !w.closed
		if mine {
			delete(w.byID, id)
			w.going.Add(1)
		}
		w.mu.Unlock()
		if mine {
			defer w.going.Done()
			publish()
		}
	})
	w.byID[id] = timer
}

// cancel is called when a client is there again.
func (w *wills) cancel(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.byID[id]; t != nil {
		t.Stop()
		delete(w.byID, id)
	}
}

func (w *wills) close() {
	w.mu.Lock()
	w.closed = true
	for id, t := range w.byID {
		t.Stop()
		delete(w.byID, id)
	}
	w.mu.Unlock()
	w.going.Wait()
}

// denials count what was refused.
type denials struct{ n [denialKinds]atomic.Int64 }

func (d *denials) count(why denial) { d.n[why].Add(1) }
