package vqt

import (
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

// Bits of a StatusCode that belong to one DataValue (OPC 10000-4, 7.39.1).
const (
	infoTypeMask      = 0x0C00
	infoTypeDataValue = 0x0400
	infoBitsMask      = 0x03FF
	infoOverflow      = 0x0080
	semanticsChanged  = 0x4000
	structureChanged  = 0x8000
)

// VQT is value, quality and time of one DataValue (OPC 10000-4, 7.11).
type VQT struct {
	// StatusCode is without the bits that say something of the server's queue, or of the
	// notification.
	StatusCode mes.StatusCode
	// SemanticsChanged and StructureChanged: the meaning, or the type, of the node's values
	// is another from here on. Only notifications say so.
	SemanticsChanged, StructureChanged bool
	// Overflow means that the server's queue lost values before this one.
	Overflow bool
	// Time is the source's, else the server's, in microseconds; zero with TimeReceipt
	// where there is neither.
	Time       time.Time
	TimeOrigin mes.TimeOrigin
	// ServerTime is zero where the server gave none.
	ServerTime time.Time

	content tree
}

// Of reads a DataValue of a variable; v is what is known of it, nil if nothing. It is
// pure. The error, of a value that can't be represented, names its type; it is an
// UnknownTypeError where Types.Learn may help. Quality and time are there all the same.
//
// A value with a bad status is null, whatever the server sent with it: such a value is to
// be ignored (OPC 10000-4, 7.11). OPC UA counts 100 ns; records count microseconds, and
// the rest is cut.
func Of(dv *ua.DataValue, v *Variable) (VQT, error) {
	var q VQT
	q.Time, q.TimeOrigin, q.ServerTime = times(dv)
	q.statusCode(dv)
	if dv == nil || !dv.Has(ua.DataValueValue) || q.StatusCode.Severity() == "bad" {
		q.content = v.null()
		return q, nil
	}
	var err error
	q.content, err = v.read(dv.Value)
	return q, err
}

// Value is the value itself, null where there is none or where it is a structure, whose
// members are in Signals.
func (q *VQT) Value() mes.Value { return q.content.leaf }

// Text is the name of an enumeration's value (of an option set's bits, an array of their
// names), null where there is none.
func (q *VQT) Text() mes.Value { return q.content.text }

// times picks the time of a value. A DateTime of 0 means "no time"
// (OPC 10000-6, 5.2.2.5); the library reads it as the zero time.
func times(dv *ua.DataValue) (t time.Time, origin mes.TimeOrigin, server time.Time) {
	if dv == nil {
		return time.Time{}, mes.TimeReceipt, time.Time{}
	}
	if dv.Has(ua.DataValueServerTimestamp) && !dv.ServerTimestamp.IsZero() {
		server = mes.Micros(unwrap(dv.ServerTimestamp))
	}
	switch {
	case dv.Has(ua.DataValueSourceTimestamp) && !dv.SourceTimestamp.IsZero():
		return mes.Micros(unwrap(dv.SourceTimestamp)), mes.TimeSource, server
	case !server.IsZero():
		return server, mes.TimeServer, server
	default:
		return time.Time{}, mes.TimeReceipt, server
	}
}

// statusCode takes out of the status what belongs to the way by which the value came: the
// overflow of the server's queue, and what is told once, with a notification. What a
// historian says of its storage stays, and does not enter the identity.
func (q *VQT) statusCode(dv *ua.DataValue) {
	if dv == nil || !dv.Has(ua.DataValueStatusCode) {
		return
	}
	code := uint32(dv.Status)
	q.SemanticsChanged, q.StructureChanged = code&semanticsChanged != 0, code&structureChanged != 0
	code &^= semanticsChanged | structureChanged
	if code&infoTypeMask == infoTypeDataValue {
		q.Overflow = code&infoOverflow != 0
		if code &^= infoOverflow; code&infoBitsMask == 0 {
			code &^= infoTypeMask
		}
	}
	q.StatusCode = mes.StatusCode(code)
}
