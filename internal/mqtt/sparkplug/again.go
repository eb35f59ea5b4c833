package sparkplug

import "plantgate/internal/mes"

// Brokers send again, with DUP, what they were not told of before a connection ended. Of
// messages with QoS 1 that is anything since the last acknowledgement; births with QoS 0
// that came since do not come again. So what comes again may be older than what is known.

// mayFollow tells whether the birth may have been sent after the payload; not by its node's
// clock, if that is known.
func (b *birth) mayFollow(p *Payload) bool {
	return b != nil && (p.Timestamp.IsZero() || b.at.IsZero() || !p.Timestamp.After(b.at))
}

// withoutAliases is the birth for messages that were sent before it.
func (b *birth) withoutAliases() *birth {
	other := *b
	other.byAlias, other.noAliases = nil, true
	return &other
}

// repeated is of a birth that the broker sends again. One that is known, or older than what
// is known, speaks for its own values, and changes nothing. Where that can't be told, no birth counts
// until the next.
func (m *maker) repeated(n *node, known **birth, p *Payload, b *birth, wrong problems) (Result, bool) {
	before := *known
	if !m.message.Again || !before.mayFollow(p) && !n.birth.mayFollow(p) {
		return Result{}, false
	}
	r := Result{Records: m.records(p, b, wrong), Note: "a birth was sent again, and what is known is no older"}
	if before != nil && before.content == b.content {
		return r, true
	}
	if p.Timestamp.IsZero() || before != nil && before.at.IsZero() || n.birth != nil && n.birth.at.IsZero() {
		*known = nil
		r.Rebirth = "a birth that does not say when it was sent was sent again"
	}
	return r, true
}

// birth is the message as a birth to be kept.
func (m *maker) birth() *mes.SparkplugBirth {
	return &mes.SparkplugBirth{Address: m.message.Topic.Address(), Payload: m.message.Payload, ReceivedAt: m.message.ReceivedAt}
}
