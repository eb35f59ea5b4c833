package opcua

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/vqt"
)

// session is one connection with one subscription, from dial to close. Only the
// goroutine of its lane uses it.
type session struct {
	*lane
	limits link.Limits
	client *opcua.Client
	// token is by what the server knows the session.
	token *ua.NodeID
	sub   *subscription
	// complete is set of a subscription for which every node has been asked, broken of one
	// that can't be taken up later.
	complete, broken bool
	messages         chan message
	endPublishing    func()
	published        chan struct{}
	// alive is called once the subscription has brought something.
	alive  func()
	proven bool
	// stale is set while the subscription is silent.
	stale bool
	// tracks are those of nodes, for the back-fill that goes on beside.
	tracks atomic.Pointer[[]*track]
	// audited is where the next audit begins.
	audited  int
	drainCtx context.Context
	watchdog time.Duration
	// scans brings the result of a look for nodes; scanning is set while there is one.
	scans    chan scan
	scanning bool
	// soon is due when the model has changed and settled; changing is set until then.
	soon     *time.Timer
	changing bool
	// types are the server's data types.
	types *vqt.Types
	// unnumbered is set of a server whose messages are not in order by their numbers, resumed
	// of a session that took a subscription up.
	unnumbered, resumed bool
	// untyped is set of a session that must not ask for them.
	untyped bool
	// kinds are the event types that are known; refreshAt is when the alarms are to be told
	// anew, sweepAt when that counts as done; zero is never.
	kinds              map[string]*eventKind
	refreshAt, sweepAt time.Time
	// asks is set where the server does not let its clock be monitored: it is
	// then read whenever the watchdog is due.
	asks bool
}

// open connects and makes a session.
func (l *lane) open(ctx context.Context) (*session, error) {
	s := &session{
		lane:     l,
		messages: make(chan message, 4),
		scans:    make(chan scan, 1),
		soon:     time.NewTimer(time.Hour),
		types:    vqt.NewTypes(),
		kinds:    map[string]*eventKind{},
	}
	err := s.reach(ctx)
	if err != nil {
		return nil, err
	}
	if s.limits, err = l.limits(ctx, s.client); err != nil {
		s.keep(ctx)
		s.close()
		return nil, fmt.Errorf("read the server's limits: %w", err)
	}
	return s, nil
}

// limits are what the server takes in one call. One that does not let them be read is
// taken to have none.
func (l *lane) limits(ctx context.Context, c *opcua.Client) (link.Limits, error) {
	ctx, cancel := context.WithTimeout(ctx, l.a.timing.link.Request)
	defer cancel()
	limits, err := link.ReadLimits(ctx, c)
	var code ua.StatusCode
	if errors.As(err, &code) && code != ua.StatusBadTimeout {
		l.log.Debug("opcua: the server does not tell its limits", "error", err)
		return link.NoLimits(), nil
	}
	return limits, err
}

// subscribe makes the subscription, the heartbeat and the items of all nodes.
func (s *session) subscribe(ctx context.Context) error {
	began, err := s.began(ctx)
	if err != nil {
		return err
	}
	if err := s.create(ctx); err != nil {
		return err
	}
	s.sub.began = began
	s.startPublishing(ctx)
	if err := s.monitorClock(ctx); err != nil {
		return err
	}
	for _, n := range s.nodes {
		s.a.cursors.interrupt(n.track, nil, s.since())
		n.begin()
	}
	if err := s.probe(ctx); err != nil {
		return err
	}
	if s.number == 0 {
		if err := s.monitorModel(ctx); err != nil {
			return err
		}
	}
	if err := s.monitor(ctx, s.nodes); err != nil {
		return err
	}
	return s.monitorEvents(ctx)
}

