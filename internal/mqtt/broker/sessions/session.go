package sessions

import (
	"errors"
	"sync"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Conn is a client that is connected.
type Conn interface {
	// WritePacket writes one packet, and waits as long as the client does not read.
	WritePacket(pk packets.Packet) error
	// Stop ends the connection.
	Stop(err error)
}

// Session is what the broker keeps of a client. Its methods are safe for concurrent use.
type Session struct {
	r  *Registry
	id string

	// Guarded by Registry.mu.
	user    string
	version byte
	expiry  uint32 // seconds
	durable bool
	ended   bool
	subs    map[string]packets.Subscription
	// incoming are the packet ids of publications of QoS 2 that await PUBREL.
	incoming map[uint16]bool

	mu       sync.Mutex
	queue    []*item // QoS 1 and 2, oldest first
	cursor   int     // of the queue: what was not sent on this connection
	last     uint64  // number of the newest item
	ready    uint64  // up to which number the log has them
	bytes    int
	inflight map[uint16]*item
	fresh    []*item // QoS 0, which is nobody's to keep
	freshLen int     // bytes of them
	freshNow bool    // it is their turn
	releases []uint16
	finished []uint64 // to be logged
	full     bool     // messages were dropped since it last was empty
	conn     Conn
	window   int
	wake     chan struct{}
	stop     chan struct{}
}

// ID is the client id.
func (s *Session) ID() string { return s.id }

// User is the name under which the client connected last.
func (s *Session) User() string {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	return s.user
}

// Attach begins to send to conn: first, in their order, what may have been sent before
// without an acknowledgement. At most window messages of QoS 1 and 2 are under way.
func (s *Session) Attach(conn Conn, window int) {
	s.mu.Lock()
	if s.stop != nil {
		close(s.stop)
	}
	s.rewind()
	stop := make(chan struct{})
	s.conn, s.window, s.stop = conn, max(window, 1), stop
	s.mu.Unlock()
	s.r.writers.Go(func() { s.write(conn, stop) })
	s.notify()
}

// rewind makes everything that has no acknowledgement to be sent again.
func (s *Session) rewind() {
	for _, it := range s.queue[:s.cursor] {
		if it.state == sent {
			it.state, it.again = waiting, true
		}
	}
	s.cursor, s.inflight, s.releases = 0, map[uint16]*item{}, nil
	for len(s.fresh) > 0 {
		s.nextFresh()
	}
	s.fresh = nil
}

// detach stops to send to conn. It tells whether conn had the session.
func (s *Session) detach(conn Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != conn || conn == nil {
		return false
	}
	close(s.stop)
	s.conn, s.stop = nil, nil
	s.rewind()
	return true
}

func (s *Session) attached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != nil
}

func (s *Session) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// write sends until the connection ends.
func (s *Session) write(conn Conn, stop chan struct{}) {
	for {
		pk, it, ok := s.next(stop)
		if !ok {
			select {
			case <-s.wake:
				continue
			case <-stop:
				return
			}
		}
		err := conn.WritePacket(pk)
		switch {
		case errors.Is(err, packets.ErrPacketTooLarge) && it != nil:
			// The client said that it takes no such packet: for it the message is
			// delivered (MQTT 5.0, 3.1.2.11.4).
			s.r.drop(DroppedTooLarge, 1)
			if it.qos > 0 {
				s.finish(pk.PacketID)
			}
		case err != nil:
			conn.Stop(err)
			return
		}
	}
}

// next takes what is to be sent next, if the connection of stop still has the session.
func (s *Session) next(stop chan struct{}) (packets.Packet, *item, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != stop {
		return packets.Packet{}, nil, false
	}
	if len(s.releases) > 0 {
		id := s.releases[0]
		s.releases = s.releases[1:]
		return release(id), nil, true
	}
	s.freshNow = !s.freshNow
	if s.freshNow && len(s.fresh) > 0 {
		it := s.nextFresh()
		return it.packet(), it, true
	}
	if pk, it, ok := s.nextKept(); ok {
		return pk, it, true
	}
	if len(s.fresh) > 0 {
		it := s.nextFresh()
		return it.packet(), it, true
	}
	return packets.Packet{}, nil, false
}

func release(id uint16) packets.Packet {
	return packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubrel, Qos: 1}, PacketID: id}
}

