package mqtt

import (
	"context"
	"errors"
	"sync"

	"plantgate/internal/mes"
)

// ErrNotConnected is in the chain of an error of Publish that says that nothing was sent:
// there is no connection.
var ErrNotConnected = errors.New("not connected")

// Publication is a message to the broker.
type Publication struct {
	Topic    string
	Payload  []byte
	QoS      byte
	Retained bool
}

// current is the session that is up, for those who publish.
type current struct {
	mu sync.Mutex
	s  *session
}

func (c *current) set(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s = s
}

func (c *current) get() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s
}

// Publish sends a message by the connection that is up, and returns once the broker
// has acknowledged it (QoS 1 and 2), or once it is sent (QoS 0). An error of
// CodeUnavailable means that there is no connection, that it ended first, or that ctx
// did: the broker may have the message nevertheless, so who tries again sends it twice.
//
// It must not be called by what the broker's messages wait for.
func (a *Adapter) Publish(ctx context.Context, p Publication) error {
	s := a.current.get()
	if s == nil {
		return mes.Wrap(mes.CodeUnavailable, ErrNotConnected, "there is no connection to the broker")
	}
	return s.publish(ctx, p)
}

func (s *session) publish(ctx context.Context, p Publication) error {
	token := s.client.Publish(p.Topic, p.QoS, p.Retained, p.Payload)
	// The client gives no token an end whose acknowledgement the connection took along.
	select {
	case <-token.Done():
	case <-s.ended:
		return mes.Errorf(mes.CodeUnavailable, "the connection ended before the broker acknowledged the message")
	case <-ctx.Done():
		return mes.Wrap(mes.CodeUnavailable, ctx.Err(), "the broker has not acknowledged the message in time")
	}
	if err := token.Error(); err != nil {
		return mes.Wrap(mes.CodeUnavailable, err, "the message can't be sent")
	}
	return nil
}