// receive takes notifications until the subscription or ctx ends.
func (s *session) receive(ctx context.Context) error {
	silence := time.NewTimer(s.watchdog / 2)
	defer silence.Stop()
	retry := time.NewTimer(s.untilRetry())
	defer retry.Stop()
	ctxScan, endScan := context.WithCancel(ctx)
	defer endScan()
	rescan := time.NewTicker(s.a.cfg.Rebrowse())
	defer rescan.Stop()
	var wanted, narrow chan struct{} // of the first lane, which deals with the nodes of all
	if s.number == 0 {
		wanted, narrow = s.a.wanted, s.a.narrow
	}
	defer s.soon.Stop()
	audit := time.NewTicker(s.a.timing.audit)
	defer audit.Stop()
	for {
		select {
		case <-ctx.Done():
			s.finish()
			return nil
		case <-rescan.C:
			s.a.want()
		case <-wanted:
			s.startScan(ctxScan)
		case <-narrow:
			if err := s.a.narrower(); err != nil {
				return err
			}
		case <-s.soon.C:
			s.settled(ctxScan)
		case r := <-s.scans:
			if err := s.scanned(ctx, r); err != nil {
				return err
			}
			retry.Reset(s.untilRetry())
		case m := <-s.messages:
			if err := s.notified(m); err != nil {
				return err
			}
			if err := s.eventsHeard(m); err != nil {
				return err
			}
			silence.Reset(s.watchdog / 2)
			retry.Reset(s.untilRetry())
		case <-silence.C:
			if err := s.silent(ctx); err != nil {
				return err
			}
			silence.Reset(s.watchdog / 2)
		case <-audit.C:
			if err := s.audit(ctx); err != nil {
				return err
			}
			retry.Reset(s.untilRetry())
		case <-retry.C:
			if err := s.retryBad(ctx); err != nil {
				return err
			}
			retry.Reset(s.untilRetry())
		}
	}
}

// errSilent means that nothing comes by the subscription, though the connection may work.
var errSilent = errors.New("the subscription is silent")

// silent decides on a subscription that has brought nothing for half the watchdog: it is
// stale then, and given up at the next time. A server whose clock can't be monitored is
// asked for it instead, and has to say now and then that the subscription lives.
func (s *session) silent(ctx context.Context) error {
	switch {
	case len(s.messages) > 0: // something else has taken long
	case s.asks:
		if err := s.readClock(ctx); err != nil {
			return fmt.Errorf("the server's clock can't be read: %w", err)
		}
		if unheard := s.sub.unheard(); unheard > 2*max(s.watchdog, s.sub.quiet) {
			s.broken = true
			return fmt.Errorf("%w: neither a notification nor a keep-alive for %s", errSilent, unheard.Round(time.Second))
		}
		s.prove()
		return s.eventsAlive(s.a.deps.Now())
	case s.stale:
		return fmt.Errorf("%w: no notification for %s", errSilent, s.watchdog)
	default:
		s.stale = true
		s.stand(mes.AdapterStale, fmt.Sprintf("no notification for %s; after as long again the connection is built anew", s.watchdog/2))
	}
	return nil
}

func (s *session) readClock(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.a.timing.link.Request)
	defer cancel()
	_, err := s.client.Node(clockNode()).Value(ctx)
	return err
}

func clockNode() *ua.NodeID { return ua.NewNumericNodeID(0, id.Server_ServerStatus_CurrentTime) }

// notified handles a message, which may be acknowledged once all of its values are stored.
// An error ends the session.
func (s *session) notified(m message) error {
	switch {
	case m.err != nil:
		return m.err
	case m.missing:
		s.doubt()
		return nil
	}
	for _, part := range m.parts {
		if part == nil {
			continue
		}
		var err error
		switch v := part.Value.(type) {
		case *ua.DataChangeNotification:
			s.prove()
			err = s.changed(v.MonitoredItems)
			s.noteHeard()
		case *ua.EventNotificationList:
			s.modelChanges(v.Events)
			err = s.eventsTold(v.Events)
		case *ua.StatusChangeNotification:
			err = fmt.Errorf("%w: the server ended it: %w", errGone, v.Status)
		}
		if err != nil {
			return err
		}
	}
	sub := s.sub
	return s.put(entry{kind: entryMessage, then: func() { sub.store(m.number) }})
}

