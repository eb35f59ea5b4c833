package broker

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Times of the listener.
const (
	// connectTimeout is how long a client may take for TLS and CONNECT; the
	// server library itself would wait for ever.
	connectTimeout = 10 * time.Second
	// acceptPause is the pause after a failure to accept, such as one of too
	// many open files, at which the library would stop to listen.
	acceptPause = 100 * time.Millisecond
)

// maxFirstPacket bounds the packet with which a connection begins, in bytes
// after its length: client id, user, password and a will. The library makes
// room for as much as a packet says that it has, so that anybody could have
// max_packet of memory on each connection, without a password and without
// sending it.
const maxFirstPacket = 128 << 10

// guarded is a listener that bounds how many connections are open, whether
// they have said CONNECT or not, and how long they may take for it.
type guarded struct {
	net.Listener
	limit  int64
	open   atomic.Int64
	closed chan struct{}
	once   sync.Once
}

func newGuarded(l net.Listener, limit int) *guarded {
	return &guarded{Listener: l, limit: int64(limit), closed: make(chan struct{})}
}

// Accept returns an error only once the listener is closed.
func (g *guarded) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil, err
		case err != nil:
			select {
			case <-g.closed:
				return nil, net.ErrClosed
			case <-time.After(acceptPause):
			}
		case g.open.Add(1) > g.limit:
			g.open.Add(-1)
			_ = conn.Close()
		default:
			// CONNECT replaces this deadline by that of the keep-alive.
			_ = conn.SetDeadline(time.Now().Add(connectTimeout))
			return &countedConn{Conn: conn, done: func() { g.open.Add(-1) }}, nil
		}
	}
}

func (g *guarded) Close() error {
	g.once.Do(func() { close(g.closed) })
	return g.Listener.Close()
}

// countedConn tells its listener, once, that it is closed. It fails if its
// first packet is too large.
type countedConn struct {
	net.Conn
	once  sync.Once
	done  func()
	first firstPacket // of the goroutine that reads
}

var errFirstPacket = errors.New("the first packet of the connection is too large")

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.first.allows(b[:n]) {
		return 0, errFirstPacket
	}
	return n, err
}

func (c *countedConn) Close() error {
	c.once.Do(c.done)
	return c.Conn.Close()
}

// firstPacket reads along until it knows how long the first packet is: a byte
// with the type, then seven bits of the length a byte, the lowest first, with
// the eighth set as long as more follow (MQTT 3.1.1, 2.2.3).
type firstPacket struct {
	seen, length int
	known        bool
}

// allows tells whether the first packet, as far as it is known after these
// bytes, is small enough. A length that never ends is the library's to refuse.
func (f *firstPacket) allows(b []byte) bool {
	for _, c := range b {
		if f.known {
			break
		}
		if f.seen > 0 {
			f.length |= int(c&0x7f) << (7 * (f.seen - 1))
			f.known = c&0x80 == 0 || f.seen == 4
		}
		f.seen++
	}
	return f.length <= maxFirstPacket
}
