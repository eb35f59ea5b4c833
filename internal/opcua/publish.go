package opcua

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopcua/opcua/ua"
)

const (
	// publishWait is how long a request to publish may wait for its answer. The watchdog
	// ends a session long before: an answer that is not waited for would be lost.
	publishWait = 10 * time.Minute
	// publishPause is between two requests of which the server has too many.
	publishPause = time.Second
	// maxKept is how many messages that did not come are asked for, at most. Servers keep
	// far fewer.
	maxKept = 1000
	// maxAgain is how many messages in a row may have a number of before.
	maxAgain = 3
	// maxMisnumbered is of how many sessions in a row messages have to be missing, of which
	// no connection was lost, for the server's numbers to be taken for none.
	maxMisnumbered = 3
)

// errGone means that the server has a subscription no more, or not all of its messages.
var errGone = errors.New("the subscription is lost")

// errMissing means that a message did not come.
var errMissing = fmt.Errorf("%w: a message is missing", errGone)

// message is a notification message, or that some before the next are missing, or why there
// are no more.
type message struct {
	number  uint32
	parts   []*ua.ExtensionObject
	missing bool
	err     error
}

// startPublishing asks for messages beside what else the session does.
func (s *session) startPublishing(ctx context.Context) {
	ctx, s.endPublishing = context.WithCancel(ctx)
	s.published = make(chan struct{})
	token := s.token
	go func() {
		defer close(s.published)
		s.publish(ctx, token)
	}()
}

// stopPublishing takes what has come.
func (s *session) stopPublishing() {
	if s.endPublishing == nil {
		return
	}
	s.endPublishing()
	<-s.published
	for {
		select {
		case m := <-s.messages:
			if err := s.notified(m); err != nil {
				s.broken = s.broken || errors.Is(err, errGone) || undecodable(err)
			}
		default:
			return
		}
	}
}

// publish asks for one message after the other until ctx ends, or it can't. It has one
// request at a time, and none while messages wait to be taken. The token is by what the
// server knows the session.
func (s *session) publish(ctx context.Context, token *ua.NodeID) {
	if s.resumed && s.sub.next == 0 {
		s.sub.next = 1 // the first may be lost; it has this number (OPC 10000-4, 7.21)
	}
	s.sub.hears()
	for ctx.Err() == nil {
		if err := s.ask(ctx, token); err != nil {
			_ = s.tell(ctx, message{err: err}) // or nobody wants to know
			return
		}
	}
}

