package opcua

import (
	"context"
	"slices"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/address"
	"plantgate/internal/opcua/alarm"
	"plantgate/internal/opcua/link"
)

// eventsTold queues the records of events. An error ends the session.
func (s *session) eventsTold(events []*ua.EventFieldList) error {
	if !s.hasEvents() {
		return nil
	}
	for _, e := range events {
		if e == nil {
			continue
		}
		if n := s.notifierOf(e.ClientHandle); n != nil {
			if err := s.eventTold(n, e.EventFields); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) notifierOf(handle uint32) *notifier {
	i := int64(eventHandles) - int64(handle)
	if i < 0 || i >= int64(len(s.a.notifiers)) {
		return nil
	}
	return s.a.notifiers[i]
}

func (s *session) eventTold(n *notifier, values []*ua.Variant) error {
	now := mes.Micros(s.a.deps.Now())
	e, fault := alarm.Parse(values)
	switch e.Kind() {
	case alarm.RefreshStart:
		s.a.alarms.table.RefreshStarted(n.index)
		return nil
	case alarm.RefreshEnd:
		s.a.alarms.table.RefreshEnded(n.index, now)
		return nil
	case alarm.RefreshRequired:
		s.refreshAt = time.Now()
		return nil
	case alarm.Overflow:
		return s.eventsLost(n, e, now)
	}
	known := s.typeOf(e.Type)
	c := s.eventContext(n, e, known.name, now)
	if fault == nil && !n.wants(e, known, s.a.alarms.table.Knows(n.index, e, c)) {
		return nil
	}
	if fault != nil {
		return s.putEvent(e.Faulty(c, values, fault))
	}
	if e.Time.After(n.newest) {
		n.newest = e.Time
	}
	s.a.alarms.table.Told(n.index, e, c)
	return s.putEvent(e.Record(c))
}

func (s *session) putEvent(r mes.Record) error {
	s.a.status.flow.Received(1, r.ReceivedAt)
	return s.put(entry{record: r})
}

// wants tells whether the event is one of those that are configured. Where the server
// chooses by type, it has done so. What becomes of an alarm that was severe enough is
// wanted whatever its severity is then: servers lower it when they end it.
func (n *notifier) wants(e *alarm.Event, known *eventKind, isOpen bool) bool {
	if e.Severity != nil && int(*e.Severity) < n.cfg.MinSeverity && !isOpen {
		return false
	}
	if n.form < everything || len(n.types) == 0 {
		return true
	}
	return slices.ContainsFunc(n.types, func(t *ua.NodeID) bool { return known.is(t.String()) })
}

// eventContext is what an event does not say of itself.
func (s *session) eventContext(n *notifier, e *alarm.Event, typeName string, now time.Time) alarm.Context {
	namespaces := s.client.Namespaces()
	source := ""
	if e.SourceNode != nil {
		source = address.Text(e.SourceNode, namespaces)
	}
	o := n.of(e, source)
	return alarm.Context{
		Connection: s.a.cfg.Name, Notifier: n.name(), SiteID: o.siteID, MachineID: o.machineID,
		Namespaces: namespaces, TypeName: typeName, ReceivedAt: now,
	}
}

// eventsLost makes gap records of events that the server's queue lost, and asks for the
// alarms that there are.
func (s *session) eventsLost(n *notifier, e *alarm.Event, now time.Time) error {
	s.log.Warn("opcua: the server's queue of events overflowed", "notifier", n.name())
	s.refreshAt = time.Now()
	at := e.Time
	if at.IsZero() {
		at = now
	}
	s.a.heard.lose(n.key(), n.newest, at)
	return s.tellLosses()
}

// tellLosses queues gap records of the times of which events may have been lost.
func (s *session) tellLosses() error {
	if !s.hasEvents() {
		return nil
	}
	for _, n := range s.a.notifiers {
		for _, g := range s.a.heard.take(n.key()) {
			if err := s.tellLoss(n, g); err != nil {
				return err
			}
		}
	}
	return nil
}

// tellLoss queues a gap record for each machine that the notifier may tell events of.
func (s *session) tellLoss(n *notifier, g eventGap) error {
	owners := n.owners()
	for i, o := range owners {
		of := &binding{connection: s.a.cfg.Name, siteID: o.siteID, machineID: o.machineID}
		e := entry{kind: entryGap, record: gapRecord(of, g.reason, mes.Micros(g.from), mes.Micros(g.to), []string{"events of " + n.name()})}
		e.record.ReceivedAt = mes.Micros(s.a.deps.Now())
		if i == len(owners)-1 {
			e.then = func() { s.a.heard.settled(n.key(), g) }
		}
		if err := s.put(e); err != nil {
			return err
		}
	}
	return nil
}

// eventsHeard notes up to when the items of events were alive: up to the time of the
// server's clock in a notification, which may have waited here. A clock that is ahead says
// nothing.
func (s *session) eventsHeard(m message) error {
	if !s.hasEvents() {
		return nil
	}
	for _, part := range m.parts {
		if part == nil {
			continue
		}
		changes, ok := part.Value.(*ua.DataChangeNotification)
		if !ok {
			continue
		}
		for _, item := range changes.MonitoredItems {
			if item == nil || item.ClientHandle != s.clock || item.Value == nil || item.Value.Value == nil {
				continue
			}
			if clock, ok := item.Value.Value.Value().(time.Time); ok {
				return s.eventsAlive(clock)
			}
		}
	}
	return nil
}

// doubtEvents notes that events may be missing since they were alive last.
func (s *session) doubtEvents() {
	if !s.hasEvents() {
		return
	}
	for _, n := range s.a.notifiers {
		if n.itemID != 0 && n.fault == "" {
			s.a.heard.begin(n.key(), mes.Micros(s.a.deps.Now()))
		}
	}
}

// eventsAlive notes that they were alive at a time, or now if that is later.
func (s *session) eventsAlive(at time.Time) error {
	if !s.hasEvents() {
		return nil
	}
	now := mes.Micros(s.a.deps.Now())
	if at.Before(now) {
		now = mes.Micros(at)
	}
	for _, n := range s.a.notifiers {
		if n.itemID != 0 && n.fault == "" {
			s.a.heard.heard(n.key(), now)
		}
	}
	return s.tellLosses()
}

// Pauses of refreshes.
const (
	// sweepAfter is how long after a refresh was begun it counts as ended: some servers tell
	// its end to subscribers of the Server object only.
	sweepAfter = 5 * time.Second
	// refreshAgain is the pause before a refresh that the server had no time for.
	refreshAgain = 2 * time.Second
)

// refresh asks the server to tell the alarms that there are, if that is due. They come as
// events; those that were there before have the identity that they had.
func (s *session) refresh(ctx context.Context) error {
	if s.refreshAt.IsZero() || s.refreshAt.After(time.Now()) {
		return nil
	}
	s.refreshAt = time.Time{}
	if s.a.trouble.noRefresh {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.a.timing.link.Request)
	defer cancel()
	for _, n := range s.a.notifiers {
		s.a.alarms.table.RefreshStarted(n.index)
	}
	code, isFault, err := alarm.Refresh(ctx, s.client, s.sub.id)
	switch {
	case err != nil:
		return err
	case code == ua.StatusBadRefreshInProgress:
		s.refreshAt = time.Now().Add(refreshAgain)
	case code>>30 != 0:
		s.a.trouble.noRefresh = isFault // the session ends by it; the next one does without
		s.refreshRefused(code)
	default:
		s.sweepAt = time.Now().Add(max(sweepAfter, 3*s.sub.interval))
	}
	return nil
}

// refreshRefused: the server tells no alarms but at their next change.
func (s *session) refreshRefused(code ua.StatusCode) {
	s.log.Warn("opcua: the server does not tell which alarms there are", "status", link.StatusText(code))
}

// sweep ends a refresh whose end was not told.
func (s *session) sweep(now time.Time) {
	if s.sweepAt.IsZero() || s.sweepAt.After(now) {
		return
	}
	s.sweepAt = time.Time{}
	for _, n := range s.a.notifiers {
		if n.fault == "" {
			s.a.alarms.table.RefreshEnded(n.index, mes.Micros(s.a.deps.Now()))
		}
	}
}
