package mqtt

import (
	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/ingest/mapping"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt/topic"
)

// compileMapping compiles what a subscription says of payloads. An error has CodeInvalid
// and names every fault.
func compileMapping(s config.Subscription, format string, pattern topic.Pattern) (*mapping.Mapping, error) {
	spec := s.Mapping()
	spec.Format = format
	m, wrong := mapping.Compile(spec, pattern.CapturedNames())
	if len(wrong) == 0 {
		return m, nil
	}
	faults := make([]mes.FieldError, len(wrong))
	for i, f := range wrong {
		faults[i] = mes.FieldError{Pointer: mes.Pointer(f.Key), Detail: f.Detail}
	}
	return nil, mes.Invalid(faults)
}

// placeholders are the captured levels by the names that a mapping has for them.
func placeholders(c topic.Captures) mapping.Captures {
	return mapping.Captures{
		"{" + topic.CaptureSite + "}", c.Site, "{" + topic.CaptureArea + "}", c.Area, "{" + topic.CaptureLine + "}", c.Line,
		"{" + topic.CaptureMachine + "}", c.Machine, "{" + topic.CaptureSignal + "}", c.Signal,
	}
}

// Source returns what the bindings say of a message of the topic: how it is read, and
// whose it is as far as topic and binding tell; false if no binding is for the topic.
func (b Bindings) Source(name string) (ingest.Source, bool) {
	index, captures := b.find(name)
	if index < 0 {
		return ingest.Source{}, false
	}
	// A level that is no id is left out: whoever reads the message has to say it.
	src, _ := b.source(&b.list[index], captures, Message{Topic: name})
	return src, true
}

// Match is a binding that is for a topic.
type Match struct {
	// Index is its place among the subscriptions, from 0.
	Index int
	// Topic is the subscription's as it is configured, Filter what is subscribed to.
	Topic, Filter string
	Format        string
	// Captures are the captured levels by name.
	Captures map[string]string
}

// Find returns the binding that is for a topic, and false if there is none.
func (b Bindings) Find(name string) (Match, bool) {
	index, captures := b.find(name)
	if index < 0 {
		return Match{}, false
	}
	binding := &b.list[index]
	m := Match{Index: index, Topic: binding.pattern.String(), Filter: binding.pattern.Filter(), Format: binding.format, Captures: map[string]string{}}
	all := map[string]string{
		topic.CaptureSite: captures.Site, topic.CaptureArea: captures.Area, topic.CaptureLine: captures.Line,
		topic.CaptureMachine: captures.Machine, topic.CaptureSignal: captures.Signal,
	}
	for _, captured := range binding.pattern.CapturedNames() {
		m.Captures[captured] = all[captured]
	}
	return m, true
}

// Try decodes a message as Decode does, and tells which binding it is for; Index is -1 if
// none is.
func (b Bindings) Try(decoder ingest.Decoder, m Message) (Match, []mes.Record) {
	match, ok := b.Find(m.Topic)
	if !ok {
		match.Index = -1
	}
	return match, b.Decode(decoder, m)
}
