package broker

import (
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"plantgate/internal/mqtt"
)

// lastingRetry is how long a message that nobody else has (QoS 0, a will) is
// tried before it is given up.
const lastingRetry = 10 * time.Second

// hook is the broker's part in the MQTT server library. Its methods run in the
// goroutine of the client that sent the packet: clients wait for their commits
// side by side, and group commit joins them.
type hook struct {
	mochi.HookBase
	b *Broker
}

// ID names the hook.
func (h *hook) ID() string { return "plantgate" }

// Provides tells which of the library's events the hook takes.
func (h *hook) Provides(event byte) bool {
	switch event {
	case mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnPublish, mochi.OnWillSent:
		return true
	}
	return false
}

// OnConnectAuthenticate checks user name and password.
func (h *hook) OnConnectAuthenticate(_ *mochi.Client, pk packets.Packet) bool {
	return h.b.users.allow(string(pk.Connect.Username), pk.Connect.Password)
}

// OnACLCheck lets every user write and read everything but the broker's own
// topics, which are for reading.
func (h *hook) OnACLCheck(_ *mochi.Client, topic string, write bool) bool {
	return !write || topic == "" || topic[0] != '$'
}

// OnPublish stores a message that a subscription of the configuration is for,
// and returns after the commit. What the library does next depends on the
// result (all of it found by trying): without an error it acknowledges (PUBACK,
// with QoS 2 PUBREC) and passes the message on; with ErrRejectPacket it does
// neither; with any other error it acknowledges all the same on MQTT 3.1.1.
//
// A message that can't be stored must not be acknowledged, and its sender must
// send it again. Since MQTT 3.1.1 knows no negative answer and a client sends
// again only after a reconnect (4.4), the connection is closed.
func (h *hook) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.TopicName == "" {
		// An alias that never had a topic (MQTT 5, 3.3.2.3.4): nobody knows where
		// the message belongs, and the library would acknowledge it.
		_ = h.b.server.DisconnectClient(cl, packets.ErrTopicAliasInvalid)
		return pk, packets.ErrRejectPacket
	}
	if !h.b.bindings.Match(pk.TopicName) || clearsRetained(pk) {
		return pk, nil
	}
	if pk.FixedHeader.Qos == 0 {
		h.keep(pk)
		return pk, nil
	}
	if err := h.store(pk); err != nil {
		h.b.failed(err, "storing a message of the broker failed, its sender has to send it again")
		h.disconnect(cl)
		return pk, packets.ErrRejectPacket
	}
	// The commit may have outlasted the deadline that the library set when it
	// read the packet, and the answer must still go out.
	if conn := cl.Net.Conn; conn != nil {
		_ = conn.SetWriteDeadline(time.Now().Add(connectTimeout))
	}
	return pk, nil
}

// clearsRetained tells a packet that says nothing but that the retained message
// of its topic is to be removed (MQTT 3.1.1, 3.3.1.3).
func clearsRetained(pk packets.Packet) bool {
	return pk.FixedHeader.Retain && len(pk.Payload) == 0
}

// OnWillSent stores the will of a client that is gone.
func (h *hook) OnWillSent(_ *mochi.Client, pk packets.Packet) {
	if h.b.bindings.Match(pk.TopicName) {
		h.keep(pk)
	}
}

// disconnect ends the connection. Only MQTT 5 lets a server say why.
func (h *hook) disconnect(cl *mochi.Client) {
	if cl.Properties.ProtocolVersion == 5 {
		_ = h.b.server.DisconnectClient(cl, packets.ErrServerUnavailable)
		return
	}
	cl.Stop(errNotStored)
}

var errNotStored = errors.New("the message can't be stored")

// keep stores a message that its sender will not send again: it is tried for a
// while, and its client is read no further meanwhile.
func (h *hook) keep(pk packets.Packet) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = 100 * time.Millisecond
	_, err := backoff.Retry(h.b.work, func() (struct{}, error) { return struct{}{}, h.store(pk) },
		backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(lastingRetry))
	if err != nil {
		h.b.lost.Add(1)
		h.b.failed(err, "a message of QoS 0 to the broker could not be stored and is lost")
	}
}

func (h *hook) store(pk packets.Packet) error {
	now := h.b.now()
	done := h.b.condition.flow.Received(pk.TopicName, now)
	defer done()
	records := h.b.bindings.Decode(h.b.decoder, mqtt.Message{
		Topic:      pk.TopicName,
		Payload:    pk.Payload,
		ReceivedAt: now,
	})
	if len(records) == 0 {
		return nil
	}
	receipts, err := h.b.ingester.Ingest(h.b.work, records)
	if err != nil {
		return err
	}
	h.b.condition.flow.Stored(pk.TopicName, records, receipts)
	return nil
}
