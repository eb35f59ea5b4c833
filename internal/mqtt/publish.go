package mqtt

import (
	"context"
	"errors"
	"sync"

	paho "github.com/eclipse/paho.mqtt.golang"

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

// Presence says by messages whether the connection is up: Birth when it is, and Death
// when it ends. The broker has Death as the connection's will (MQTT 3.1.1, 3.1.2.5), and
// sends it if the connection ends by itself.
type Presence struct {
	Birth, Death Publication
	// Farewell, if not nil, is what is said instead of Death when the connection is ended
	// in order.
	Farewell func() Publication
}

// presence of the connection; nil if it has none.
func (a *Adapter) presence() *Presence {
	if a.sparkplug != nil {
		return a.sparkplug.presence()
	}
	p := a.cfg.Presence
	if p.Topic == "" {
		return nil
	}
	say := func(text string) Publication {
		return Publication{Topic: p.Topic, Payload: []byte(text), QoS: 1, Retained: true}
	}
	return &Presence{Birth: say(p.Online), Death: say(p.Offline)}
}

// leaveWill gives the broker what to say when the connection ends by itself.
func (s *session) leaveWill(opts *paho.ClientOptions) {
	if s.presence != nil {
		d := s.presence.Death
		opts.SetBinaryWill(d.Topic, d.Payload, d.QoS, d.Retained)
	}
}

// appear says that the connection is up.
func (s *session) appear(ctx context.Context) {
	if s.presence == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := s.publish(ctx, s.presence.Birth); err != nil {
		s.a.log.Warn("MQTT presence could not be published", "topic", s.presence.Birth.Topic, "error", err)
	}
}

// disappear says that the connection ends, which its will does not say of one that is
// ended in order.
func (s *session) disappear() {
	if s.presence == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), confirmTimeout)
	defer cancel()
	last := s.presence.Death
	if s.presence.Farewell != nil {
		last = s.presence.Farewell()
	}
	if err := s.publish(ctx, last); err != nil {
		s.a.log.Warn("MQTT absence could not be published", "topic", last.Topic, "error", err)
	}
}
