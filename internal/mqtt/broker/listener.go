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

// countedConn tells its listener, once, that it is closed.
type countedConn struct {
	net.Conn
	once sync.Once
	done func()
}

func (c *countedConn) Close() error {
	c.once.Do(c.done)
	return c.Conn.Close()
}