func (s *Session) nextFresh() *item {
	it := s.fresh[0]
	s.fresh[0] = nil
	s.fresh = s.fresh[1:]
	s.freshLen -= it.msg.size()
	s.r.unref(it.msg)
	s.r.stats.queuedBytes.Add(-int64(s.cost(it)))
	return it
}

func (s *Session) nextKept() (packets.Packet, *item, bool) {
	for s.cursor < len(s.queue) && len(s.inflight) < s.window {
		it := s.queue[s.cursor]
		id := packetID(it.seq)
		switch {
		case it.seq > s.ready || s.inflight[id] != nil:
			return packets.Packet{}, nil, false
		case it.state == finished:
			s.cursor++
		case it.state == received:
			s.cursor++
			s.inflight[id] = it
			return release(id), it, true
		case it.msg.expired(s.r.now().Unix()):
			s.cursor++
			s.r.drop(DroppedExpired, 1)
			s.finishItem(it)
		default:
			s.cursor++
			it.state = sent
			s.inflight[id] = it
			return it.packet(), it, true
		}
	}
	return packets.Packet{}, nil, false
}

// Acknowledged takes a PUBACK, or a PUBCOMP with qos 2. One that belongs to nothing
// means nothing.
func (s *Session) Acknowledged(id uint16, qos byte) {
	s.mu.Lock()
	it := s.inflight[id]
	fits := it != nil && it.qos == qos
	s.mu.Unlock()
	if fits {
		s.finish(id)
	}
}

func (s *Session) finish(id uint16) {
	s.mu.Lock()
	if it := s.inflight[id]; it != nil {
		delete(s.inflight, id)
		s.finishItem(it)
	}
	s.mu.Unlock()
	s.notify()
}

// finishItem is called with s.mu held.
func (s *Session) finishItem(it *item) {
	if it.state == finished {
		return
	}
	s.letGoOf(it)
	s.r.stats.queued.Add(-1)
	s.finished = append(s.finished, it.seq)
	for len(s.queue) > 0 && s.queue[0].state == finished {
		s.r.stats.queuedBytes.Add(-int64(s.cost(s.queue[0])))
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.cursor = max(s.cursor-1, 0)
	}
	if len(s.queue) == 0 {
		s.full = false
	}
	s.r.later(s)
}

// Received takes a PUBREC. PUBREL follows when the log has it. With failed, the client
// does not want the message (MQTT 5.0, 4.3.3). What came before means nothing again.
func (s *Session) Received(id uint16, failed bool) {
	s.mu.Lock()
	it := s.inflight[id]
	switch {
	case it == nil:
		// The client has to be told the end of what it believes to be under way: no
		// more than it may have under way, also if it does not read.
		if len(s.releases) < s.window {
			s.releases = append(s.releases, id)
		}
	case it.qos != 2 || it.answered || it.state == received:
		it = nil
	case !failed:
		it.answered = true
	}
	s.mu.Unlock()
	switch {
	case it == nil:
		s.notify()
	case failed:
		s.finish(id)
	default:
		s.r.enqueue(&op{lasting: true, change: func(t *tx) { s.answered(t, it) }})
	}
}

// answered logs that PUBREC has come for an item, and then releases it.
func (s *Session) answered(t *tx, it *item) {
	if s.durable && !s.ended {
		t.log(&entry{kind: kindReceived, session: s.id, seqs: []uint64{it.seq}})
	}
	t.after(func() {
		s.mu.Lock()
		if it.state != finished {
			it.state = received
		}
		if id := packetID(it.seq); s.inflight[id] == it {
			s.releases = append(s.releases, id)
		}
		s.mu.Unlock()
		s.notify()
	})
}

// Incoming returns the packet ids of publications of QoS 2 that await PUBREL.
func (s *Session) Incoming() []uint16 {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	ids := make([]uint16, 0, len(s.incoming))
	for id := range s.incoming {
		ids = append(ids, id)
	}
	return ids
}

// Complete forgets a publication of QoS 2, at its PUBREL. When it returns nil the log
// has that: PUBCOMP lets the publisher use the packet id for another, which must not be
// taken for a repetition after a kill.
func (s *Session) Complete(id uint16) error {
	s.r.mu.Lock()
	known := s.incoming[id]
	if !s.durable {
		delete(s.incoming, id)
	}
	s.r.mu.Unlock()
	if !known || !s.durable {
		return nil
	}
	return s.r.commit(func(t *tx) {
		delete(s.incoming, id)
		if !s.ended {
			t.log(&entry{kind: kindComplete, session: s.id, id: id})
		}
	})
}
