package sessions

import (
	"github.com/mochi-mqtt/server/v2/packets"
)

// Everything here is called with Registry.mu held.

// add makes a session.
func (r *Registry) add(id string) *Session {
	s := &Session{
		r: r, id: id, subs: map[string]packets.Subscription{}, incoming: map[uint16]bool{},
		inflight: map[uint16]*item{}, wake: make(chan struct{}, 1),
	}
	r.sessions[id] = s
	r.stats.sessions.Add(1)
	return s
}

// remove ends a session and counts what it did not get.
func (r *Registry) remove(s *Session) {
	if s.ended {
		return
	}
	s.ended = true
	for filter := range s.subs {
		r.leave(s, filter)
	}
	delete(r.sessions, s.id)
	r.stats.sessions.Add(-1)
	if s.durable {
		r.stats.persistent.Add(-1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var left int64
	for _, it := range s.queue {
		if it.state != finished {
			s.letGoOf(it)
			left++
		}
		r.stats.queuedBytes.Add(-int64(s.cost(it)))
	}
	s.queue, s.cursor, s.inflight = nil, 0, map[uint16]*item{}
	r.stats.queued.Add(-left)
	r.drop(DroppedEnded, left)
}

func (r *Registry) subscribe(s *Session, sub packets.Subscription) (existed bool) {
	if _, existed = s.subs[sub.Filter]; !existed {
		r.stats.subscriptions.Add(1)
	}
	s.subs[sub.Filter] = sub
	r.topics.Subscribe(s.id, sub)
	return existed
}

func (r *Registry) leave(s *Session, filter string) {
	if _, ok := s.subs[filter]; ok {
		r.stats.subscriptions.Add(-1)
		delete(s.subs, filter)
		r.topics.Unsubscribe(filter, s.id)
	}
}

// retain makes m the retained message of its topic; an empty one removes it.
func (r *Registry) retain(m *message) {
	before := r.retained[m.Topic]
	if before != nil {
		r.stats.retainedBytes.Add(-int64(before.size()))
		r.stats.retained.Add(-1)
		delete(r.retained, m.Topic)
	}
	if len(m.Payload) > 0 {
		r.retained[m.Topic] = m
		r.stats.retained.Add(1)
		r.stats.retainedBytes.Add(int64(m.size()))
	}
	r.topics.RetainMessage(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Retain: true}, TopicName: m.Topic, Payload: m.Payload,
	})
}

// mayRetain tells whether there is room for m among the retained messages.
func (r *Registry) mayRetain(m *Message) bool {
	if len(m.Payload) == 0 {
		return true
	}
	n, bytes := len(r.retained)+1, int(r.stats.retainedBytes.Load())+m.size()
	if before := r.retained[m.Topic]; before != nil {
		n, bytes = n-1, bytes-before.size()
	}
	if n <= r.opts.MaxRetained && bytes <= r.opts.MaxRetainedBytes {
		return true
	}
	if r.dropExpired() {
		return r.mayRetain(m)
	}
	return false
}

// dropExpired makes room.
func (r *Registry) dropExpired() bool {
	now, found := r.now().Unix(), false
	for _, m := range r.retained {
		if m.expired(now) {
			gone := &message{Message: Message{Topic: m.Topic}}
			r.retain(gone)
			r.drop(DroppedExpired, 1)
			found = true
		}
	}
	return found
}

// push puts an item of QoS 1 or 2 at the end of the queue.
func (s *Session) push(it *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, it)
	s.last = max(s.last, it.seq)
	s.bytes += it.msg.size()
	s.r.ref(it.msg)
	s.r.stats.queuedBytes.Add(int64(s.cost(it)))
	s.r.stats.queued.Add(1)
}

// letGoOf finishes an item and gives up its message. Its place in the queue is kept until
// those before it are finished. It is called with s.mu held.
func (s *Session) letGoOf(it *item) {
	it.state = finished
	s.bytes -= it.msg.size()
	s.r.unref(it.msg)
	it.msg = nil
}

// totalWith is what MaxBytes would have to hold with the item: all messages that wait,
// once each, and all places in the queues.
func (s *Session) totalWith(it *item) int {
	total := int(s.r.stats.queuedBytes.Load()) + s.cost(it)
	if it.msg.refs.Load() == 0 {
		total += it.msg.size()
	}
	return total
}

// offer queues a message of QoS 1 or 2, if there is room. What there is no room for is
// dropped, counted, and told once until the queue was empty.
func (s *Session) offer(m *message, qos byte, retain bool, ids []int) (it *item, ok bool) {
	s.mu.Lock()
	o := &s.r.opts
	it = &item{msg: m, seq: s.last + 1, qos: qos, retain: retain, ids: ids}
	total := s.totalWith(it)
	n := len(s.queue) // finished ones in its middle count too, which are few
	if n >= o.MaxQueued || s.bytes+m.size() > o.MaxQueuedBytes || total > o.MaxBytes {
		tell := !s.full
		s.full = true
		s.mu.Unlock()
		s.r.drop(DroppedQueueFull, 1)
		if tell {
			o.Log.Warn("a subscriber's queue is full and messages for it are dropped",
				"client", s.id, "messages", n, "bytes", s.bytesNow(), "total_bytes", total)
		}
		return nil, false
	}
	s.mu.Unlock()
	s.push(it)
	return it, true
}

func (s *Session) bytesNow() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// offerFresh queues a message of QoS 0 to a client that is connected. One that has
// nothing of QoS 0 waiting gets it also if MaxBytes is used up by what waits for others.
func (s *Session) offerFresh(m *message, retain bool, ids []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return // QoS 0 is for who is there
	}
	o, it := &s.r.opts, &item{msg: m, retain: retain, ids: ids}
	n := len(s.fresh)
	if n >= o.MaxQueued || s.freshLen+m.size() > o.MaxQueuedBytes || n > 0 && s.totalWith(it) > o.MaxBytes {
		s.r.drop(DroppedSlow, 1)
		return
	}
	s.fresh = append(s.fresh, it)
	s.freshLen += m.size()
	s.r.ref(m)
	s.r.stats.queuedBytes.Add(int64(s.cost(it)))
}
