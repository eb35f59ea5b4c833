package broker

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
)

// Times of the listener.
const (
	// acceptPause is the pause after a failure to accept, such as one of too
	// many open files, at which the library would stop to listen.
	acceptPause = 100 * time.Millisecond
	// farewell is how long clients have to take the last packets, at a stop.
	farewell = time.Second
)

// maxFirstPacket bounds the packet with which a connection begins, in bytes
// after its length: client id, user, password and a will. The library makes
// room for as much as a packet says that it has, so that anybody could have
// max_packet of memory on each connection, without a password and without
// sending it.
const maxFirstPacket = 128 << 10

// listener is what the library's server listens on. It bounds how many
// connections are open, whether they have said CONNECT or not, and how long
// they may take for it. It counts those who are served before their goroutines
// start: the library counts them inside, where a stop can miss one.
type listener struct {
	net.Listener
	log      *slog.Logger
	limit    int
	patience time.Duration // for TLS and CONNECT; the library would wait for ever
	rates    *rates
	denied   *denials
	ended    func(net.Conn) // a connection is served no more

	mu      sync.Mutex
	open    map[*firstConn]struct{}
	closed  bool
	serving sync.WaitGroup // added to under mu, while not closed
}

// listenerID is the listener's name for the library.
const listenerID = "main"

func (b *Broker) newListener(l net.Listener) *listener {
	return &listener{
		Listener: l, limit: b.cfg.MaxClients, patience: b.cfg.Limits.ConnectTimeout,
		rates: newRates(b.cfg.Limits.ConnectsPerSecond), denied: &b.denied, ended: b.ended,
		open: map[*firstConn]struct{}{},
	}
}

// ended forgets a client whose connection failed before it was established.
func (b *Broker) ended(conn net.Conn) {
	if c := b.clients.take(conn); c != nil {
		b.sessions.Abandon(c.session)
	}
}

// Init is called by the library with its log.
func (l *listener) Init(log *slog.Logger) error {
	l.log = log
	return nil
}

func (l *listener) ID() string       { return listenerID }
func (l *listener) Address() string  { return l.Addr().String() }
func (l *listener) Protocol() string { return l.Addr().Network() }

// Serve gives each connection to establish, in a goroutine of its own, until
// the listener is closed.
func (l *listener) Serve(establish listeners.EstablishFn) {
	if !l.enter(nil) {
		return
	}
	defer l.serving.Done()
	for {
		conn, err := l.Accept()
		switch {
		case l.isClosed():
			if err == nil {
				_ = conn.Close()
			}
			return
		case err != nil:
			time.Sleep(acceptPause)
		default:
			l.serve(conn, establish)
		}
	}
}

// serve turns the connection away if there are too many.
func (l *listener) serve(conn net.Conn, establish listeners.EstablishFn) {
	c := &firstConn{Conn: conn}
	if !l.rates.allow(conn.RemoteAddr(), time.Now()) {
		l.denied.count(deniedRate)
		_ = conn.Close()
		return
	}
	if !l.enter(c) {
		l.denied.count(deniedClients)
		_ = conn.Close()
		return
	}
	// CONNECT replaces this deadline by that of the keep-alive.
	_ = conn.SetDeadline(time.Now().Add(l.patience))
	go func() {
		defer l.leave(c)
		defer l.ended(c)
		if err := establish(l.ID(), c); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && strings.HasPrefix(err.Error(), "read connection") {
				l.denied.count(deniedSlow)
			}
			l.tell(c, err)
		}
	}()
}

// tell tells of the end of a connection: as a warning, if it is neither an ordinary one
// nor told already because the client was refused.
func (l *listener) tell(c *firstConn, err error) {
	level := slog.LevelWarn
	if c.refused || ordinary(err) || l.isClosed() {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, "the connection of an MQTT client ended",
		"client", c.client, "user", c.user, "address", c.RemoteAddr().String(), "error", err)
}

// enter counts what serves a connection, or accepts them, until Done of serving.
func (l *listener) enter(c *firstConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || c != nil && len(l.open) >= l.limit {
		return false
	}
	if c != nil {
		l.open[c] = struct{}{}
	}
	l.serving.Add(1)
	return true
}

func (l *listener) leave(c *firstConn) {
	_ = c.Close()
	l.mu.Lock()
	delete(l.open, c)
	l.mu.Unlock()
	l.serving.Done()
}

func (l *listener) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Close stops to listen, lets the library say goodbye to its clients, closes all
// connections and waits until nobody is served any more. A client that does not read
// holds the goodbye up, for a while.
func (l *listener) Close(goodbye listeners.CloseFn) {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	_ = l.Listener.Close()
	patience := time.AfterFunc(farewell, l.closeAll)
	goodbye(l.ID())
	patience.Stop()
	l.closeAll()
	l.serving.Wait()
}

func (l *listener) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		_ = c.Close()
	}
}

// firstConn fails if its first packet is too large. It knows whose it is.
type firstConn struct {
	net.Conn
	first firstPacket // of the goroutine that reads
	// client and user are what CONNECT says, refused is that it was in vain; also of that
	// goroutine.
	client, user string
	refused      bool
}

var errFirstPacket = errors.New("the first packet of the connection is too large")

func (c *firstConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.first.allows(b[:n]) {
		return 0, errFirstPacket
	}
	return n, err
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
