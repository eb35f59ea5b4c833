package explore

import (
	"context"
	"errors"
	"sync"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/trust"
)

// Bounds of the shared session of a connection.
const (
	// idleFor is how long it is kept after the last request.
	idleFor = 10 * time.Second
	// requestsAtOnce use it at the same time; others wait.
	requestsAtOnce = 4
	// afterFault and afterRefusal are how long a failure to connect is told without trying
	// again, so that no caller makes plantgate knock at a PLC, or locks an account.
	afterFault   = time.Second
	afterRefusal = 30 * time.Second
)

// shared is the one session that requests to a connection share. It is opened when it is
// wanted.
type shared struct {
	cfg   config.OPCUAConnection
	deps  link.Deps
	turns chan struct{}
	// opening is held while the session is looked at or opened.
	opening chan struct{}

	mu      sync.Mutex
	session *Session
	used    time.Time // the last request that ended
	fault   error     // why it could not be opened
	until   time.Time // when that is tried again
	closed  bool
	stopped chan struct{}
	closers sync.WaitGroup
}

func newShared(cfg config.OPCUAConnection, deps link.Deps) *shared {
	return &shared{cfg: cfg, deps: deps, turns: make(chan struct{}, requestsAtOnce), opening: make(chan struct{}, 1), stopped: make(chan struct{})}
}

// use calls fn with the session. If that turns out to be dead and fn has changed nothing
// (it returns an error that says so), it is tried once more with a new one.
func (p *shared) use(ctx context.Context, fn func(*Session) error) error {
	select {
	case p.turns <- struct{}{}:
	case <-p.stopped:
		return errClosed()
	case <-ctx.Done():
		return busy(ctx)
	}
	defer func() { <-p.turns }()
	for again := false; ; again = true {
		s, fresh, err := p.take(ctx)
		if err != nil {
			return err
		}
		err = fn(s)
		// A request that was given up may have used a number of the channel's sequence
		// without being sent, after which strict servers answer no more.
		dead := s.lost.Load() || broken(err) || ctx.Err() != nil
		p.give(s, dead)
		if err == nil || !dead || fresh || again || ctx.Err() != nil {
			return err
		}
	}
}

func busy(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return mes.Errorf(mes.CodeUnavailable, "too many requests to this connection at the same time")
	}
	return ctx.Err()
}

// take returns the session; fresh tells that it was opened for this.
func (p *shared) take(ctx context.Context) (_ *Session, fresh bool, err error) {
	select {
	case p.opening <- struct{}{}:
	case <-ctx.Done():
		return nil, false, busy(ctx)
	}
	defer func() { <-p.opening }()
	if s, err := p.present(); s != nil || err != nil {
		return s, false, err
	}
	s, err := Open(ctx, p.cfg, p.deps)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.note(err)
		return nil, false, err
	}
	if p.closed {
		p.end(s)
		return nil, false, errClosed()
	}
	s.users = 1
	p.session, p.fault = s, nil
	return s, true, nil
}

// present is the session that is there, or the reason why none may be opened now.
func (p *shared) present() (*Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, errClosed()
	case p.session != nil && !p.session.lost.Load():
		p.session.users++
		return p.session, nil
	case p.session != nil && p.session.users == 0:
		p.end(p.session)
		p.session = nil
	case p.session != nil:
		p.session = nil // its users end it
	}
	if p.fault != nil && time.Now().Before(p.until) {
		return nil, p.fault
	}
	return nil, nil
}

func errClosed() error { return mes.Errorf(mes.CodeUnavailable, "the server is stopping") }

func (p *shared) note(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	p.fault, p.until = err, time.Now().Add(afterFault)
	var refusal *trust.Refusal
	if errors.As(err, &refusal) {
		p.until = time.Now().Add(afterRefusal)
	}
}

// give ends the use of a session.
func (p *shared) give(s *Session, dead bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if dead {
		s.lost.Store(true)
	}
	s.users--
	p.used = time.Now()
	switch {
	case s.users > 0:
	case p.session != s: // it was given up while others used it
		p.end(s)
	case s.lost.Load():
		p.session = nil
		p.end(s)
	}
}

// end closes a session in the background.
func (p *shared) end(s *Session) {
	p.closers.Go(s.Close)
}

// reap closes the session if nobody has wanted it for a while.
func (p *shared) reap(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session != nil && p.session.users == 0 && now.Sub(p.used) >= idleFor {
		p.end(p.session)
		p.session = nil
	}
}

// close waits for the requests that are under way, and ends the session for good.
func (p *shared) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	close(p.stopped)
	for range requestsAtOnce {
		p.turns <- struct{}{} // each in turn is given back by a request that ends
	}
	p.mu.Lock()
	if p.session != nil {
		p.end(p.session)
		p.session = nil
	}
	p.mu.Unlock()
	p.closers.Wait()
}
