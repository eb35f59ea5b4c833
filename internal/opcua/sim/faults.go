package sim

import (
	"time"

	"github.com/gopcua/opcua/ua"
)

// faults are what a server does wrong, so that tests see what a client makes of it. The
// lock of the notifier guards them.
type faults struct {
	// first is the number of the first message of a subscription, skip how many numbers are
	// left out after each.
	first, skip uint32
	// lose is how many messages are still to be lost, hide how many are kept and not sent;
	// lost and hidden are those.
	lose, hide   int
	lost, hidden []*ua.NotificationMessage
	// refuse is what so many requests to publish are answered with; those of all with
	// acknowledgements, if picky is set.
	refuse  ua.StatusCode
	refused int
	picky   bool
	// acknowledged is the most that were acknowledged by one request.
	acknowledged int
	// forgotten are sessions of which nothing is known any more.
	forgotten map[string]bool
	// clockless is set where the clock can't be monitored, hanging where sessions are not
	// activated again.
	clockless, hanging bool
	// seen are sessions that were activated.
	seen map[string]bool
}

// withholds tells whether a message is not sent. One that tells the time only is.
func (f *faults) withholds(s *subscription, m *ua.NotificationMessage) bool {
	switch {
	case len(counts(m)) == 0:
		return false
	case f.lose > 0:
		f.lose--
		f.lost = append(f.lost, m)
		s.sent = s.sent[:len(s.sent)-1]
		return true
	case f.hide > 0:
		f.hide--
		f.hidden = append(f.hidden, m)
		return true
	}
	return false
}

// refusal is the answer to a request to publish that is refused.
func (f *faults) refusal(req *ua.PublishRequest) error {
	f.acknowledged = max(f.acknowledged, len(req.SubscriptionAcknowledgements))
	switch {
	case f.picky && len(req.SubscriptionAcknowledgements) > 0:
		return ua.StatusBadSequenceNumberUnknown
	case f.refused == 0:
		return nil
	}
	f.refused--
	return f.refuse
}

// activateSession takes the place of the library's handler; without security there is
// nothing to verify.
func (n *notifier) activateSession(session string, req *ua.ActivateSessionRequest) (ua.Response, error) {
	alive := n.alive(session)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case !alive, n.faults.forgotten[session]:
		return nil, ua.StatusBadSessionIDInvalid
	case n.faults.hanging && n.faults.seen[session]:
		return nil, nil // there is no answer
	}
	if n.faults.seen == nil {
		n.faults.seen = map[string]bool{}
	}
	n.faults.seen[session] = true
	return &ua.ActivateSessionResponse{ResponseHeader: header(req.RequestHeader), ServerNonce: make([]byte, 32)}, nil
}

// fault changes what is done wrong.
func (l *Load) fault(change func(*faults)) {
	l.notify.mu.Lock()
	defer l.notify.mu.Unlock()
	change(&l.notify.faults)
}

// NumberFrom makes first the number of the first message of every subscription to come, and
// leaves skip numbers out after each message.
func (l *Load) NumberFrom(first, skip uint32) {
	l.fault(func(f *faults) { f.first, f.skip = first, skip })
}

// Lose loses the next messages with values: they can't be asked for either.
func (l *Load) Lose(messages int) { l.fault(func(f *faults) { f.lose = messages }) }

// Lost are the variables of which values were lost, by their numbers among all.
func (l *Load) Lost() (numbers []int) {
	l.notify.mu.Lock()
	defer l.notify.mu.Unlock()
	of := counts(l.notify.faults.lost...)
	for number, c := range l.variables {
		for _, i := range l.notify.items[c.key] {
			if len(of[i.handle]) > 0 {
				numbers = append(numbers, number)
			}
		}
	}
	return numbers
}

// Hide keeps the next messages with values, and does not send them.
func (l *Load) Hide(messages int) { l.fault(func(f *faults) { f.hide = messages }) }

// Hidden is how many values were kept and not sent.
func (l *Load) Hidden() (values int) {
	var messages []*ua.NotificationMessage
	l.fault(func(f *faults) { messages = append(messages, f.hidden...) })
	for _, of := range counts(messages...) {
		values += len(of)
	}
	return values
}

// counts are the values of variables in messages, by client handle.
func counts(messages ...*ua.NotificationMessage) map[uint32][]int64 {
	values := map[uint32][]int64{}
	for _, m := range messages {
		for _, part := range m.NotificationData {
			for _, i := range part.Value.(*ua.DataChangeNotification).MonitoredItems {
				if i.Value.Value == nil {
					continue
				}
				if n, ok := i.Value.Value.Value().(int64); ok {
					values[i.ClientHandle] = append(values[i.ClientHandle], n)
				}
			}
		}
	}
	return values
}

// Forget forgets the messages that are kept to be sent again.
func (l *Load) Forget() {
	l.notify.mu.Lock()
	defer l.notify.mu.Unlock()
	for _, s := range l.notify.subs {
		s.sent = nil
	}
}

// Refuse answers so many requests to publish with a status.
func (l *Load) Refuse(code ua.StatusCode, times int) {
	l.fault(func(f *faults) { f.refuse, f.refused = code, times })
}

// RefuseAcknowledgements answers every request to publish that acknowledges something with
// BadSequenceNumberUnknown.
func (l *Load) RefuseAcknowledgements() { l.fault(func(f *faults) { f.picky = true }) }

// Acknowledged is the most that was acknowledged by one request.
func (l *Load) Acknowledged() (most int) {
	l.fault(func(f *faults) { most = f.acknowledged })
	return most
}

// ForgetSessions has every session of now unknown. Their subscriptions go on, and can be
// transferred.
func (l *Load) ForgetSessions() {
	l.fault(func(f *faults) {
		f.forgotten = map[string]bool{}
		for session := range f.seen {
			f.forgotten[session] = true
		}
	})
}

// Hang leaves attempts to activate a session again without an answer.
func (l *Load) Hang() { l.fault(func(f *faults) { f.hanging = true }) }

// WithoutClock refuses to have the clock monitored.
func (l *Load) WithoutClock() { l.fault(func(f *faults) { f.clockless = true }) }

// Mute has the subscriptions of now say nothing more, not even that they live.
func (l *Load) Mute() {
	l.notify.mu.Lock()
	defer l.notify.mu.Unlock()
	for _, s := range l.notify.subs {
		s.mute = true
	}
}

// Subscriptions is how many there are.
func (l *Load) Subscriptions() int {
	l.notify.mu.Lock()
	defer l.notify.mu.Unlock()
	return len(l.notify.subs)
}

// Quicken makes the subscriptions of now end after so long without a request to publish.
func (l *Load) Quicken(lifetime time.Duration) {
	l.notify.mu.Lock()
	defer l.notify.mu.Unlock()
	for _, s := range l.notify.subs {
		s.lifetime = max(uint32(lifetime/s.interval), 1)
	}
}
