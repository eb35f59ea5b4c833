package alarm

import (
	"encoding/base64"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/vqt"
)

// Kind tells events that speak of the subscription from others.
type Kind uint8

// The kinds.
const (
	Ordinary Kind = iota
	// RefreshStart and RefreshEnd bracket the conditions of a refresh, RefreshRequired asks
	// for one (OPC 10000-9, 5.11).
	RefreshStart
	RefreshEnd
	RefreshRequired
	// Overflow: the server's queue of the item lost events (OPC 10000-4, 7.22.3).
	Overflow
)

// Event is one event as a server tells it. What it does not tell is zero, or nil.
type Event struct {
	ID                []byte
	Type              *ua.NodeID
	SourceNode        *ua.NodeID
	SourceName        *string
	Time, ReceiveTime time.Time
	Message           *string
	Severity          *uint16
	ConditionID       *ua.NodeID
	ConditionName     *string
	BranchID          *ua.NodeID
	Quality           *mes.StatusCode
	Comment           *string
	ClientUserID      *string
	Retain, Enabled   *bool
	Acked, Confirmed  *bool
	Active            *bool
}

// FieldError is about a field that can't be represented.
type FieldError struct{ Field, Type, Detail string }

// Error names field and type.
func (e *FieldError) Error() string {
	if e.Detail != "" {
		return fmt.Sprintf("field %s (%s): %s", e.Field, e.Type, e.Detail)
	}
	return fmt.Sprintf("field %s can't be a %s", e.Field, e.Type)
}

// Parse reads the fields of a notification, in the order of the filter's select clauses. It
// is pure. The event has every field that could be read, whatever the error, which is a
// FieldError of the first that could not.
func Parse(values []*ua.Variant) (*Event, error) {
	e := &Event{}
	r := reader{values: values}
	if len(values) != int(allFields) && len(values) != int(baseFields) {
		r.fault = fmt.Errorf("the event has %d fields, where %d were asked for", len(values), allFields)
	}
	e.ID = take(&r, eventID, asBytes)
	e.Type = take(&r, eventType, asNodeID)
	e.SourceNode = take(&r, sourceNode, asNodeID)
	e.SourceName = take(&r, sourceName, asText)
	e.Time = take(&r, eventTime, asTime)
	e.ReceiveTime = take(&r, receiveTime, asTime)
	e.Message = take(&r, message, asText)
	e.Severity = take(&r, severity, asSeverity)
	e.ConditionID = take(&r, conditionID, asNodeID)
	e.ConditionName = take(&r, conditionName, asText)
	e.BranchID = take(&r, branchID, asNodeID)
	e.Retain = take(&r, retain, asBool)
	e.Enabled = take(&r, enabled, asBool)
	e.Quality = take(&r, quality, asStatus)
	e.Comment = take(&r, comment, asText)
	e.ClientUserID = take(&r, clientUserID, asText)
	e.Acked = take(&r, acked, asBool)
	e.Confirmed = take(&r, confirmed, asBool)
	e.Active = take(&r, active, asBool)
	if r.fault == nil && e.Type == nil {
		r.fault = &FieldError{Field: eventType.name(), Type: "null", Detail: "every event has a type"}
	}
	return e, r.fault
}

// reader takes fields, and notes the first fault.
type reader struct {
	values []*ua.Variant
	fault  error
}

func take[T any](r *reader, p place, as func(any) (T, string, bool)) (v T) {
	if int(p) >= len(r.values) || r.values[p] == nil {
		return v
	}
	x := r.values[p].Value()
	if x == nil {
		return v
	}
	if _, isStatus := x.(ua.StatusCode); isStatus && p != quality {
		return v // the server has no such field (OPC 10000-4, 7.22.3)
	}
	v, detail, ok := as(x)
	if !ok && r.fault == nil {
		r.fault = &FieldError{Field: p.name(), Type: vqt.TypeName(x), Detail: detail}
	}
	return v
}

func asBytes(x any) (v []byte, detail string, ok bool) {
	v, ok = x.([]byte)
	return v, "", ok
}

// asNodeID gives nil for the null node id.
func asNodeID(x any) (*ua.NodeID, string, bool) {
	n, ok := x.(*ua.NodeID)
	if n == nil || n.Namespace() == 0 && n.IntID() == 0 && n.StringID() == "" {
		return nil, "", ok
	}
	return n, "", ok
}

func asText(x any) (*string, string, bool) {
	var text string
	switch x := x.(type) {
	case string:
		text = x
	case *ua.LocalizedText:
		if x == nil {
			return nil, "", true
		}
		text = x.Text
	default:
		return nil, "", false
	}
	if !utf8.ValidString(text) {
		return nil, "the text is not UTF-8", false
	}
	return &text, "", true
}

func asTime(x any) (time.Time, string, bool) {
	t, ok := x.(time.Time)
	if !ok || t.IsZero() {
		return time.Time{}, "", ok
	}
	return mes.Micros(vqt.DateTime(t)), "", true
}

// asSeverity takes any whole number of 0 to 65535: not every server keeps to UInt16.
func asSeverity(x any) (*uint16, string, bool) {
	n, ok := vqt.Integer(x)
	if _, isBool := x.(bool); !ok || isBool {
		return nil, "", false
	}
	if n < 0 || n > 0xFFFF {
		return nil, fmt.Sprintf("%d is no severity", n), false
	}
	s := uint16(n)
	return &s, "", true
}

func asBool(x any) (*bool, string, bool) {
	b, ok := x.(bool)
	if !ok {
		return nil, "", false
	}
	return &b, "", true
}

func asStatus(x any) (*mes.StatusCode, string, bool) {
	code, ok := x.(ua.StatusCode)
	if !ok {
		return nil, "", false
	}
	s := mes.StatusCode(code)
	return &s, "", true
}

// Kind is what the event is about.
func (e *Event) Kind() Kind {
	if e.Type == nil || e.Type.Namespace() != 0 {
		return Ordinary
	}
	switch e.Type.IntID() {
	case id.RefreshStartEventType:
		return RefreshStart
	case id.RefreshEndEventType:
		return RefreshEnd
	case id.RefreshRequiredEventType:
		return RefreshRequired
	case id.EventQueueOverflowEventType:
		return Overflow
	}
	return Ordinary
}

// IDText is the text form of an EventId.
func IDText(eventID []byte) string { return base64.StdEncoding.EncodeToString(eventID) }

// ParseID reads the text form of an EventId.
func ParseID(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }
