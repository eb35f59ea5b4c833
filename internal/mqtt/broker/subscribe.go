package broker

import (
	"strings"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// fits tells whether a topic or a filter is within the limits.
func (b *Broker) fits(text string) bool {
	l := &b.cfg.Limits
	return len(text) <= l.MaxTopicLength && strings.Count(text, "/") < l.MaxTopicLevels
}

// OnSubscribe finds what is beyond a limit.
func (h *hook) OnSubscribe(cl *mochi.Client, pk packets.Packet) packets.Packet {
	c := h.b.clients.of(cl)
	if c == nil {
		return pk
	}
	limited := map[string]packets.Code{}
	added := map[string]bool{}
	for _, sub := range pk.Filters {
		n, has := c.session.Subscriptions(sub.Filter)
		switch {
		case !h.b.fits(sub.Filter):
			limited[sub.Filter] = packets.ErrTopicFilterInvalid
		case !has && !added[sub.Filter] && n+len(added) >= h.b.cfg.Limits.MaxSubscriptions:
			limited[sub.Filter] = packets.ErrQuotaExceeded
		case !has:
			added[sub.Filter] = true
		}
	}
	c.mu.Lock()
	c.limited = limited
	c.mu.Unlock()
	return pk
}

// OnACLCheck is asked for the filters of SUBSCRIBE, and for the broker's own topics when
// the library sends them. Publications are checked in OnPublish, when it is known what
// topic an alias stands for.
func (h *hook) OnACLCheck(cl *mochi.Client, topic string, write bool) bool {
	if write {
		return true
	}
	c := h.b.clients.of(cl)
	if c == nil {
		return false
	}
	c.mu.Lock()
	_, limited := c.limited[topic]
	c.mu.Unlock()
	return !limited && c.rights.maySubscribe(topic, c.user, cl.ID)
}

// OnSubscribed makes the subscriptions that the library has granted, before it says so.
// The codes are those of its answer.
func (h *hook) OnSubscribed(cl *mochi.Client, pk packets.Packet, codes []byte) {
	c := h.b.clients.of(cl)
	if c == nil {
		return
	}
	var granted []packets.Subscription
	c.mu.Lock()
	limited := c.limited
	c.limited = nil
	c.mu.Unlock()
	for i, sub := range pk.Filters {
		code, isLimited := limited[sub.Filter]
		switch {
		case codes[i] <= packets.CodeGrantedQos2.Code:
			granted = append(granted, sub)
		case isLimited:
			h.b.denied.count(deniedLimit)
			if cl.Properties.ProtocolVersion == 5 {
				codes[i] = code.Code
			}
			h.b.log.Warn("a subscription was refused: it is beyond a limit", "client", cl.ID, "filter", sub.Filter, "reason", code.Reason)
		default:
			h.b.denied.count(deniedSubscribe)
			h.b.log.Debug("a subscription was refused", "client", cl.ID, "user", c.user, "filter", sub.Filter)
		}
	}
	if len(granted) == 0 {
		return
	}
	existed, err := h.b.sessions.Subscribe(c.session, granted)
	if err != nil {
		h.b.failed(err, "a subscription can't be kept")
		for i := range codes {
			codes[i] = packets.ErrUnspecifiedError.Code
			h.b.server.Topics.Unsubscribe(pk.Filters[i].Filter, cl.ID)
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, sub := range granted {
		// MQTT 5.0, 3.3.1.3 and 4.8.2.
		if sub.RetainHandling == 2 || sub.RetainHandling == 1 && existed[i] || mochi.IsSharedFilter(sub.Filter) {
			continue
		}
		c.fresh = append(c.fresh, sub)
	}
}

// OnPacketProcessed sends retained messages after SUBACK.
func (h *hook) OnPacketProcessed(cl *mochi.Client, pk packets.Packet, _ error) {
	if pk.FixedHeader.Type != packets.Subscribe {
		return
	}
	c := h.b.clients.of(cl)
	if c == nil {
		return
	}
	c.mu.Lock()
	fresh := c.fresh
	c.fresh = nil
	c.mu.Unlock()
	for _, sub := range fresh {
		if err := h.b.sessions.SendRetained(c.session, sub); err != nil {
			h.b.failed(err, "retained messages can't be sent to a new subscriber")
			h.disconnect(cl)
			return
		}
	}
}

// OnUnsubscribe ends subscriptions, before the library answers.
func (h *hook) OnUnsubscribe(cl *mochi.Client, pk packets.Packet) packets.Packet {
	c := h.b.clients.of(cl)
	if c == nil {
		return pk
	}
	filters := make([]string, len(pk.Filters))
	for i, sub := range pk.Filters {
		filters[i] = sub.Filter
	}
	if err := h.b.sessions.Unsubscribe(c.session, filters); err != nil {
		h.b.failed(err, "the end of a subscription can't be kept")
		h.disconnect(cl)
	}
	return pk
}
