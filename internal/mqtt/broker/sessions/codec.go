package sessions

import (
	"encoding/binary"
	"errors"

	"github.com/mochi-mqtt/server/v2/packets"
)

// A frame of the log is a list of entries, each a kind byte and its fields; numbers
// are unsigned varints, texts have their length before them.
const (
	kindReset     = 1 // what follows in this frame is the whole state
	kindSession   = 2 // made, or changed
	kindEnd       = 3
	kindSubscribe = 4
	kindLeave     = 5
	kindMessage   = 6
	kindFinished  = 7
	kindReceived  = 8 // PUBREC of a subscriber
	kindComplete  = 9 // PUBREL of a publisher
	kindIncoming  = 10
	kindPart      = 11 // begins a frame: what follows counts only with kindWhole
	kindWhole     = 12 // the parts before and what follows in this frame are the whole state
)

// Bits of a message entry, of a subscription and of a target.
const (
	bitRetained  = 1 << 2 // it is the retained message of its topic from here on
	bitRetain    = 1 << 3
	bitFormat    = 1 << 4
	bitNoLocal   = 1 << 2
	bitPublished = 1 << 3
	bitReceived  = 1 << 4
)

// entry is one change. Which fields count depends on the kind.
type entry struct {
	kind    byte
	session string
	user    string
	version byte
	expiry  uint32
	next    uint64 // the session's last number
	sub     packets.Subscription
	msg     *Message
	keeps   bool // bitRetained
	targets []target
	seqs    []uint64
	id      uint16
	number  uint64 // of a part, from 0; with kindWhole how many parts there are
}

// target is a session that a message goes to.
type target struct {
	session  string
	seq      uint64
	qos      byte
	retain   bool
	received bool
	ids      []int
}

var errEntry = errors.New("an entry of the broker's log can't be read")

func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendInts(b []byte, ids []int) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, id := range ids {
		b = binary.AppendUvarint(b, uint64(id))
	}
	return b
}

func flag(is bool, bit byte) byte {
	if is {
		return bit
	}
	return 0
}

// append writes the entry behind b.
func (e *entry) append(b []byte) []byte {
	b = append(b, e.kind)
	switch e.kind {
	case kindSession:
		b = appendText(appendText(b, e.session), e.user)
		b = append(b, e.version)
		b = binary.AppendUvarint(b, uint64(e.expiry))
		b = binary.AppendUvarint(b, e.next)
	case kindEnd:
		b = appendText(b, e.session)
	case kindSubscribe:
		b = appendText(appendText(b, e.session), e.sub.Filter)
		b = append(b, e.sub.Qos&3|flag(e.sub.NoLocal, bitNoLocal)|flag(e.sub.RetainAsPublished, bitPublished), e.sub.RetainHandling)
		b = binary.AppendUvarint(b, uint64(e.sub.Identifier))
	case kindLeave:
		b = appendText(appendText(b, e.session), e.sub.Filter)
	case kindMessage:
		b = e.appendMessage(b)
	case kindFinished, kindReceived:
		b = appendText(b, e.session)
		b = binary.AppendUvarint(b, uint64(len(e.seqs)))
		for _, seq := range e.seqs {
			b = binary.AppendUvarint(b, seq)
		}
	case kindPart, kindWhole:
		b = binary.AppendUvarint(b, e.number)
	case kindComplete, kindIncoming:
		b = appendText(b, e.session)
		b = binary.AppendUvarint(b, uint64(e.id))
	}
	return b
}

