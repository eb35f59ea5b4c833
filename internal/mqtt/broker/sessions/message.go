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

// overhead is what a message costs in memory besides its topic and payload, roughly.
const overhead = 200

func (m *Message) size() int {
	n := overhead + len(m.Topic) + len(m.Payload) + len(m.Properties.ContentType) +
		len(m.Properties.ResponseTopic) + len(m.Properties.CorrelationData)
	for _, u := range m.Properties.User {
		n += len(u.Key) + len(u.Val)
	}
	return n
}

func (m *Message) expired(now int64) bool { return m.Expiry > 0 && m.Expiry < now }

// message is one that is kept, for one or more sessions.
type message struct {
	Message
	order uint64       // the larger, the later
	refs  atomic.Int32 // items of QoS 1 and 2 that lead to it
}

// state is how far the delivery of an item is.
type state byte

const (
	waiting  state = iota
	sent           // PUBLISH is under way
	received       // PUBREC has come; what follows is PUBREL
	finished
)

// item is a message on its way to one session.
type item struct {
	msg    *message
	seq    uint64 // of the session, from 1
	qos    byte
	retain bool
	ids    []int // subscription identifiers
	state  state
	again  bool // it may have been sent before
	// answered is that PUBREC has come, whether the log has that or not.
	answered bool
}

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
