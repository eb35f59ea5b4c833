package sessions

import (
	"context"

	"github.com/mochi-mqtt/server/v2/packets"
)

// delivery is a session that a message goes to, and how.
type delivery struct {
	s      *Session
	qos    byte
	retain bool
	ids    []int
}

// Publish hands a message over to the sessions that are subscribed to its topic, and
// keeps it as retained message if it is one. When it returns nil, what is for
// persistent sessions with QoS 1 or 2, and a retained message, is on the disk. A
// message that found a session's queue full is counted as dropped; that is no error.
func (r *Registry) Publish(m Message) error {
	_, err := r.PublishFor(context.Background(), m)
	return err
}

// PublishFor is Publish that waits no longer than ctx, and tells how many sessions are
// subscribed. A message that still waited then is not published; one that was being
// written may be.
func (r *Registry) PublishFor(ctx context.Context, m Message) (subscribers int, err error) {
	if m.Created == 0 {
		m.Created = r.now().Unix()
	}
	r.mu.Lock()
	list := r.deliveries(&m)
	if !r.needsLog(&m, list) {
		r.hand(nil, &m, list)
		r.mu.Unlock()
		return len(list), nil
	}
	r.mu.Unlock()
	err = r.commitFor(ctx, func(t *tx) {
		list := r.deliveries(&m)
		subscribers = len(list)
		r.hand(t, &m, list)
	})
	if err != nil {
		return 0, err
	}
	return subscribers, nil
}

// needsLog tells whether something of the message has to be remembered.
func (r *Registry) needsLog(m *Message, list []delivery) bool {
	if m.Retain {
		return true
	}
	if origin := r.sessions[m.Origin]; m.PacketID != 0 && origin != nil && origin.durable {
		return true
	}
	for _, d := range list {
		if d.qos > 0 && d.s.durable {
			return true
		}
	}
	return false
}

// deliveries finds the sessions that the message goes to.
func (r *Registry) deliveries(m *Message) []delivery {
	found := r.topics.Subscribers(m.Topic)
	if len(found.Shared) > 0 {
		r.selectShared(found.Shared, found.Subscriptions)
	}
	list := make([]delivery, 0, len(found.Subscriptions))
	for id, sub := range found.Subscriptions {
		s := r.sessions[id]
		if s == nil || sub.NoLocal && m.Origin == id {
			continue
		}
		if !r.opts.MayReceive(s.user, s.id, m.Topic) {
			r.drop(DroppedDenied, 1)
			continue
		}
		list = append(list, delivery{
			s: s, qos: min(m.QoS, sub.Qos), retain: m.Retain && sub.RetainAsPublished && s.version == 5, ids: identifiers(sub),
		})
	}
	return list
}

func identifiers(sub packets.Subscription) []int {
	var ids []int
	for _, id := range sub.Identifiers {
		if id > 0 {
			ids = append(ids, id)
		}
	}
	if len(sub.Identifiers) == 0 && sub.Identifier > 0 {
		ids = append(ids, sub.Identifier)
	}
	return ids
}

// selectShared gives the message to one member of each group: one that is connected
// and has the least waiting, else any.
func (r *Registry) selectShared(groups map[string]map[string]packets.Subscription, into map[string]packets.Subscription) {
	for _, members := range groups {
		best, least := "", 0
		for id := range members {
			s := r.sessions[id]
			if s == nil {
				continue
			}
			if load := s.load(); best == "" || load < least {
				best, least = id, load
			}
		}
		if best == "" {
			continue
		}
		sub, ok := into[best]
		if !ok {
			sub = members[best]
		}
		into[best] = sub.Merge(members[best])
	}
}

// load orders the members of a group.
func (s *Session) load() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.queue) + len(s.fresh)
	if s.conn == nil {
		n += 1 << 30
	}
	return n
}

// hand queues the message. With a nil t nothing of it is logged.
func (r *Registry) hand(t *tx, m *Message, list []delivery) {
	r.order++
	kept := &message{Message: *m, order: r.order}
	e := &entry{kind: kindMessage, msg: &kept.Message}
	if m.Retain && t != nil {
		if r.mayRetain(m) {
			r.retain(kept)
			e.keeps = true
		} else {
			r.drop(DroppedRetainedFull, 1)
			r.opts.Log.Warn("a message is not retained, there are too many", "topic", m.Topic)
		}
	}
	origin := r.sessions[m.Origin]
	remember := m.PacketID != 0 && origin != nil
	if remember {
		origin.incoming[m.PacketID] = true
	}
	for _, d := range list {
		if tg, ok := r.handTo(t, kept, d); ok {
			e.targets = append(e.targets, tg)
		}
	}
	if t != nil && (e.keeps || len(e.targets) > 0 || remember && origin.durable) {
		t.log(e)
	}
}

// handTo queues a message for one session, and returns what the log has to know.
func (r *Registry) handTo(t *tx, m *message, d delivery) (target, bool) {
	if d.qos == 0 {
		d.s.offerFresh(m, d.retain, d.ids)
		d.s.notify()
		return target{}, false
	}
	if !d.s.durable && !d.s.attached() {
		return target{}, false
	}
	it, ok := d.s.offer(m, d.qos, d.retain, d.ids)
	if !ok {
		return target{}, false
	}
	if !d.s.durable || t == nil {
		d.s.mu.Lock()
		d.s.ready = max(d.s.ready, it.seq)
		d.s.mu.Unlock()
		d.s.notify()
		return target{}, false
	}
	t.ready[d.s] = it.seq
	return target{session: d.s.id, seq: it.seq, qos: it.qos, retain: it.retain, ids: it.ids}, true
}

// SendRetained queues the retained messages of a new subscription.
func (r *Registry) SendRetained(s *Session, sub packets.Subscription) error {
	return r.commit(func(t *tx) {
		if s.ended {
			return
		}
		now := r.now().Unix()
		for _, pk := range r.topics.Messages(sub.Filter) {
			m := r.retained[pk.TopicName]
			if m == nil || m.expired(now) {
				continue
			}
			if !r.opts.MayReceive(s.user, s.id, m.Topic) {
				r.drop(DroppedDenied, 1)
				continue
			}
			r.order++
			kept := &message{Message: m.Message, order: r.order}
			kept.PacketID = 0
			tg, ok := r.handTo(t, kept, delivery{s: s, qos: min(m.QoS, sub.Qos), retain: true, ids: identifiers(sub)})
			if ok {
				t.log(&entry{kind: kindMessage, msg: &kept.Message, targets: []target{tg}})
			}
		}
	})
}
