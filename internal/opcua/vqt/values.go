package vqt

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"

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

// maxNesting bounds arrays within arrays.
const maxNesting = 16

// VQT is value, quality and time of one DataValue (OPC 10000-4, 7.11).
type VQT struct {
	// Value is null where there is none.
	Value mes.Value
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
}

// Of reads a DataValue. It is pure. The error, of a value that can't be represented, names
// its type; quality and time are there all the same.
//
// OPC UA counts 100 ns; records count microseconds, and the rest is cut.
func Of(dv *ua.DataValue) (VQT, error) {
	var v VQT
	v.Time, v.TimeOrigin, v.ServerTime = times(dv)
	v.StatusCode, v.Overflow = statusCode(dv)
	var err error
	v.Value, err = variantValue(dv)
	return v, err
}

// times picks the time of a value. A DateTime of 0 means "no time"
// (OPC 10000-6, 5.2.2.5); the library reads it as the zero time.
func times(dv *ua.DataValue) (t time.Time, origin mes.TimeOrigin, server time.Time) {
	if dv == nil {
		return time.Time{}, mes.TimeReceipt, time.Time{}
	}
	if dv.Has(ua.DataValueServerTimestamp) && !dv.ServerTimestamp.IsZero() {
		server = mes.Micros(dv.ServerTimestamp)
	}
	switch {
	case dv.Has(ua.DataValueSourceTimestamp) && !dv.SourceTimestamp.IsZero():
		return mes.Micros(dv.SourceTimestamp), mes.TimeSource, server
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

// variantValue returns the value, null where there is none.
func variantValue(dv *ua.DataValue) (mes.Value, error) {
	if dv == nil || !dv.Has(ua.DataValueValue) || dv.Value == nil {
		return mes.Value{}, nil
	}
	return fromVariant(dv.Value, 0)
}

func fromVariant(v *ua.Variant, depth int) (mes.Value, error) {
	if v == nil || v.Value() == nil {
		return mes.Value{}, nil
	}
	if !v.Has(ua.VariantArrayValues) {
		return scalar(v.Value(), depth)
	}
	j, err := appendArray(nil, reflect.ValueOf(v.Value()), depth)
	if err != nil {
		return mes.Value{}, err
	}
	return mes.Array(string(j)), nil
}

// scalar converts one value of a built-in type (OPC 10000-6, 5.1.2).
func scalar(x any, depth int) (mes.Value, error) {
	if v, ok := number(x); ok {
		return v, nil
	}
	switch x := x.(type) {
	case bool:
		return mes.Bool(x), nil
	case string:
		return text(x)
	case ua.XMLElement:
		return text(string(x))
	case []byte:
		return mes.String(base64.StdEncoding.EncodeToString(x)), nil
	case time.Time:
		return mes.String(x.UTC().Format(time.RFC3339Nano)), nil
	case *ua.Variant:
		if depth >= maxNesting {
			return mes.Value{}, fmt.Errorf("a value nested deeper than %d can't be stored", maxNesting)
		}
		return fromVariant(x, depth+1)
	default:
		return structured(x)
	}
}

// number converts the numeric built-in types without rounding.
func number(x any) (mes.Value, bool) {
	switch x := x.(type) {
	case int8:
		return mes.Int(int64(x)), true
	case int16:
		return mes.Int(int64(x)), true
	case int32:
		return mes.Int(int64(x)), true
	case int64:
		return mes.Int(x), true
	case uint8:
		return mes.Uint(uint64(x)), true
	case uint16:
		return mes.Uint(uint64(x)), true
	case uint32:
		return mes.Uint(uint64(x)), true
	case uint64:
		return mes.Uint(x), true
	case float32:
		return mes.Float(float64(x), 32), true
	case float64:
		return mes.Float(x, 64), true
	case ua.StatusCode:
		return mes.Uint(uint64(x)), true
	default:
		return mes.Value{}, false
	}
}

// structured converts the built-in types that have one text form; those that
// have none (ExtensionObject, DataValue, DiagnosticInfo) are an error.
func structured(x any) (mes.Value, error) {
	if v := reflect.ValueOf(x); v.Kind() == reflect.Pointer && v.IsNil() {
		return mes.Value{}, nil
	}
	switch x := x.(type) {
	case *ua.GUID:
		if len(x.Data4) != 8 {
			return mes.Value{}, fmt.Errorf("the value is no complete Guid")
		}
		return mes.String(x.String()), nil
	case *ua.NodeID:
		return text(x.String())
	case *ua.ExpandedNodeID:
		if x.NodeID == nil {
			return mes.Value{}, nil
		}
		return text(x.String())
	case *ua.QualifiedName:
		return text(strconv.Itoa(int(x.NamespaceIndex)) + ":" + x.Name)
	case *ua.LocalizedText:
		return text(x.Text)
	default:
		return mes.Value{}, fmt.Errorf("a value of type %s can't be stored as a signal", typeName(x))
	}
}

func text(s string) (mes.Value, error) {
	if !utf8.ValidString(s) {
		return mes.Value{}, fmt.Errorf("the text is not UTF-8, as OPC 10000-6, 5.2.2.4 wants it")
	}
	return mes.String(s), nil
}

// appendArray appends the canonical JSON of an array of one or more dimensions.
func appendArray(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("an array nested deeper than %d can't be stored", maxNesting)
	}
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		element := v.Index(i)
		var err error
		if isArray(element) {
			b, err = appendArray(b, element, depth+1)
		} else {
			var one mes.Value
			one, err = scalar(element.Interface(), depth)
			b = one.AppendJSON(b)
		}
		if err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// isArray tells an inner dimension from an element. A []byte is a ByteString;
// an array of Byte has a type of its own.
func isArray(v reflect.Value) bool {
	return v.Kind() == reflect.Slice && v.Type() != reflect.TypeFor[[]byte]()
}

// typeName names what can't be represented, an ExtensionObject with its encoding.
func typeName(x any) string {
	switch x := x.(type) {
	case *ua.ExtensionObject:
		if x.TypeID != nil && x.TypeID.NodeID != nil {
			return fmt.Sprintf("ExtensionObject (encoding %s)", x.TypeID.NodeID)
		}
		return "ExtensionObject"
	case *ua.DataValue:
		return "DataValue"
	case *ua.DiagnosticInfo:
		return "DiagnosticInfo"
	default:
		return fmt.Sprintf("%T", x)
	}
}

// Describe is what quarantine keeps of a value that can't be represented: JSON
// with the node, the type and, where the library could decode it, the content.
func Describe(nodeID string, dv *ua.DataValue) []byte {
	d := struct {
		NodeID          string    `json:"node_id"`
		Type            string    `json:"type"`
		StatusCode      uint32    `json:"status_code"`
		SourceTimestamp time.Time `json:"source_timestamp,omitzero"`
		ServerTimestamp time.Time `json:"server_timestamp,omitzero"`
		Value           any       `json:"value,omitempty"`
	}{
		NodeID:          nodeID,
		Type:            typeName(dv.Value.Value()),
		StatusCode:      uint32(dv.Status),
		SourceTimestamp: dv.SourceTimestamp,
		ServerTimestamp: dv.ServerTimestamp,
		Value:           dv.Value.Value(),
	}
	if b, err := json.Marshal(d); err == nil {
		return b
	}
	// Some contents have no JSON (NaN, years beyond 9999): tell what is left.
	d.Value, d.SourceTimestamp, d.ServerTimestamp = fmt.Sprintf("%+v", d.Value), time.Time{}, time.Time{}
	b, err := json.Marshal(d)
	if err != nil {
		return []byte(strconv.Quote(nodeID))
	}
	return b
}
