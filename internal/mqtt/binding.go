package mqtt

import (
	"strings"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/ingest/mapping"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt/topic"
)

// Binding says what the messages of a topic filter are: whose, of what type
// and in which format.
type Binding struct {
	pattern   topic.Pattern
	qos       byte
	format    string
	siteID    string
	machineID string
	dataType  mes.DataType
	zone      *time.Location
	mapping   *mapping.Mapping // nil where the binding says nothing of payloads
}

// Bindings are the bindings of one connection, in configured order.
type Bindings struct {
	connection string
	list       []Binding
}

// Message is what is known of one publication.
type Message struct {
	Topic      string
	Payload    []byte
	Retained   bool
	ReceivedAt time.Time
}

// content is what is compared of messages without an identity of their own.
func (m *Message) content() content { return mes.ContentOf([]byte(m.Topic), m.Payload) }

// NewBindings reads the subscriptions of the connection of that name. An error
// has CodeInvalid and names every faulty subscription.
func NewBindings(connection string, subscriptions []config.Subscription) (Bindings, error) {
	b := Bindings{connection: connection}
	var faults []mes.FieldError
	for _, s := range subscriptions {
		binding, err := newBinding(s)
		if err != nil {
			faults = append(faults, mes.FieldError{Pointer: mes.Pointer(s.Topic), Detail: err.Error()})
			continue
		}
		b.list = append(b.list, binding)
	}
	if len(faults) > 0 {
		return Bindings{}, mes.Invalid(faults)
	}
	return b, nil
}

func newBinding(s config.Subscription) (Binding, error) {
	pattern, err := topic.Parse(s.Topic)
	if err != nil {
		return Binding{}, err
	}
	b := Binding{
		pattern:   pattern,
		qos:       1,
		format:    s.Format,
		siteID:    s.SiteID,
		machineID: s.MachineID,
		dataType:  mes.DataType(s.DataType),
	}
	if b.format == "" {
		b.format = config.FormatAuto
	}
	if s.QoS != nil {
		if *s.QoS < 0 || *s.QoS > 2 {
			return Binding{}, mes.Errorf(mes.CodeInvalid, "the QoS is 0, 1 or 2, not %d", *s.QoS)
		}
		b.qos = byte(*s.QoS)
	}
	if s.TimeZone != "" {
		if b.zone, err = time.LoadLocation(s.TimeZone); err != nil {
			return Binding{}, mes.Errorf(mes.CodeInvalid, "unknown time zone %q", s.TimeZone)
		}
	}
	b.mapping, err = compileMapping(s, b.format, pattern)
	return b, err
}

// filters returns what to subscribe to, each filter once with its highest QoS.
func (b Bindings) filters() []filter {
	var list []filter
	at := make(map[string]int)
	for _, binding := range b.list {
		name := binding.pattern.Filter()
		if i, ok := at[name]; ok {
			list[i].qos = max(list[i].qos, binding.qos)
			continue
		}
		at[name] = len(list)
		list = append(list, filter{name: name, qos: binding.qos})
	}
	return list
}

// filter is one topic filter of a SUBSCRIBE packet.
type filter struct {
	name string
	qos  byte
	// shared is what stands before it in name: the group of a shared subscription.
	shared string
}

// plain is the filter without its group.
func (f filter) plain() string { return strings.TrimPrefix(f.name, f.shared) }

// Match tells whether any binding is for the topic.
func (b Bindings) Match(name string) bool { return b.index(name) >= 0 }

// index is the place of the binding for a topic, -1 if there is none.
func (b Bindings) index(name string) int {
	index, _ := b.find(name)
	return index
}

// find returns the index of the first binding that is for the topic, -1 if none is.
func (b Bindings) find(name string) (int, topic.Captures) {
	for i := range b.list {
		if c, ok := b.list[i].pattern.Match(name); ok {
			return i, c
		}
	}
	return -1, topic.Captures{}
}

// Decode turns a message into records. A topic that no binding is for, or whose
// captured levels are no ids, gives a record with a fault, so that quarantine
// keeps the message.
func (b Bindings) Decode(decoder ingest.Decoder, m Message) []mes.Record {
	index, captures := b.find(m.Topic)
	if index < 0 {
		return b.faulty(ingest.Source{}, m, mes.Errorf(mes.CodeInvalid,
			"no subscription of the connection matches the topic; the broker's session may still hold a former one"))
	}
	src, fault := b.source(&b.list[index], captures, m)
	if fault != nil {
		return b.faulty(src, m, fault)
	}
	return decoder.Decode(src, m.Payload)
}

// source is what topic and binding say of a message. Where a captured level is no id it
// returns a fault, and the source without it.
func (b Bindings) source(binding *Binding, captures topic.Captures, m Message) (ingest.Source, *mes.Error) {
	src := ingest.Source{
		Origin:     mes.Origin{Door: mes.DoorMQTT, Connection: b.connection, Address: m.Topic, Format: binding.format},
		SiteID:     binding.siteID,
		MachineID:  binding.machineID,
		DataType:   binding.dataType,
		Zone:       binding.zone,
		ReceivedAt: m.ReceivedAt,
		Retained:   m.Retained,
	}
	if binding.mapping != nil {
		src.Mapping = &mapping.Bound{Mapping: binding.mapping, Captures: placeholders(captures)}
	}
	if binding.pattern.Captures(topic.CaptureSite) {
		if err := mes.CheckID(captures.Site); err != nil {
			return src, mes.Errorf(mes.CodeInvalid, "the topic's level {site} %w", err)
		}
		src.SiteID = captures.Site
	}
	if binding.pattern.Captures(topic.CaptureMachine) {
		if err := mes.CheckID(captures.Machine); err != nil {
			return src, mes.Errorf(mes.CodeInvalid, "the topic's level {machine} %w", err)
		}
		src.MachineID = captures.Machine
	}
	return src, nil
}

func (b Bindings) faulty(src ingest.Source, m Message, fault *mes.Error) []mes.Record {
	return []mes.Record{{
		SiteID:     src.SiteID,
		MachineID:  src.MachineID,
		DataType:   src.DataType,
		ReceivedAt: m.ReceivedAt,
		Origin:     mes.Origin{Door: mes.DoorMQTT, Connection: b.connection, Address: m.Topic, Format: src.Origin.Format},
		Payload:    m.Payload,
		Fault:      fault,
	}}
}
