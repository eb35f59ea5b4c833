package opcua

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/vqt"
)

// leftover is what a connection that ended has left at the server: its session and its
// subscription, which goes on queueing values. The next connection takes it up, so that
// nothing is missing of what the server kept.
type leftover struct {
	session *opcua.Session
	sub     *subscription
	types   *vqt.Types
	untyped bool
	asks    bool
}

// maxTakeovers is how often in a row a subscription is taken up that brings nothing.
const maxTakeovers = 2

// leave notes what the next connection can take up after err.
func (s *session) leave(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil || !s.complete || s.broken || s.unnumbered || s.isHopeless(err) ||
		errors.Is(err, errGone) || errors.Is(err, errDealAnew) || errors.Is(err, errFewerLanes) || undecodable(err) {
		return
	}
	session, _ := s.client.DetachSession(ctx) // so that it is not closed with the connection
	if session == nil {
		return
	}
	s.left = &leftover{session: session, sub: s.sub, types: s.types, untyped: s.untyped, asks: s.asks}
}

// isHopeless tells of a session that brought nothing whether the next would bring nothing
// either if it took the same up: since the subscription is dead, since the server wants it
// so, or since that was tried often.
func (s *session) isHopeless(err error) bool {
	if s.proven {
		return false
	}
	s.takeovers++
	var code ua.StatusCode
	said := errors.As(err, &code) && !failed(err)
	return said || errors.Is(err, errSilent) || s.takeovers >= maxTakeovers
}

// keep notes what was taken up, and not used yet, for the connection after this one.
func (s *session) keep(ctx context.Context) {
	if s.sub == nil || s.left == nil {
		return
	}
	if session, _ := s.client.DetachSession(ctx); session != nil {
		s.left.session = session
	}
}

// reach connects: to the session of before where the server still has it. After an error
// nothing is open.
func (s *session) reach(ctx context.Context) (err error) {
	if s.takeovers >= maxTakeovers {
		s.left = nil
	}
	deps := s.a.deps.link()
	deps.Shown = s.a.serverShown
	if s.left != nil {
		s.client, err = link.Resume(ctx, s.a.cfg, deps, s.a.timing.link, s.left.session)
		switch {
		case err == nil:
			s.inherit()
			return nil
		case errors.Is(err, link.ErrNotTakenUp):
			s.takeovers++
			return err
		case !errors.Is(err, link.ErrSessionGone):
			return err
		}
		s.log.Debug("opcua: the session can't be taken up", "error", err)
	}
	if s.client, err = link.Open(ctx, s.a.cfg, deps, s.a.timing.link); err != nil || s.left == nil {
		return err
	}
	switch err := s.transfer(ctx); {
	case err == nil:
		s.inherit()
	case failed(err):
		s.takeovers++
		s.close()
		return fmt.Errorf("take up the subscription: %w", err)
	default:
		s.log.Debug("opcua: the subscription can't be taken up", "error", err)
		s.left = nil
	}
	return nil
}

// inherit takes what was left. It stays noted until the nodes are known to be the same.
func (s *session) inherit() {
	s.sub, s.types, s.untyped, s.asks = s.left.sub, s.left.types, s.left.untyped, s.left.asks
	s.watchdog = max(s.a.cfg.Watchdog, 3*s.sub.interval)
}

// transfer makes the subscription that was left one of this session (OPC 10000-4,
// 5.14.7). After a start of the server its number may be that of somebody else's, which
// could be taken away from there.
func (s *session) transfer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.a.timing.link.Request)
	defer cancel()
	switch began, err := s.began(ctx); {
	case err != nil:
		return err
	case !sameTime(began, s.left.sub.began):
		return fmt.Errorf("the server was started anew: %w", ua.StatusBadSubscriptionIDInvalid)
	}
	req := &ua.TransferSubscriptionsRequest{SubscriptionIDs: []uint32{s.left.sub.id}}
	var res *ua.TransferSubscriptionsResponse
	err := s.send(ctx, req, func(r ua.Response) (ok bool) { res, ok = r.(*ua.TransferSubscriptionsResponse); return ok })
	switch {
	case err != nil:
		return err
	case len(res.Results) != 1 || res.Results[0] == nil:
		return errors.New("the server's answer does not fit")
	case res.Results[0].StatusCode != ua.StatusOK:
		return res.Results[0].StatusCode
	}
	return nil
}

