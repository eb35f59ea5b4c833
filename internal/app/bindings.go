package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"plantgate/api"
	"plantgate/internal/command"
	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/broker"
	"plantgate/internal/mqtt/topic"
)

// bindings are those of every MQTT connection, and of the own broker, by name.
type bindings map[string]bound

// bound is how the messages of a connection are read.
type bound struct {
	mqtt.Bindings
	// sparkplug tells what becomes of a message as one of Sparkplug B.
	sparkplug func(mqtt.Message) (bool, []mes.Record)
}

// newBindings reads the subscriptions of the configuration.
func newBindings(cfg config.MQTT) (bindings, error) {
	all := bindings{}
	add := func(c config.MQTTConnection) error {
		b, err := mqtt.NewBindings(c.Name, c.Subscriptions)
		if err != nil {
			return fmt.Errorf("subscriptions of %s: %w", c.Name, err)
		}
		all[c.Name] = bound{b, mqtt.TrySparkplug(c)}
		return nil
	}
	for _, c := range cfg.Connections {
		if err := add(c); err != nil {
			return nil, err
		}
	}
	if cfg.Broker.Enabled {
		return all, add(config.MQTTConnection{Name: broker.Name, Subscriptions: cfg.Broker.Subscriptions})
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
		return api.SampleOutcome{}, b.unknown(name)
	}
	if err := topic.CheckName(m.Topic); err != nil {
		return api.SampleOutcome{}, mes.Invalid([]mes.FieldError{{Pointer: "/topic", Detail: err.Error()}})
	}
	message := mqtt.Message{Topic: m.Topic, Payload: m.Payload, Retained: m.Retained, ReceivedAt: m.ReceivedAt}
	if is, faults := list.sparkplug(message); is {
		outcome := api.SampleOutcome{Sparkplug: true, Index: -1}
		var err error
		outcome.Records, err = service.Preview(ctx, faults)
		return outcome, err
	}
	match, records := list.Try(decoder, message)
	outcome := api.SampleOutcome{
		Matched: match.Index >= 0, Index: match.Index, Topic: match.Topic, Filter: match.Filter, Format: match.Format, Captures: match.Captures,
	}
	// The own broker stores nothing of what no subscription is for, nor of what only
	// removes a retained message.
	if name == broker.Name && (!outcome.Matched || m.Retained && len(m.Payload) == 0) {
		return outcome, nil
	}
	var err error
	if outcome.Records, err = service.Preview(ctx, records); err == nil {
		outcome.Replies = readReplies(outcome.Records)
	}
	return outcome, err
}

// unknown tells of a name that no connection has.
func (b bindings) unknown(name string) error {
	switch names := slices.Sorted(maps.Keys(b)); {
	case name == broker.Name:
		return mes.Errorf(mes.CodeNotFound, "the own broker is not enabled (mqtt.broker.enabled)")
	case len(names) == 0:
		return mes.Errorf(mes.CodeNotFound, "there is no MQTT connection %q, nor any other", name)
	default:
		return mes.Errorf(mes.CodeNotFound, "there is no MQTT connection %q; configured: %s", name, strings.Join(names, ", "))
	}
}

// readReplies reads the replies to commands among records, and returns them by their
// places. Those that can't be read have their fault.
func readReplies(records []ingest.Previewed) map[int]mes.CommandReply {
	replies := map[int]mes.CommandReply{}
	for i := range records {
		r := &records[i].Record
		if !ingest.IsReply(*r) {
			continue
		}
		reply, fault := command.ParseReply(r.Payload)
		if r.Fault = fault; fault == nil {
			replies[i] = reply
		}
	}
	return replies
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
