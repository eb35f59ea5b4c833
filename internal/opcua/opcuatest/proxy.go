// Package opcuatest has what tests of the OPC UA adapter share: a TCP proxy that
// misbehaves on command, and an ingest service that remembers.
package opcuatest

import (
	"net"
	"sync"
	"testing"
)

// Proxy passes TCP connections on to a server until it is told otherwise.
type Proxy struct {
	listener net.Listener
	target   string
	tasks    sync.WaitGroup

	mu     sync.Mutex
	hole   bool
	closed bool
	conns  map[net.Conn]bool
}

// NewProxy starts a proxy to target ("host:port"), which ends with the test.
func NewProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: target, conns: map[net.Conn]bool{}}
	p.tasks.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// URL returns the endpoint for clients.
func (p *Proxy) URL() string { return "opc.tcp://" + p.listener.Addr().String() }

// Cut ends every connection; new ones are let through.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// BlackHole swallows every byte of both directions, of open and new
// connections, without ending any.
func (p *Proxy) BlackHole() { p.set(true) }

// Resume ends the black hole. What it swallowed stays lost.
func (p *Proxy) Resume() { p.set(false) }

func (p *Proxy) set(hole bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hole = hole
}

func (p *Proxy) swallows() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hole
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
	if !p.keep(client) {
		return
	}
	defer p.drop(client)
	server, err := net.Dial("tcp", p.target)
	if err != nil || !p.keep(server) {
		return
	}
	defer p.drop(server)
	done := make(chan struct{}, 2)
	go func() { p.copy(client, server); done <- struct{}{} }()
	go func() { p.copy(server, client); done <- struct{}{} }()
	<-done
	<-done
}

func (p *Proxy) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if p.swallows() {
			continue
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = c.Close()
	delete(p.conns, c)
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Cut()
	p.tasks.Wait()
}