// tell hands something to who takes messages.
func (s *session) tell(ctx context.Context, m message) error {
	select {
	case s.messages <- m:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask waits for the next message.
func (s *session) ask(ctx context.Context, token *ua.NodeID) error {
	sub, channel := s.sub, s.client.SecureChannel()
	if channel == nil {
		return io.EOF
	}
	acks := sub.acknowledgements()
	var res *ua.PublishResponse
	err := channel.SendRequestWithTimeout(ctx, &ua.PublishRequest{SubscriptionAcknowledgements: acks}, token, publishWait, func(r ua.Response) error {
		return taken(r, func(r ua.Response) (ok bool) { res, ok = r.(*ua.PublishResponse); return ok })
	})
	switch {
	case errors.Is(err, ua.StatusBadTooManyPublishRequests): // those of a connection that was lost are among them
		return sleep(ctx, publishPause)
	case errors.Is(err, ua.StatusBadSequenceNumberUnknown) && len(acks) > 0:
		sub.acknowledged(len(acks)) // it has forgotten them already
		return nil
	case errors.Is(err, ua.StatusBadNoSubscription), errors.Is(err, ua.StatusBadSubscriptionIDInvalid):
		return fmt.Errorf("publish: %w: %w", errGone, err)
	case err != nil:
		return fmt.Errorf("publish: %w", err)
	}
	sub.hears()
	sub.acknowledged(len(acks))
	if res.SubscriptionID != sub.id {
		return nil // one that is being deleted
	}
	if res.NotificationMessage == nil {
		return fmt.Errorf("publish: %w: the server sent an empty message", errGone)
	}
	return s.inOrder(ctx, res.NotificationMessage)
}

// inOrder hands a message on, after those before it that did not come. One without
// notifications bears the number of the next that has some (OPC 10000-4, 5.14.1.1). After
// messages that the server has no more the rest is handed on all the same: what they were
// of is known by the values before and after them.
func (s *session) inOrder(ctx context.Context, m *ua.NotificationMessage) error {
	if s.sub.next == 0 {
		s.sub.next = m.SequenceNumber // whatever the server begins with
	}
	speaks, due := len(m.NotificationData) > 0, s.sub.next
	missing := false
	switch ahead := int32(m.SequenceNumber - due); { // numbers wrap
	case s.unnumbered || ahead == 0:
	case ahead < 0:
		return s.before(ctx, m)
	default:
		var err error
		if missing, err = s.catchUp(ctx, m.SequenceNumber); err != nil {
			return err
		}
	}
	s.sub.again = 0
	if speaks {
		if err := s.pass(ctx, m); err != nil {
			return err
		}
	}
	if missing {
		return fmt.Errorf("publish: %w: the server sent number %d, and has some from %d on no more", errMissing, m.SequenceNumber, due)
	}
	return nil
}

// before takes a message with a number of before. Its values are as good as others; but if
// every message is like that a loss can't be seen.
func (s *session) before(ctx context.Context, m *ua.NotificationMessage) error {
	if len(m.NotificationData) == 0 {
		return nil // the server counts so when it has nothing to say
	}
	if s.sub.again++; s.sub.again >= maxAgain {
		if err := s.tell(ctx, message{missing: true}); err != nil {
			return err
		}
		return fmt.Errorf("publish: %w: the server sent number %d after %d", errMissing, m.SequenceNumber, s.sub.next)
	}
	return s.tell(ctx, message{number: m.SequenceNumber, parts: m.NotificationData})
}

// catchUp asks for the messages before a number, and tells whether there are some that the
// server does not have.
func (s *session) catchUp(ctx context.Context, number uint32) (missing bool, err error) {
	for int32(number-s.sub.next) > 0 {
		m, err := s.republish(ctx, s.sub.next)
		switch {
		case err != nil:
			return false, err
		case m != nil:
			if err := s.pass(ctx, m); err != nil {
				return false, err
			}
			continue
		case !missing:
			if err := s.tell(ctx, message{missing: true}); err != nil {
				return false, err
			}
			missing = true
		}
		if number-s.sub.next > maxKept {
			s.sub.next = number - maxKept
		}
		s.sub.next = after(s.sub.next)
	}
	return missing, nil
}

// republish asks for a message again; nil is one that the server has no more.
func (s *session) republish(ctx context.Context, number uint32) (*ua.NotificationMessage, error) {
	var res *ua.RepublishResponse
	req := &ua.RepublishRequest{SubscriptionID: s.sub.id, RetransmitSequenceNumber: number}
	err := s.client.Send(ctx, req, func(r ua.Response) error {
		return taken(r, func(r ua.Response) (ok bool) { res, ok = r.(*ua.RepublishResponse); return ok })
	})
	switch {
	case errors.Is(err, ua.StatusBadSubscriptionIDInvalid):
		return nil, fmt.Errorf("republish: %w: %w", errGone, err)
	case failed(err):
		return nil, fmt.Errorf("republish: %w", err)
	case err != nil, res.NotificationMessage == nil, len(res.NotificationMessage.NotificationData) == 0:
		return nil, nil
	}
	res.NotificationMessage.SequenceNumber = number
	return res.NotificationMessage, nil
}

// pass hands a message to who takes them. One that is not taken is still due.
func (s *session) pass(ctx context.Context, m *ua.NotificationMessage) error {
	if err := s.tell(ctx, message{number: m.SequenceNumber, parts: m.NotificationData}); err != nil {
		return err
	}
	s.sub.next = after(m.SequenceNumber)
	s.sub.hears()
	return nil
}
