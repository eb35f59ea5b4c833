package broker

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"plantgate/internal/mqtt/broker/sessions"
)

// writePatience is how long a client has to take an answer that came late.
const writePatience = 10 * time.Second

// topicAliases is how many aliases a client of MQTT 5 may give topics; the library
// keeps a topic for each.
const topicAliases = 64

// hook is the broker's part in the MQTT server library, which reads and writes packets
// and knows who is connected. What goes to subscribers, and what is kept for them, is
// the sessions package's: the library is told that each message is dealt with, and gets
// no acknowledgements of subscribers to see. Its methods run in the goroutine of the
// client that sent the packet: clients wait for their commits side by side, and group
// commit joins them.
type hook struct {
	mochi.HookBase
	b *Broker
}

// ID names the hook.
func (h *hook) ID() string { return "plantgate" }

// Provides tells which of the library's events the hook takes.
func (h *hook) Provides(event byte) bool {
	switch event {
	case mochi.OnConnectAuthenticate, mochi.OnSessionEstablished, mochi.OnDisconnect, mochi.OnClientExpired,
		mochi.OnACLCheck, mochi.OnPublish, mochi.OnWill,
		mochi.OnSubscribe, mochi.OnSubscribed, mochi.OnUnsubscribe,
		mochi.OnPacketRead, mochi.OnPacketEncode, mochi.OnPacketProcessed,
		mochi.StoredClients, mochi.StoredSubscriptions:
		return true
	}
	return false
}

// client is what the broker knows of a connection that was let in.
type client struct {
	session *sessions.Session
	rights  rights
	user    string
	present bool // it had the session before

	mu sync.Mutex
	// limited are filters of the SUBSCRIBE in hand that are beyond a limit, fresh the
	// subscriptions whose retained messages are to follow its answer.
	limited map[string]packets.Code
	fresh   []packets.Subscription
}

// clients are those that are let in, and the answers to those that are not.
type clients struct {
	mu      sync.Mutex
	byConn  map[net.Conn]*client
	refused map[net.Conn]packets.Code
}

func (c *clients) of(cl *mochi.Client) *client {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byConn[cl.Net.Conn]
}

func (c *clients) add(conn net.Conn, one *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byConn[conn] = one
}

func (c *clients) refuse(conn net.Conn, code packets.Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused[conn] = code
}

func (c *clients) refusal(conn net.Conn) (packets.Code, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	code, ok := c.refused[conn]
	return code, ok
}

// take returns the client and forgets the connection.
func (c *clients) take(conn net.Conn) *client {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.byConn[conn]
	delete(c.byConn, conn)
	delete(c.refused, conn)
	return one
}

func (c *clients) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byConn)
}

// swallowed is a packet that means nothing to the library: an acknowledgement of an id
// that does not exist.
func swallowed() packets.Packet {
	return packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}}
}

// OnPacketRead takes acknowledgements of subscribers, and publications that the library
// would drop without a word.
func (h *hook) OnPacketRead(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	c := h.b.clients.of(cl)
	if c == nil {
		return pk, nil // CONNECT
	}
	s := c.session
	failed := pk.ReasonCode >= packets.ErrUnspecifiedError.Code
	switch pk.FixedHeader.Type {
	case packets.Puback:
		s.Acknowledged(pk.PacketID, 1)
		return swallowed(), nil
	case packets.Pubrec:
		s.Received(pk.PacketID, failed)
		return swallowed(), nil
	case packets.Pubcomp:
		s.Acknowledged(pk.PacketID, 2)
		return swallowed(), nil
	case packets.Pubrel:
		return pk, h.complete(cl, s, pk.PacketID)
	case packets.Publish:
		if err := h.reuse(cl, s, pk); err != nil {
			return pk, err
		}
		if !mochi.IsValidFilter(pk.TopicName, true) {
			if pk.TopicName[0] == '$' {
				return swallowed(), h.refuse(cl, pk, packets.ErrNotAuthorized, deniedPublish)
			}
			h.b.denied.count(deniedTopic)
			h.end(cl, packets.ErrTopicNameInvalid)
			return pk, packets.ErrRejectPacket
		}
	}
	return pk, nil
}

// complete ends an exchange of QoS 2 with a publisher, or the connection if the log can't
// be written: PUBCOMP follows the disk.
func (h *hook) complete(cl *mochi.Client, s *sessions.Session, id uint16) error {
	if err := s.Complete(id); err != nil {
		h.b.failed(err, "the end of a publication of QoS 2 can't be kept, its sender has to send PUBREL again")
		h.disconnect(cl)
		return packets.ErrRejectPacket
	}
	h.patience(cl)
	return nil
}

// reuse makes sure that the library does not take a publication of QoS 1 for the
// repetition of one of QoS 2, whose packet id it has: its sender has forgotten the
// exchange, as one does that lost its state.
func (h *hook) reuse(cl *mochi.Client, s *sessions.Session, pk packets.Packet) error {
	if pk.FixedHeader.Qos != 1 {
		return nil
	}
	known, ok := cl.State.Inflight.Get(pk.PacketID)
	if !ok || known.FixedHeader.Type != packets.Pubrec {
		return nil
	}
	if err := h.complete(cl, s, pk.PacketID); err != nil {
		return err
	}
	if cl.State.Inflight.Delete(pk.PacketID) {
		cl.State.Inflight.IncreaseReceiveQuota()
		atomic.AddInt64(&h.b.server.Info.Inflight, -1)
	}
	return nil
}

// patience gives an answer time to go out: a commit may have outlasted the deadline that
// the library set when it read the packet.
func (h *hook) patience(cl *mochi.Client) {
	if conn := cl.Net.Conn; conn != nil {
		_ = conn.SetWriteDeadline(time.Now().Add(writePatience))
	}
}