// doubt notes that values of any node may be missing between the last that came and the
// next. This subscription does not tell which: the one after it begins with the present
// value of every node.
func (s *session) doubt() {
	s.broken = true
	for _, n := range s.nodes {
		s.doubtOf(n)
	}
	s.doubtEvents()
}

// doubtOf notes that values of a node may be missing before its next.
func (s *session) doubtOf(n *node) {
	n.first = true
	s.a.cursors.interrupt(n.track, n.id, mes.Micros(n.notified))
}

// prove notes that the subscription works.
func (s *session) prove() {
	s.takeovers = 0
	s.heard = s.a.deps.Now()
	if s.stale {
		s.stale = false
		s.showState()
	}
	if s.proven {
		return
	}
	s.proven = true
	s.alive()
	if s.subscribed {
		s.a.status.reconnected()
	}
	s.subscribed = true
	s.log.Info("opcua: subscribed", "nodes", len(s.nodes))
	s.showState()
}

// changed queues the records of a publish answer.
func (s *session) changed(items []*ua.MonitoredItemNotification) error {
	now := mes.Micros(s.a.deps.Now())
	values, queued := 0, 0
	if s.resumed {
		s.suspect(items)
	}
	for _, i := range items {
		if i == nil || i.ClientHandle == s.clock {
			continue
		}
		if i.ClientHandle < s.clock || i.ClientHandle > s.last {
			return fmt.Errorf("%w: it brings what nobody asked for, and is somebody else's", errGone)
		}
		n := s.byHandle(i.ClientHandle)
		if n == nil {
			continue // it was given up
		}
		n.notifiedNow(time.Now())
		s.judge(n, i.Value)
		r := s.record(n, i.Value, now)
		at := s.a.cursors.arrived(n.track, &r, now)
		values++
		if n.repeats(&r) {
			continue
		}
		if err := s.put(entry{record: r, track: n.track, at: at}); err != nil {
			return err
		}
		queued++
	}
	if values > 0 {
		s.a.status.flow.Received(values, now)
		s.a.status.flow.Settled(values - queued)
	}
	return nil
}

// put waits for room in the queue. Meanwhile no publish request is outstanding,
// so that the server holds further values, and a read keeps the session open.
func (s *session) put(e entry) error {
	select {
	case s.a.queue.live <- e:
		return nil
	default:
	}
	keepAlive := time.NewTicker(s.watchdog)
	defer keepAlive.Stop()
	for {
		select {
		case s.a.queue.live <- e:
			return nil
		case <-s.drainCtx.Done():
			return s.drainCtx.Err()
		case <-keepAlive.C:
			// A failure is seen by the watchdog as soon as there is room again.
			_ = s.readClock(s.drainCtx)
		}
	}
}

// finish deletes the subscription.
func (s *session) finish() {
	ctx, cancel := context.WithTimeout(s.drainCtx, s.a.timing.link.Close)
	defer cancel()
	if err := s.remove(ctx); err != nil {
		s.log.Warn("opcua: subscription not deleted, the server will time it out", "error", err)
	}
}

// close ends session and connection. A dead server can make that hang, so it is
// waited for only briefly; Run waits for the rest at its end.
func (s *session) close() {
	done := make(chan struct{})
	s.a.closers.Go(func() {
		defer close(done)
		link.Close(context.Background(), s.client, s.a.timing.link)
	})
	t := time.NewTimer(s.a.timing.link.Close)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}

// within is the server for calls that keep to its limits.
func (s *session) within() vqt.Within {
	return vqt.Within{Server: s.client, Reads: s.limits.NodesPerRead, Browses: s.limits.NodesPerBrowse}
}
