package sessions

import (
	"sync/atomic"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Message is a publication.
type Message struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
	// Origin is the client id of the publisher; "" is the program itself.
	Origin string
	// PacketID is that of a publication of QoS 2, which the session of its publisher
	// has to remember until PUBREL; 0 otherwise.
	PacketID uint16
	// Created and Expiry are in Unix seconds; an Expiry of 0 is never.
	Created, Expiry int64
	// Properties are those of MQTT 5 that go along to subscribers.
	Properties Properties
}

// Properties of a publication that are passed on unchanged (MQTT 5.0, 3.3.2.3).
type Properties struct {
	ContentType, ResponseTopic string
	CorrelationData            []byte
	HasFormat                  bool
	Format                     byte
	User                       []packets.UserProperty
}

// What is counted besides texts and payloads, in bytes. The first three are the sizes on
// the heap of a message, of a user property and of an identifier, rounded up.
const (
	overhead         = 200
	propertyOverhead = 32
	idOverhead       = 8
	// itemOverhead is for a place in the queue of a session. The item and the pointer to
	// it have 60, what is under way 40 more in a table; the rest is what the item takes
	// while the state is written anew.
	itemOverhead = 160
)

func (m *Message) size() int {
	n := overhead + len(m.Topic) + len(m.Payload) + len(m.Origin) + len(m.Properties.ContentType) +
		len(m.Properties.ResponseTopic) + len(m.Properties.CorrelationData)
	for _, u := range m.Properties.User {
		n += propertyOverhead + len(u.Key) + len(u.Val)
	}
	return n
}

func (m *Message) expired(now int64) bool { return m.Expiry > 0 && m.Expiry < now }

// message is one that is kept, for one or more sessions.
type message struct {
	Message
	order uint64       // the larger, the later
	refs  atomic.Int32 // items that lead to it and are not finished
}

// state is how far the delivery of an item is.
type state byte

const (
	waiting  state = iota
	sent           // PUBLISH is under way
	received       // PUBREC has come; what follows is PUBREL
	finished
)

// item is a message on its way to one session. There may be millions.
type item struct {
	msg    *message // nil once the item is finished
	seq    uint64   // of the session, from 1
	ids    []int    // subscription identifiers
	qos    byte
	retain bool
	state  state
	again  bool // it may have been sent before
	// answered is that PUBREC has come, whether the log has that or not.
	answered bool
}

// cost is what the session's item counts to MaxBytes besides its message, which it
// shares. The id of the session stands with each item when the state is written.
func (s *Session) cost(it *item) int { return itemOverhead + len(s.id) + cap(it.ids)*idOverhead }

// packetID follows from the number, and so is the same after a restart.
func packetID(seq uint64) uint16 { return uint16((seq-1)%65535 + 1) }

func (it *item) packet() packets.Packet {
	m := it.msg
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: it.qos, Retain: it.retain, Dup: it.again && it.qos > 0},
		TopicName:   m.Topic, Payload: m.Payload, Created: m.Created, Expiry: m.Expiry, Origin: m.Origin,
		Properties: packets.Properties{
			ContentType: m.Properties.ContentType, ResponseTopic: m.Properties.ResponseTopic,
			CorrelationData: m.Properties.CorrelationData, User: m.Properties.User,
			PayloadFormat: m.Properties.Format, PayloadFormatFlag: m.Properties.HasFormat,
			SubscriptionIdentifier: it.ids,
		},
	}
	if it.qos > 0 {
		pk.PacketID = packetID(it.seq)
	}
	return pk
}
