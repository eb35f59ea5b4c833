package sim

import (
	"context"
	"slices"
	"time"

	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uasc"
)

const (
	// perMessage bounds the values of one notification message.
	perMessage = 10_000
	// kept is how many messages a subscription keeps to be sent again.
	kept = 100
	// overflow are the bits of a status that say that a queue lost values (OPC 10000-4,
	// 7.39.1).
	overflow = ua.StatusCode(0x0480)
)

// item is a monitored item. Its sampling interval is that of the changes.
type item struct {
	id, handle uint32
	key        string
	read       func() *ua.DataValue
	sub        *subscription
	size       int // of the queue
	queue      []*ua.DataValue
}

// subscription is one as in OPC 10000-4, 5.14.1. The lock of its notifier guards it.
type subscription struct {
	id       uint32
	session  string
	interval time.Duration
	// After keepAlive intervals without a notification it says that it lives; after lifetime
	// of them without a request to publish it ends.
	keepAlive, lifetime uint32
	quiet, unasked      uint32
	sequence, step      uint32 // of the next message, and to the one after it
	perMessage          int    // values
	items               map[uint32]*item
	// ready are the items with values, in the order of their first.
	ready []*item
	// sent are messages that are not acknowledged, oldest first.
	sent []*ua.NotificationMessage
	// late means that an interval ended and there was nobody to send to.
	late bool
	// mute is set of one that is dead, though its session lives.
	mute bool
	wake chan struct{}
	stop context.CancelFunc
}

// add puts a value into the queue of an item, whose oldest value makes room.
func (i *item) add(dv *ua.DataValue) {
	if len(i.queue) == 0 {
		i.sub.ready = append(i.sub.ready, i)
	}
	if len(i.queue) < i.size {
		i.queue = append(i.queue, dv)
		return
	}
	copy(i.queue, i.queue[1:])
	i.queue[i.size-1] = dv
	if i.size == 1 {
		return // such a queue has the newest value, and loses none (5.13.1.5)
	}
	oldest := *i.queue[0]
	oldest.Status |= overflow
	oldest.EncodingMask |= ua.DataValueStatusCode
	i.queue[0] = &oldest
}

// take empties queues into a message, and tells whether there is more.
func (s *subscription) take() (message *ua.NotificationMessage, more bool) {
	var values []*ua.MonitoredItemNotification
	done := 0
	for _, i := range s.ready {
		if len(values) >= s.perMessage {
			break
		}
		done++
		for _, dv := range i.queue {
			values = append(values, &ua.MonitoredItemNotification{ClientHandle: i.handle, Value: dv})
		}
		clear(i.queue)
		i.queue = i.queue[:0]
	}
	s.ready = slices.Delete(s.ready, 0, done)
	data := ua.NewExtensionObject(&ua.DataChangeNotification{MonitoredItems: values, DiagnosticInfos: []*ua.DiagnosticInfo{}})
	message = &ua.NotificationMessage{SequenceNumber: s.sequence, PublishTime: time.Now(), NotificationData: []*ua.ExtensionObject{data}}
	s.sent = append(s.sent, message)
	s.sent = s.sent[max(len(s.sent)-kept, 0):]
	for range s.step {
		if s.sequence++; s.sequence == 0 { // which is none
			s.sequence = 1
		}
	}
	return message, len(s.ready) > 0
}

// available are the numbers of the messages that can be sent again.
func (s *subscription) available() []uint32 {
	numbers := make([]uint32, len(s.sent))
	for i, m := range s.sent {
		numbers[i] = m.SequenceNumber
	}
	return numbers
}

// acknowledge forgets a message.
func (s *subscription) acknowledge(sequence uint32) ua.StatusCode {
	for i, m := range s.sent {
		if m.SequenceNumber == sequence {
			s.sent = slices.Delete(s.sent, i, i+1)
			return ua.StatusOK
		}
	}
	return ua.StatusBadSequenceNumberUnknown
}

// request is a request to publish that is not answered yet.
type request struct {
	channel *uasc.SecureChannel
	id      uint32
	header  *ua.RequestHeader
	results []ua.StatusCode
}

// answer is what is said to a request.
func (r request) answer(s *subscription, message *ua.NotificationMessage, more bool) *ua.PublishResponse {
	return &ua.PublishResponse{
		ResponseHeader:           header(r.header),
		SubscriptionID:           s.id,
		AvailableSequenceNumbers: s.available(),
		MoreNotifications:        more,
		NotificationMessage:      message,
		Results:                  r.results,
		DiagnosticInfos:          []*ua.DiagnosticInfo{},
	}
}

// run publishes until ctx ends or nobody has asked for too long.
func (n *notifier) run(ctx context.Context, s *subscription) {
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	defer n.remove(s.id)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !n.cycle(s) {
				return
			}
		case <-s.wake: // somebody asks at last
		}
		for n.publish(ctx, s) {
		}
	}
}

// cycle is the end of a publishing interval. It tells whether the subscription goes on.
func (n *notifier) cycle(s *subscription) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.alive(s.session) {
		return false
	}
	s.late = true
	s.quiet++
	if len(n.waiting[s.session]) > 0 {
		s.unasked = 0
		return true
	}
	s.unasked++
	return s.unasked <= s.lifetime
}

// publish answers one request if there is something to say, and tells whether there is
// more.
func (n *notifier) publish(ctx context.Context, s *subscription) bool {
	n.mu.Lock()
	waiting := n.waiting[s.session]
	speak := s.late && (len(s.ready) > 0 || s.quiet >= s.keepAlive)
	if len(s.ready) == 0 && !speak {
		s.late = false
	}
	if !speak || s.mute || len(waiting) == 0 {
		n.mu.Unlock()
		return false
	}
	r := waiting[0]
	n.waiting[s.session] = waiting[1:]
	message := &ua.NotificationMessage{SequenceNumber: s.sequence, PublishTime: time.Now(), NotificationData: []*ua.ExtensionObject{}}
	more := false
	if len(s.ready) > 0 {
		message, more = s.take()
	}
	s.late, s.quiet = more, 0
	if n.faults.withholds(s, message) {
		n.waiting[s.session] = waiting
		n.mu.Unlock()
		return more
	}
	answer := r.answer(s, message, more)
	n.mu.Unlock()
	// If that fails the message is there to be asked for again.
	_ = r.channel.SendResponseWithContext(ctx, r.id, answer)
	return more
}
