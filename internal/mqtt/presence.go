package mqtt

import (
	"context"

	paho "github.com/eclipse/paho.mqtt.golang"
)

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
