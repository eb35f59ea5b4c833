// Package opcuatest has what tests of the OPC UA adapter share: a TCP proxy that
// misbehaves on command, and an ingest service that remembers.
package opcuatest

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy passes TCP connections on to a server until it is told otherwise.
type Proxy struct {
	listener net.Listener
	target   string
	tasks    sync.WaitGroup

	mu     sync.Mutex
	way    way
	change chan struct{} // closed when way changes
	closed bool
	// conns are both ends of what is open; an end leads to the other.
	conns map[net.Conn]net.Conn
}

// way is how bytes are passed on.
type way struct {
	// hole swallows them, held keeps them back; deaf passes nothing to the server and
	// leaves its connections open when a client goes.
	hole, held, deaf bool
	// delay is how long each part of them takes, stall by how much every stallEvery-th
	// takes longer.
	delay, stall time.Duration
}

const stallEvery = 20

// NewProxy starts a proxy to target ("host:port"), which ends with the test.
func NewProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: target, conns: map[net.Conn]net.Conn{}, change: make(chan struct{})}
	p.tasks.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// URL returns the endpoint for clients.
func (p *Proxy) URL() string { return "opc.tcp://" + p.listener.Addr().String() }

// Connections is how many clients are connected.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns) / 2
}

// Cut ends every connection; new ones are let through.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// CutOne ends one of the connections.
func (p *Proxy) CutOne() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c, other := range p.conns {
		_ = c.Close()
		_ = other.Close()
		return
	}
}

// BlackHole swallows every byte of both directions, of open and new
// connections, without ending any.
func (p *Proxy) BlackHole() { p.set(way{hole: true}) }

// Hold keeps every byte of both directions back.
func (p *Proxy) Hold() { p.set(way{held: true}) }

// HalfOpen swallows what clients send and what servers answer, and does not tell the
// server when a client ends its connection: that one stays open for the server.
func (p *Proxy) HalfOpen() { p.set(way{hole: true, deaf: true}) }

// Delay makes each part of the bytes take so long, and now and then longer by stall.
func (p *Proxy) Delay(delay, stall time.Duration) { p.set(way{delay: delay, stall: stall}) }

// Resume passes bytes on as they come. What was swallowed stays lost, what was kept back
// comes.
func (p *Proxy) Resume() { p.set(way{}) }

func (p *Proxy) set(w way) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.way = w
	close(p.change)
	p.change = make(chan struct{})
}

func (p *Proxy) now() (w way, change <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.way, p.change
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.tasks.Go(func() { p.pass(c) })
	}
}

func (p *Proxy) pass(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	if !p.keep(client, server) {
		return
	}
	defer p.drop(client, server)
	done := make(chan struct{}, 2)
	go func() { p.copy(client, server); done <- struct{}{} }()
	go func() { p.copy(server, client); done <- struct{}{} }()
	<-done
	if w, change := p.now(); w.deaf {
		<-change // the server's end stays open so long
		_ = client.Close()
		_ = server.Close()
	}
	<-done
}

// copy ends both connections, unless the other side is not to know.
func (p *Proxy) copy(to, from net.Conn) {
	defer func() {
		if w, _ := p.now(); !w.deaf {
			_ = to.Close()
			_ = from.Close()
		}
	}()
	b := make([]byte, 64<<10)
	for part := 0; ; part++ {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if !p.let(part) {
			continue
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// let waits for as long as the way wants, and tells whether the bytes are passed on.
func (p *Proxy) let(part int) bool {
	w, change := p.now()
	for w.held {
		<-change
		w, change = p.now()
	}
	if w.delay > 0 {
		d := w.delay
		if part%stallEvery == stallEvery-1 {
			d += w.stall
		}
		time.Sleep(d)
	}
	return !w.hole
}

func (p *Proxy) keep(client, server net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = client.Close()
		_ = server.Close()
		return false
	}
	p.conns[client], p.conns[server] = server, client
	return true
}

func (p *Proxy) drop(client, server net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = client.Close()
	_ = server.Close()
	delete(p.conns, client)
	delete(p.conns, server)
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.set(way{})
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Cut()
	p.tasks.Wait()
}
