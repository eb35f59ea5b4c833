//go:build integration

package crashtest

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy is a server's way to its database, which a test cuts.
type proxy struct {
	t       *testing.T
	address string // of the proxy
	target  string

	mu       sync.Mutex
	listener net.Listener // nil while connections are refused
	silent   bool
	conns    map[net.Conn]bool
	closed   bool
	running  sync.WaitGroup
}

// throughProxy starts a proxy before the server that a DSN names, and returns it with
// the DSN that leads through it.
func throughProxy(t *testing.T, dsn string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, address: fmt.Sprintf("127.0.0.1:%d", freePort(t)), target: u.Host, conns: map[net.Conn]bool{}}
	if u.Port() == "" {
		p.target = net.JoinHostPort(u.Hostname(), "1433")
	}
	p.open()
	t.Cleanup(func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.refuse()
		p.running.Wait()
	})
	u.Host = p.address
	return p, u.String()
}

// refuse closes every connection, and takes no new one.
func (p *proxy) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	p.hangUp()
}

// silence lets nothing through any more: connections stand, new ones are taken, and
// nothing comes of either.
func (p *proxy) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
}

// open makes the way free. What was held up in silence is lost with its connections.
func (p *proxy) open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent {
		p.silent = false
		p.hangUp()
	}
	if p.listener != nil {
		return
	}
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		p.t.Error(err)
		return
	}
	p.listener = l
	p.running.Go(func() { p.accept(l) })
}

// hangUp closes every connection; mu is held.
func (p *proxy) hangUp() {
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *proxy) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		if p.keep(c) {
			p.running.Go(func() { p.serve(c) })
		}
	}
}

// keep notes a connection, to be closed with the others.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) drop(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *proxy) isSilent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.silent
}

func (p *proxy) serve(c net.Conn) {
	defer p.drop(c)
	if p.isSilent() {
		_, _ = io.Copy(io.Discard, c) // until it is closed
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer p.drop(server)
	if !p.keep(server) {
		return
	}
	var answers sync.WaitGroup
	answers.Go(func() { p.copy(c, server) })
	p.copy(server, c)
	answers.Wait()
}

// copy passes on what comes until either end closes. What comes in silence is lost.
func (p *proxy) copy(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if p.isSilent() {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
