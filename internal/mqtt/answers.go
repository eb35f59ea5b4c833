package mqtt

import (
	"errors"
	"net"
	"sync"
	"time"
)

// subscribeAnswer is the length of a SUBACK for one filter: packet id and
// return code (MQTT 3.1.1, 3.9).
const subscribeAnswer = 3

var errAnswer = errors.New("the broker answers for more subscriptions than were asked for")

// checkedConn is a connection that ends at a SUBACK with more return codes than
// filters. The client library panics at those, in a goroutine of its own, which
// would end the program. Every SUBSCRIBE has one filter.
type checkedConn struct {
	net.Conn
	answers answers // of the goroutine that reads
}

func (c *checkedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.answers.allow(b[:n]) {
		return 0, errAnswer
	}
	return n, err
}

// The parts of a packet.
const (
	partKind = iota
	partLength
	partBody
)

// typeSuback is the upper half of the first byte.
const typeSuback = 9

// answers follows the packets of a stream.
type answers struct {
	part   int
	kind   byte
	length int // of the body, or what is left of it
	shift  int
}

// allow tells whether the stream may go on with b.
func (a *answers) allow(b []byte) bool {
	for len(b) > 0 {
		switch a.part {
		case partKind:
			a.kind, a.length, a.shift, a.part = b[0]>>4, 0, 0, partLength
			b = b[1:]
		case partLength:
			// Seven bits a byte, the lowest first; the eighth says that more follow.
			a.length |= int(b[0]&0x7f) << a.shift
			a.shift += 7
			more := b[0]&0x80 != 0 && a.shift < 4*7
			b = b[1:]
			if !more && !a.begin() {
				return false
			}
		case partBody:
			n := min(a.length, len(b))
			b = b[n:]
			if a.length -= n; a.length == 0 {
				a.part = partKind
			}
		}
	}
	return true
}

// begin goes on to the body, if the packet may have one of this length.
func (a *answers) begin() bool {
	a.part = partBody
	if a.length == 0 {
		a.part = partKind
	}
	return a.kind != typeSuback || a.length <= subscribeAnswer
}

// heardConn remembers the first error of reading, such as the alert of a broker that
// does not trust the client: with TLS 1.3 it comes after the handshake.
type heardConn struct {
	net.Conn
	mu    sync.Mutex
	heard bool
	err   error
}

func (c *heardConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = c.heard || n > 0
	if err != nil && c.err == nil {
		c.err = err
	}
	return n, err
}

// Write reads, where it fails before the broker has said anything, what the broker said
// last: a connection may be reset before the first packet is written, with the alert that
// tells why waiting to be read.
func (c *heardConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil && !c.hasHeard() && c.SetReadDeadline(time.Now().Add(lastWords)) == nil {
		_, _ = c.Read(make([]byte, 1)) // its error is remembered
	}
	return n, err
}

func (c *heardConn) hasHeard() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard
}

// lastWords bounds the wait for what a broker said before it ended a connection.
const lastWords = 100 * time.Millisecond

// fault is that error, nil if there is none.
func (c *heardConn) fault() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