// begin subscribes, or goes on with the subscription that was left.
func (s *session) begin(ctx context.Context) error {
	if s.unnumbered = s.misnumbered >= maxMisnumbered; s.unnumbered {
		s.log.Warn("opcua: the server does not number its messages in order; a loss on the way can't be seen")
	}
	same := s.left != nil
	s.left = nil
	if s.sub != nil && !same { // there are other nodes now
		if err := s.remove(ctx); failed(err) {
			return fmt.Errorf("delete the subscription of before: %w", err)
		}
		s.sub = nil
	}
	if s.sub != nil {
		return s.resume(ctx)
	}
	s.takeovers = 0
	if err := s.subscribe(ctx); err != nil {
		return err
	}
	s.complete = true
	return nil
}

// resume goes on with a subscription. What was sent to nobody is asked for as soon as the
// next message shows by its number that it is missing.
func (s *session) resume(ctx context.Context) error {
	s.log.Debug("opcua: goes on with the subscription of before")
	s.resumed, s.complete = true, true
	switch began, err := s.began(ctx); {
	case err != nil:
		return err
	case !sameTime(began, s.sub.began):
		return fmt.Errorf("%w: the server was started anew", errGone)
	}
	for _, n := range s.nodes {
		n.taken = true
	}
	s.startPublishing(ctx)
	if s.hasEvents() { // which came meanwhile come now
		s.a.alarms.attach(s.client)
	}
	return nil
}

// overflowed are the bits of a status that say that the server's queue lost values before
// this one (OPC 10000-4, 7.39.1).
const overflowed = ua.StatusCode(0x0480)

// suspect looks at the first message with values of a node after the subscription was taken
// up: if the server has as many as it keeps, others may have been lost before. Not every
// server says so by the bits of a status, and none does of a queue of 1.
func (s *session) suspect(items []*ua.MonitoredItemNotification) {
	held := map[*node]uint32{}
	for _, i := range items {
		if i == nil {
			continue
		}
		n := s.handles[i.ClientHandle]
		if n == nil || !n.taken {
			continue
		}
		held[n]++
		if i.Value != nil && i.Value.Status&overflowed == overflowed {
			n.taken = false // it says so
		}
	}
	for n, count := range held {
		if n.taken && count >= n.queue {
			s.doubtOf(n)
		}
		n.taken = false
	}
}

// began is when the server was started; zero if it does not tell. The call shows by what
// the server knows the session.
func (s *session) began(ctx context.Context) (at time.Time, err error) {
	read := &ua.ReadValueID{NodeID: ua.NewNumericNodeID(0, id.Server_ServerStatus_StartTime), AttributeID: ua.AttributeIDValue, DataEncoding: &ua.QualifiedName{}}
	var res *ua.ReadResponse
	err = s.send(ctx, &ua.ReadRequest{NodesToRead: []*ua.ReadValueID{read}}, func(r ua.Response) (ok bool) { res, ok = r.(*ua.ReadResponse); return ok })
	switch {
	case failed(err):
		return at, fmt.Errorf("read when the server was started: %w", err)
	case err == nil && len(res.Results) == 1 && res.Results[0] != nil && res.Results[0].Value != nil:
		at, _ = res.Results[0].Value.Value().(time.Time)
	}
	return at, nil
}

// sameTime tells whether two times are of one start of a server, which may count it back
// from its clock.
func sameTime(a, b time.Time) bool { return a.Sub(b).Abs() < time.Second }
