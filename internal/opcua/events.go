package opcua

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/address"
	"plantgate/internal/opcua/alarm"
	"plantgate/internal/opcua/browsepath"
	"plantgate/internal/opcua/link"
)

// hasEvents tells whether the session is the one that has the notifiers.
func (s *session) hasEvents() bool { return s.number == 0 && len(s.a.notifiers) > 0 }

// monitorEvents makes the items of the notifiers in a new session, and has the server tell
// which alarms there are.
func (s *session) monitorEvents(ctx context.Context) error {
	if !s.hasEvents() {
		return nil
	}
	for _, n := range s.a.notifiers {
		n.begin()
		s.a.alarms.table.Begin(n.index)
	}
	if s.a.trouble.isBarred(time.Now()) {
		for _, n := range s.a.notifiers {
			s.putEventsAside(n, endedByEvents)
			n.retryAt = s.a.trouble.until
		}
		return nil
	}
	if err := s.notify(ctx, s.a.notifiers); err != nil {
		return err
	}
	s.a.alarms.attach(s.client)
	return nil
}

// eventTrouble is about sessions that end when events are asked for: the library ends one
// at every fault of a service, and some servers do. It outlives sessions.
type eventTrouble struct {
	// endings counts those in a row; until is when the next try may be made.
	endings int
	until   time.Time
	// noRefresh is set of a server that refuses the service by which alarms are asked for.
	noRefresh bool
}

// After maxEventEndings sessions in a row the server is asked for no events for
// eventsBarred: values are worth more.
const (
	maxEventEndings = 2
	eventsBarred    = 5 * time.Minute
	endedByEvents   = "sessions ended when events were asked for"
)

func (e *eventTrouble) isBarred(now time.Time) bool {
	return e.endings >= maxEventEndings && now.Before(e.until)
}

// note takes how a try ended. That a simpler form is to be tried is no trouble yet.
func (e *eventTrouble) note(ended, simpler bool, now time.Time) {
	switch {
	case !ended:
		e.endings = 0
	case !simpler:
		e.endings++
		e.until = now.Add(eventsBarred)
	}
}

// notify makes items of notifiers. One that the server refuses is put aside for a later
// try: events never keep the values of nodes from coming.
func (s *session) notify(ctx context.Context, list []*notifier) error {
	var before []form
	for _, n := range list {
		before = append(before, n.form)
	}
	err := s.makeNotifiers(ctx, list)
	simpler := false
	for i, n := range list {
		simpler = simpler || n.form > before[i]
	}
	if ctx.Err() == nil {
		s.a.trouble.note(err != nil, simpler, time.Now())
	}
	return err
}

func (s *session) makeNotifiers(ctx context.Context, list []*notifier) error {
	made := false
	for _, n := range list {
		nodeID, fault, err := s.findNotifier(ctx, n)
		if err == nil && fault == "" {
			fault, err = s.createNotifier(ctx, n, nodeID)
		}
		if err != nil {
			return fmt.Errorf("monitor the events of %s: %w", n.name(), err)
		}
		if fault != "" {
			s.putEventsAside(n, fault)
			continue
		}
		n.fault, n.retryAt, n.wait = "", time.Time{}, nil
		s.a.heard.begin(n.key(), mes.Micros(s.a.deps.Now()))
		made = true
	}
	if made {
		s.refreshAt = time.Now()
		return s.refresh(ctx)
	}
	return nil
}

