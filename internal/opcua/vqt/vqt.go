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
)

// VQT is value, quality and time of one DataValue (OPC 10000-4, 7.11).
type VQT struct {
	// StatusCode is without the bits that say something of the server's queue.
	StatusCode mes.StatusCode
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
	q.StatusCode, q.Overflow = statusCode(dv)
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

// statusCode returns the value's status and whether the server's queue lost
// values before it. The overflow bit says something of the queue, not of the
// value, so it is taken out of the code: the same value read from history has
// the same identity.
func statusCode(dv *ua.DataValue) (mes.StatusCode, bool) {
	if dv == nil || !dv.Has(ua.DataValueStatusCode) {
		return 0, false
	}
	code := uint32(dv.Status)
	if code&infoTypeMask != infoTypeDataValue || code&infoOverflow == 0 {
		return mes.StatusCode(code), false
	}
	code &^= infoOverflow
	if code&infoBitsMask == 0 {
		code &^= infoTypeMask
	}
	return mes.StatusCode(code), true
}