// OnPacketEncode corrects answers of the library.
func (h *hook) OnPacketEncode(cl *mochi.Client, pk packets.Packet) packets.Packet {
	switch pk.FixedHeader.Type {
	case packets.Connack:
		if code, ok := h.b.clients.refusal(cl.Net.Conn); ok {
			pk.ReasonCode, pk.Properties.ReasonString = code.Code, code.Reason
			if cl.Properties.ProtocolVersion < 5 {
				pk.ReasonCode = returnCode(code)
			}
			return pk
		}
		if c := h.b.clients.of(cl); c != nil && pk.ReasonCode == 0 {
			// The library knows sessions by their connections, and forgets some.
			pk.SessionPresent = c.present
			pk.Properties.TopicAliasMaximum = topicAliases
			pk.Properties.MaximumPacketSize = uint32(h.b.cfg.MaxPacket)
		}
	case packets.Pubrec:
		// A publication that came before is acknowledged like the first time (MQTT 5.0,
		// 4.3.3); the library calls its packet id in use, which is an error to clients.
		if pk.ReasonCode == packets.ErrPacketIdentifierInUse.Code {
			pk.ReasonCode, pk.Properties.ReasonString = 0, ""
		}
	}
	return pk
}

// OnPublish stores a message that a subscription of the configuration is for, hands it
// over to the sessions of its subscribers, and returns when both have it on the disk.
// What the library does next depends on the result (all of it found by trying): with
// CodeSuccessIgnore it acknowledges (PUBACK, with QoS 2 PUBREC) and leaves the message
// alone; with ErrRejectPacket it does neither; with an ordinary error it acknowledges
// all the same on MQTT 3.1.1.
//
// A message that can't be stored must not be acknowledged, and its sender must send it
// again. Since MQTT 3.1.1 knows no negative answer and a client sends again only after
// a reconnect (4.4), the connection is closed.
func (h *hook) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	c := h.b.clients.of(cl)
	switch {
	case c == nil:
		return pk, packets.ErrRejectPacket
	case pk.TopicName == "":
		// An alias that never had a topic (MQTT 5, 3.3.2.3.4): nobody knows where
		// the message belongs, and the library would acknowledge it.
		h.end(cl, packets.ErrTopicAliasInvalid)
		return pk, packets.ErrRejectPacket
	case !h.b.fits(pk.TopicName):
		return pk, rejected(h.refuse(cl, pk, packets.ErrTopicNameInvalid, deniedTopic))
	case !c.rights.mayPublish(pk.TopicName, c.user, cl.ID):
		return pk, rejected(h.refuse(cl, pk, packets.ErrNotAuthorized, deniedPublish))
	}
	if err := h.b.take(pk, message(pk, cl.ID)); err != nil {
		h.b.failed(err, "storing a message of the broker failed, its sender has to send it again")
		h.disconnect(cl)
		return pk, packets.ErrRejectPacket
	}
	h.patience(cl)
	return pk, packets.CodeSuccessIgnore
}

func rejected(error) error { return packets.ErrRejectPacket }

// message is a publication as subscribers get it.
func message(pk packets.Packet, origin string) sessions.Message {
	m := sessions.Message{
		Topic: pk.TopicName, Payload: pk.Payload, QoS: pk.FixedHeader.Qos, Retain: pk.FixedHeader.Retain,
		Origin: origin, Created: pk.Created, Expiry: pk.Expiry,
		Properties: sessions.Properties{
			ContentType: pk.Properties.ContentType, ResponseTopic: pk.Properties.ResponseTopic,
			CorrelationData: pk.Properties.CorrelationData, User: pk.Properties.User,
			HasFormat: pk.Properties.PayloadFormatFlag, Format: pk.Properties.PayloadFormat,
		},
	}
	if m.QoS == 2 {
		m.PacketID = pk.PacketID
	}
	return m
}

// refuse answers a publication that is not wanted. MQTT 5 has a code for that. MQTT
// 3.1.1 lets a server acknowledge what it throws away or close the connection
// (3.3.5-2): it is closed, since an acknowledgement would be a lie. QoS 0 has no answer
// in either.
func (h *hook) refuse(cl *mochi.Client, pk packets.Packet, code packets.Code, why denial) error {
	h.b.denied.count(why)
	h.b.log.Debug("a publication was refused", "client", cl.ID, "topic", pk.TopicName, "reason", code.Reason)
	switch {
	case pk.FixedHeader.Qos == 0:
		return nil
	case cl.Properties.ProtocolVersion < 5:
		h.stop(cl, code)
		return packets.ErrRejectPacket
	}
	answer := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: pk.PacketID, ReasonCode: code.Code,
		Properties: packets.Properties{ReasonString: code.Reason},
	}
	if pk.FixedHeader.Qos == 2 {
		answer.FixedHeader.Type = packets.Pubrec
	}
	if err := cl.WritePacket(answer); err != nil {
		return packets.ErrRejectPacket
	}
	return nil
}

// disconnect ends the connection of a client whose message can't be stored.
func (h *hook) disconnect(cl *mochi.Client) { h.end(cl, packets.ErrServerUnavailable) }

// end ends a connection. Only MQTT 5 lets a server say why.
func (h *hook) end(cl *mochi.Client, code packets.Code) {
	if cl.Properties.ProtocolVersion == 5 {
		_ = h.b.server.DisconnectClient(cl, code)
	}
	h.stop(cl, code)
}

// stop closes a connection and sends the client's will, which the library only does
// when it is the one that finds the connection at its end.
func (h *hook) stop(cl *mochi.Client, why error) {
	cl.Stop(why)
	if atomic.SwapUint32(&cl.Properties.Will.Flag, 0) != 0 {
		_, _ = h.OnWill(cl, cl.Properties.Will)
	}
}
