package alarm

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/address"
	"plantgate/internal/opcua/vqt"
)

// Format is the name of the form that events are read by.
const Format = "opcua_event"

// Context is what an event does not say of itself.
type Context struct {
	Connection, Notifier string
	SiteID, MachineID    string
	// Namespaces are those of the session.
	Namespaces []string
	// TypeName is the browse name of the event's type; "" if not known.
	TypeName   string
	ReceivedAt time.Time
}

// signal of the browse name of the event's type, beside its node id.
const typeName = Prefix + "EventType.BrowseName"

// Record turns an event into a record. It is pure: the same event gives the same record,
// but for ReceivedAt, also when a refresh tells it again. The record's time is the event's
// Time; ReceiveTime, which is that of the server, is the server's time.
func (e *Event) Record(c Context) mes.Record {
	r := mes.Record{
		SiteID: c.SiteID, MachineID: c.MachineID, DataType: mes.Event,
		Time: e.Time, TimeOrigin: mes.TimeSource, ServerTime: e.ReceiveTime, ReceivedAt: c.ReceivedAt,
		Origin: mes.Origin{Door: mes.DoorOPCUA, Connection: c.Connection, Address: c.Notifier, Format: Format},
	}
	switch {
	case !e.Time.IsZero():
	case !e.ReceiveTime.IsZero():
		r.Time, r.TimeOrigin = e.ReceiveTime, mes.TimeServer
	default:
		r.TimeOrigin = mes.TimeReceipt
	}
	add := func(name string, v mes.Value) { r.Signals = append(r.Signals, mes.Signal{Name: name, Value: v}) }
	text := func(p place, s *string) {
		if s != nil {
			add(p.signal(), mes.String(*s))
		}
	}
	truth := func(p place, b *bool) {
		if b != nil {
			add(p.signal(), mes.Bool(*b))
		}
	}
	node := func(p place, n *ua.NodeID) {
		if n != nil {
			add(p.signal(), mes.String(nodeText(n, c.Namespaces)))
		}
	}
	if e.ID != nil {
		add(eventID.signal(), mes.String(IDText(e.ID)))
	}
	node(eventType, e.Type)
	if c.TypeName != "" {
		add(typeName, mes.String(c.TypeName))
	}
	node(sourceNode, e.SourceNode)
	text(sourceName, e.SourceName)
	text(message, e.Message)
	if e.Severity != nil {
		add(severity.signal(), mes.Uint(uint64(*e.Severity)))
	}
	node(conditionID, e.ConditionID)
	text(conditionName, e.ConditionName)
	node(branchID, e.BranchID)
	if e.Quality != nil {
		add(quality.signal(), mes.Uint(uint64(*e.Quality)))
	}
	text(comment, e.Comment)
	text(clientUserID, e.ClientUserID)
	truth(retain, e.Retain)
	truth(enabled, e.Enabled)
	truth(acked, e.Acked)
	truth(confirmed, e.Confirmed)
	truth(active, e.Active)
	slices.SortFunc(r.Signals, func(a, b mes.Signal) int { return strings.Compare(a.Name, b.Name) })
	return r
}

// Faulty is the record of an event that can't be represented, for quarantine: with what
// could be read of it, and its fields as they came.
func (e *Event) Faulty(c Context, values []*ua.Variant, fault error) mes.Record {
	r := e.Record(c)
	r.Signals = nil
	r.Fault = mes.Errorf(mes.CodeUnsupported, "event of %s: %w", c.Notifier, fault)
	r.Payload = describe(c, e, values)
	return r
}

// describe is JSON with the type of the event and its fields.
func describe(c Context, e *Event, values []*ua.Variant) []byte {
	d := struct {
		Notifier  string                     `json:"notifier"`
		EventType string                     `json:"event_type,omitempty"`
		TypeName  string                     `json:"event_type_name,omitempty"`
		Fields    map[string]json.RawMessage `json:"fields"`
	}{Notifier: c.Notifier, TypeName: c.TypeName, Fields: map[string]json.RawMessage{}}
	if e.Type != nil {
		d.EventType = nodeText(e.Type, c.Namespaces)
	}
	for i, v := range values {
		name := strconv.Itoa(i)
		if i < int(allFields) {
			name = place(i).name()
		}
		if v != nil && v.Value() != nil {
			d.Fields[name] = vqt.DescribeValue(v)
		}
	}
	b, err := json.Marshal(d)
	if err != nil {
		return []byte(strconv.Quote(c.Notifier))
	}
	return b
}

// nodeText is a node id with the URI of its namespace; what is no text in it is replaced.
func nodeText(n *ua.NodeID, namespaces []string) string {
	return strings.ToValidUTF8(address.Text(n, namespaces), "?")
}
