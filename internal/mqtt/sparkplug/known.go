package sparkplug

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"

	"plantgate/internal/mes"
)

// Mark is what a message says of the birth of its node or device: which one counts now. It
// is noted in the commit of the message's records, which the birth itself is not: after a
// restart it tells whether a birth that was kept is the one that counts.
type Mark struct {
	// Address is group/node or group/node/device.
	Address string
	// Content is the birth's; noBirth means that none counts: it died.
	Content [16]byte
}

// noBirth is the content of the mark of a death. It is not zero, which stores take for a
// content that is missing.
var noBirth = [16]byte(bytes.Repeat([]byte{0xFF}, 16))

// died is the mark of a death.
func (m *maker) died() *Mark { return &Mark{Address: m.message.Topic.Address(), Content: noBirth} }

// born is the mark of a birth.
func (m *maker) born() *Mark {
	return &Mark{Address: m.message.Topic.Address(), Content: mes.ContentOf(m.message.Payload)}
}

// IsMark tells by its name whether a delivery is the mark of a birth or a death.
func IsMark(name string) bool { return strings.HasPrefix(name, mes.DeliveryBirth) }

// markName is the name of the marks of an address.
func markName(address string) string {
	sum := mes.ContentOf([]byte(address))
	return mes.DeliveryBirth + hex.EncodeToString(sum[:])
}

// Delivery is what is kept of a mark. Numbers must grow, from one process to the next as well.
func (m *Mark) Delivery(connection string, number int64) mes.Delivery {
	return mes.Delivery{Connection: connection, Name: markName(m.Address), Number: number, Content: m.Content}
}

// loading is a birth that was kept, and what was noted of it and of its node.
type loading struct {
	topic      Topic
	kept       *mes.SparkplugBirth
	mark, node mes.Delivery // with the number 0 if there is none
}

// isDead tells whether the mark of a death is newer.
func (l *loading) isDead() bool {
	return isDeath(l.mark) || isDeath(l.node) && l.node.Number > l.mark.Number
}

// counts tells whether the birth that was kept is the last that came.
func (l *loading) counts() bool {
	return l.mark.Number > 0 && l.mark.Content == mes.ContentOf(l.kept.Payload) &&
		(l.topic.Device == "" || l.mark.Number > l.node.Number)
}

func isDeath(d mes.Delivery) bool { return d.Number > 0 && d.Content == noBirth }

// Load takes over births that were kept, by the deliveries of the connection. Those that are
// not as noted don't count, but their nodes and devices are known to have been online. It
// returns the addresses of births that can't be read or have no room, and of those whose
// nodes or devices died.
func (h *Host) Load(births []mes.SparkplugBirth, deliveries []mes.Delivery) (unread, dead []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	noted := make(map[string]mes.Delivery, len(deliveries))
	for _, d := range deliveries {
		noted[d.Name] = d
	}
	for i := range births {
		l := loading{kept: &births[i]}
		levels := strings.SplitN(l.kept.Address, "/", 3)
		if len(levels) < 2 {
			unread = append(unread, l.kept.Address)
			continue
		}
		l.topic.Node = Node{levels[0], levels[1]}
		if len(levels) == 3 {
			l.topic.Device = levels[2]
		}
		l.mark, l.node = noted[markName(l.kept.Address)], noted[markName(l.topic.Node.String())]
		switch {
		case l.isDead():
			dead = append(dead, l.kept.Address)
		case !h.load(&l):
			unread = append(unread, l.kept.Address)
		}
	}
	slices.Sort(unread)
	return unread, dead
}

func (h *Host) load(l *loading) bool {
	p, err := Decode(l.kept.Payload)
	if err != nil {
		return false
	}
	m, err := h.maker(Message{Topic: l.topic})
	if err != nil {
		return false
	}
	n, err := h.remember(l.topic, &m)
	if err != nil {
		return false
	}
	var b *birth
	if l.counts() {
		said, _ := define(&p, l.kept.Payload)
		b = &said
	}
	if name := l.topic.Device; name != "" {
		*n.devices[name] = device{birth: b, online: true, heard: true, unsure: b == nil}
	} else {
		n.birth, n.online, n.unsure = b, true, b == nil
		if b != nil {
			n.bdSeq = p.bdSeq()
		}
	}
	if n.bornAt.Before(l.kept.ReceivedAt) {
		n.bornAt = l.kept.ReceivedAt
	}
	return true
}
