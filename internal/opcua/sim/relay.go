package sim

import (
	"io"
	"net"
	"sync"
	"time"
)

// greeting bounds how long a new connection may say nothing: the library's
// server lets no other in meanwhile.
const greeting = 5 * time.Second

// relay passes connections on to the inner server, and ends all of them when it
// is closed.
type relay struct {
	listener net.Listener
	inner    string
	tasks    sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
}

func newRelay(l net.Listener, inner string) *relay {
	r := &relay{listener: l, inner: inner, conns: map[net.Conn]bool{}}
	r.tasks.Go(r.accept)
	return r
}

func (r *relay) accept() {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		r.tasks.Go(func() { r.pass(c) })
	}
}

// pass connects to the inner server once the client has said its first word.
func (r *relay) pass(client net.Conn) {
	if !r.keep(client) {
		return
	}
	defer r.drop(client)
	first := make([]byte, 4096)
	_ = client.SetReadDeadline(time.Now().Add(greeting))
	n, err := client.Read(first)
	if err != nil {
		return
	}
	_ = client.SetReadDeadline(time.Time{})
	inner, err := net.Dial("tcp", r.inner)
	if err != nil || !r.keep(inner) {
		return
	}
	defer r.drop(inner)
	if _, err := inner.Write(first[:n]); err != nil {
		return
	}
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{client, inner}, {inner, client}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			// One direction is over: end both, which ends the other copy too.
			_ = client.Close()
			_ = inner.Close()
			done <- struct{}{}
		}()
	}
	<-done
	<-done
}

// keep registers a connection, unless the relay is closed.
func (r *relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		_ = c.Close()
		return false
	}
	r.conns[c] = true
	return true
}

func (r *relay) drop(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = c.Close()
	delete(r.conns, c)
}

func (r *relay) close() error {
	err := r.listener.Close()
	r.mu.Lock()
	r.closed = true
	for c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.tasks.Wait()
	return err
}
