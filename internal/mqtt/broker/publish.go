package broker

import (
	"context"

	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
)

// Publish gives a message to the broker's subscribers: when it returns nil, those that
// are connected have it on the way, and for the sessions of the others it waits in
// memory, within the bounds of the package. It is not stored as machine data.
func (b *Broker) Publish(_ context.Context, p mqtt.Publication) error {
	if b.work.Err() != nil {
		return mes.Wrap(mes.CodeUnavailable, mqtt.ErrNotConnected, "the broker has stopped")
	}
	if err := b.server.Publish(p.Topic, p.Payload, p.Retained, p.QoS); err != nil {
		return mes.Wrap(mes.CodeUnavailable, err, "the broker did not take the message")
	}
	return nil
}