func (e *entry) appendMessage(b []byte) []byte {
	m := e.msg
	b = append(b, m.QoS&3|flag(e.keeps, bitRetained)|flag(m.Retain, bitRetain)|flag(m.Properties.HasFormat, bitFormat), m.Properties.Format)
	b = appendText(appendText(appendText(b, m.Topic), m.Payload), m.Origin)
	b = binary.AppendUvarint(b, uint64(m.PacketID))
	b = binary.AppendVarint(binary.AppendVarint(b, m.Created), m.Expiry)
	b = appendText(appendText(appendText(b, m.Properties.ContentType), m.Properties.ResponseTopic), m.Properties.CorrelationData)
	b = binary.AppendUvarint(b, uint64(len(m.Properties.User)))
	for _, u := range m.Properties.User {
		b = appendText(appendText(b, u.Key), u.Val)
	}
	b = binary.AppendUvarint(b, uint64(len(e.targets)))
	for _, t := range e.targets {
		b = appendText(b, t.session)
		b = binary.AppendUvarint(b, t.seq)
		b = append(b, t.qos&3|flag(t.retain, bitRetain)|flag(t.received, bitReceived))
		b = appendInts(b, t.ids)
	}
	return b
}

// decodeFrame calls fn with the entries of a frame in their order. They share memory
// with nothing.
func decodeFrame(frame []byte, fn func(*entry) error) error {
	d := &decoder{b: frame}
	for len(d.b) > 0 {
		e := d.entry()
		if d.bad {
			return errEntry
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// decoder takes fields off its bytes until one is not there.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) number() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) signed() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) upTo(limit uint64) uint64 {
	v := d.number()
	if v > limit {
		d.bad = true
	}
	return v
}

func (d *decoder) text() string {
	n := d.number()
	if d.bad || n > uint64(len(d.b)) {
		d.bad = true
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

// count reads how many elements follow, each of a byte or more.
func (d *decoder) count() int {
	n := d.number()
	if n > uint64(len(d.b)) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) entry() *entry {
	e := &entry{kind: d.byte()}
	switch e.kind {
	case kindReset:
	case kindSession:
		e.session, e.user = d.text(), d.text()
		e.version, e.expiry, e.next = d.byte(), uint32(d.upTo(1<<32-1)), d.number()
	case kindEnd:
		e.session = d.text()
	case kindSubscribe:
		e.session, e.sub.Filter = d.text(), d.text()
		bits := d.byte()
		e.sub.Qos, e.sub.NoLocal, e.sub.RetainAsPublished = bits&3, bits&bitNoLocal != 0, bits&bitPublished != 0
		e.sub.RetainHandling, e.sub.Identifier = d.byte(), int(d.upTo(1<<28-1))
	case kindLeave:
		e.session, e.sub.Filter = d.text(), d.text()
	case kindMessage:
		d.message(e)
	case kindFinished, kindReceived:
		e.session = d.text()
		for range d.count() {
			e.seqs = append(e.seqs, d.number())
		}
	case kindPart, kindWhole:
		e.number = d.number()
	case kindComplete, kindIncoming:
		e.session, e.id = d.text(), uint16(d.upTo(65535))
	default:
		d.bad = true
	}
	return e
}

func (d *decoder) message(e *entry) {
	bits := d.byte()
	m := &Message{QoS: bits & 3, Retain: bits&bitRetain != 0}
	e.msg, e.keeps = m, bits&bitRetained != 0
	m.Properties.HasFormat, m.Properties.Format = bits&bitFormat != 0, d.byte()
	m.Topic, m.Payload, m.Origin = d.text(), []byte(d.text()), d.text()
	m.PacketID, m.Created, m.Expiry = uint16(d.upTo(65535)), d.signed(), d.signed()
	m.Properties.ContentType, m.Properties.ResponseTopic = d.text(), d.text()
	if c := d.text(); c != "" {
		m.Properties.CorrelationData = []byte(c)
	}
	for range d.count() {
		m.Properties.User = append(m.Properties.User, packets.UserProperty{Key: d.text(), Val: d.text()})
	}
	for range d.count() {
		t := target{session: d.text(), seq: d.number()}
		bits := d.byte()
		t.qos, t.retain, t.received = bits&3, bits&bitRetain != 0, bits&bitReceived != 0
		for range d.count() {
			t.ids = append(t.ids, int(d.upTo(1<<28-1)))
		}
		if t.seq == 0 {
			d.bad = true
		}
		e.targets = append(e.targets, t)
	}
	if m.Topic == "" {
		d.bad = true
	}
}
