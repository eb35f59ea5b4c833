package app

import (
	"context"
	"fmt"
	"log/slog"

	"plantgate/api"
	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/broker"
)

// bindings are those of every MQTT connection, and of the own broker, by name.
type bindings map[string]mqtt.Bindings

// newBindings reads the subscriptions of the configuration.
func newBindings(cfg config.MQTT) (bindings, error) {
	all := bindings{}
	add := func(name string, subscriptions []config.Subscription) error {
		b, err := mqtt.NewBindings(name, subscriptions)
		if err != nil {
			return fmt.Errorf("subscriptions of %s: %w", name, err)
		}
		all[name] = b
		return nil
	}
	for _, c := range cfg.Connections {
		if err := add(c.Name, c.Subscriptions); err != nil {
			return nil, err
		}
	}
	if cfg.Broker.Enabled {
		return all, add(broker.Name, cfg.Broker.Subscriptions)
	}
	return all, nil
}

// present tells how a message from there is read now.
func (b bindings) present(origin mes.Origin) (ingest.Source, bool) {
	if origin.Door != mes.DoorMQTT {
		return ingest.Source{}, false
	}
	return b[origin.Connection].Source(origin.Address)
}

// sample tells what would become of a message.
func (b bindings) sample(ctx context.Context, name string, m api.SampleMessage, service *ingest.Service, decoder ingest.Decoder) (api.SampleOutcome, error) {
	list, ok := b[name]
	if !ok {
		return api.SampleOutcome{}, mes.Errorf(mes.CodeNotFound, "there is no MQTT connection %q", name)
	}
	match, records := list.Try(decoder, mqtt.Message{Topic: m.Topic, Payload: m.Payload, Retained: m.Retained, ReceivedAt: m.ReceivedAt})
	outcome := api.SampleOutcome{
		Matched: match.Index >= 0, Index: match.Index, Topic: match.Topic, Filter: match.Filter, Format: match.Format, Captures: match.Captures,
	}
	// The own broker stores nothing of what no subscription is for, nor of what only
	// removes a retained message.
	if name == broker.Name && (!outcome.Matched || m.Retained && len(m.Payload) == 0) {
		return outcome, nil
	}
	var err error
	outcome.Records, err = service.Preview(ctx, records)
	return outcome, err
}

// sample is api.SampleTester.
func (a *App) sample(ctx context.Context, name string, m api.SampleMessage) (api.SampleOutcome, error) {
	return a.bindings.sample(ctx, name, m, a.ingest, a.decoder)
}

// TestMessage tells what a server of that configuration would make of an MQTT message,
// without a server and without a store: machines count as registered.
func TestMessage(ctx context.Context, cfg config.Config, name string, m api.SampleMessage) (api.SampleOutcome, error) {
	all, err := newBindings(cfg.MQTT)
	if err != nil {
		return api.SampleOutcome{}, err
	}
	directory, err := siteDirectory(cfg)
	if err != nil {
		return api.SampleOutcome{}, err
	}
	service, decoder := newIngest(cfg, nil, directory, slog.New(slog.DiscardHandler), nil, nil)
	return all.sample(ctx, name, m, service, decoder)
}