// findNotifier finds the node, and the types that are wanted.
func (s *session) findNotifier(ctx context.Context, n *notifier) (nodeID *ua.NodeID, fault string, err error) {
	namespaces := s.client.Namespaces()
	start := n.cfg.NodeID
	if start == "" && n.cfg.Path == "" {
		start = n.name()
	}
	nodeID = address.Root()
	if start != "" {
		if nodeID, err = address.Resolve(start, namespaces); err != nil {
			return nil, err.Error(), nil
		}
	}
	if n.cfg.Path != "" {
		p, err := browsepath.Parse(n.cfg.Path)
		if err != nil {
			return nil, err.Error(), nil
		}
		if err := s.a.server.Ask(ctx, s.client); err != nil {
			return nil, "", err
		}
		w := address.NewWalker(s.client, namespaces, &s.a.server)
		nodes, faults, err := w.Find(ctx, []address.Start{{Node: nodeID, Elements: p.Elements}})
		switch {
		case err != nil:
			return nil, "", err
		case faults[0] != nil:
			return nil, faults[0].Error(), nil
		}
		nodeID = nodes[0]
	}
	n.types, n.subtypes = nil, nil
	for _, text := range n.cfg.TypeIDs() {
		t, err := address.Resolve(text, namespaces)
		if err != nil {
			return nil, "types: " + err.Error(), nil
		}
		n.types = append(n.types, t)
	}
	n.subtypes, err = s.subtypes(ctx, n.types)
	return nodeID, "", err
}

// createNotifier makes the item, with the first form that the server takes.
func (s *session) createNotifier(ctx context.Context, n *notifier, nodeID *ua.NodeID) (fault string, err error) {
	began := n.form
	for {
		var code ua.StatusCode
		results, err := s.createItems(ctx, []*ua.MonitoredItemCreateRequest{n.request(nodeID)})
		switch {
		case err == nil:
			code = results[0].StatusCode
		case !errors.As(err, &code) || alarm.IsSilence(code):
			return "", err
		}
		if code == ua.StatusOK && err == nil {
			n.itemID = results[0].MonitoredItemID
			if n.form != began {
				s.log.Info("opcua: the server takes a simpler filter of events only", "notifier", n.name(), "form", int(n.form))
			}
			return "", nil
		}
		if !alarm.IsFilterFault(code) || !n.simpler() {
			n.form = began
			if err != nil { // it was a fault of the service, at which the library ends the session
				return "", err
			}
			return explainNotifier(code, link.StatusText(code)), nil
		}
	}
}

// putEventsAside marks a notifier bad until its next try.
func (s *session) putEventsAside(n *notifier, fault string) {
	if n.wait == nil {
		n.wait = growing(s.a.timing.nodeFirst, s.a.timing.nodeMax, 2)
		s.log.Warn("opcua: events can't be had, will be retried", "notifier", n.name(), "fault", fault)
	}
	n.fault = fault
	n.retryAt = time.Now().Add(max(n.wait.NextBackOff(), 0))
}

// untilEvents is the time until something is due about events, at most limit.
func (s *session) untilEvents(limit time.Duration) time.Duration {
	if !s.hasEvents() {
		return limit
	}
	for _, due := range []time.Time{s.refreshAt, s.sweepAt} {
		if !due.IsZero() {
			limit = min(limit, max(time.Until(due), 0))
		}
	}
	for _, n := range s.a.notifiers {
		if n.fault != "" {
			limit = min(limit, max(time.Until(n.retryAt), 0))
		}
	}
	return limit
}

// retryEvents does what is due about events.
func (s *session) retryEvents(ctx context.Context) error {
	if !s.hasEvents() {
		return nil
	}
	var due []*notifier
	now := time.Now()
	for _, n := range s.a.notifiers {
		if n.fault != "" && !n.retryAt.After(now) {
			due = append(due, n)
		}
	}
	if len(due) > 0 {
		if err := s.client.UpdateNamespaces(ctx); err != nil {
			return fmt.Errorf("read the server's namespaces: %w", err)
		}
		if err := s.notify(ctx, due); err != nil {
			return err
		}
		s.showState()
	}
	s.sweep(now)
	return s.refresh(ctx)
}

// badEvents names the notifiers that are put aside.
func (s *session) badEvents() (bad []string) {
	if !s.hasEvents() {
		return nil
	}
	for _, n := range s.a.notifiers {
		if n.fault != "" {
			bad = append(bad, "events of "+n.name()+" ("+n.fault+")")
		}
	}
	return bad
}
