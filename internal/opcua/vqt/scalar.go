package vqt

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

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

// plain converts the built-in types that have one text form (OPC 10000-6, 5.1.2), and
// tells whether x is one of them.
func plain(x any) (v mes.Value, ok bool, err error) {
	if v, ok := number(x); ok {
		return v, true, nil
	}
	switch x := x.(type) {
	case bool:
		v = mes.Bool(x)
	case string:
		v, err = text(x)
	case ua.XMLElement:
		v, err = text(string(x))
	case []byte:
		v = mes.String(base64.StdEncoding.EncodeToString(x))
	case time.Time:
		v = mes.String(timeText(unwrap(x)))
	case *ua.GUID:
		v, err = guid(x)
	case *ua.NodeID:
		if x != nil {
			v, err = text(x.String())
		}
	case *ua.ExpandedNodeID:
		if x != nil && x.NodeID != nil {
			v, err = text(expandedText(x))
		}
	case *ua.QualifiedName:
		if x != nil {
			v, err = text(strconv.Itoa(int(x.NamespaceIndex)) + ":" + x.Name)
		}
	case *ua.LocalizedText:
		if x != nil {
			v, err = text(x.Text)
		}
	default:
		return mes.Value{}, false, nil
	}
	return v, true, err
}

func text(s string) (mes.Value, error) {
	if !utf8.ValidString(s) {
		return mes.Value{}, fmt.Errorf("the text is not UTF-8, as OPC 10000-6, 5.2.2.4 wants it")
	}
	return mes.String(s), nil
}

func guid(g *ua.GUID) (mes.Value, error) {
	switch {
	case g == nil:
		return mes.Value{}, nil
	case len(g.Data4) != 8:
		return mes.Value{}, fmt.Errorf("the value is no complete Guid")
	}
	return mes.String(g.String()), nil
}

// expandedText is the text form of an ExpandedNodeId (OPC 10000-6, 5.3.1.11).
func expandedText(x *ua.ExpandedNodeID) string {
	id := x.NodeID.String()
	if x.NamespaceURI != "" {
		local := ua.NewNumericNodeID(0, x.NodeID.IntID())
		switch x.NodeID.Type() {
		case ua.NodeIDTypeString:
			local = ua.NewStringNodeID(0, x.NodeID.StringID())
		case ua.NodeIDTypeGUID:
			local = ua.NewGUIDNodeID(0, x.NodeID.StringID())
		case ua.NodeIDTypeByteString:
			if raw, err := base64.StdEncoding.DecodeString(x.NodeID.StringID()); err == nil {
				local = ua.NewByteStringNodeID(0, raw)
			}
		default:
		}
		id = "nsu=" + x.NamespaceURI + ";" + local.String()
	}
	if x.ServerIndex != 0 {
		id = fmt.Sprintf("svr=%d;%s", x.ServerIndex, id)
	}
	return id
}

// A DateTime counts 100 ns since 1601 (OPC 10000-6, 5.2.2.5). The greatest that has a
// text is the last of the year 9999; what is above stands for "no end".
const (
	ticksOf1970 = 116_444_736_000_000_000
	maxTicks    = 2_650_467_743_999_999_999
	// invert25 times 25 is 1 modulo 2^62.
	invert25 = 0x0F5C_28F5_C28F_5C29
)

// unwrap returns the time that a DateTime means. The library multiplies its ticks to
// nanoseconds without a look at the overflow, so that what is before 1677 or after 2262
// comes as another time; but no two DateTimes up to the year 9999 come as the same one.
func unwrap(t time.Time) time.Time {
	nanos := t.UnixNano()
	if t.IsZero() || !time.Unix(0, nanos).Equal(t) || nanos%100 == 0 || nanos%4 != 0 {
		return t // what is a multiple of 100 did not overflow
	}
	ticks := (uint64(nanos) >> 2 * invert25) & (1<<62 - 1)
	return ticksTime((ticks + ticksOf1970) & (1<<62 - 1))
}

// ticksTime returns the time of a DateTime, the last of the year 9999 for all above.
func ticksTime(ticks uint64) time.Time {
	if ticks > maxTicks {
		return time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	since := int64(ticks) - ticksOf1970
	return time.Unix(since/1e7, since%1e7*100).UTC()
}

// timeText is a DateTime as OPC 10000-6, 5.4.2.6 writes it in JSON: the earliest is the
// beginning of the year 1, the latest the end of 9999.
func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// decimal reads the body of a Decimal (OPC 10000-6, 5.1.7): a scale of 16 bits, then a
// whole number in two's complement, both little-endian. It is the number over 10^scale.
func decimal(body []byte) (mes.Value, error) {
	const scaleSize, maxSize = 2, 64
	if len(body) < scaleSize || len(body) > scaleSize+maxSize {
		return mes.Value{}, fmt.Errorf("a Decimal of %d bytes can't be stored", len(body))
	}
	scale := int16(uint16(body[0]) | uint16(body[1])<<8)
	digits := make([]byte, 0, maxSize)
	for i := len(body) - 1; i >= scaleSize; i-- {
		digits = append(digits, body[i])
	}
	n := new(big.Int).SetBytes(digits)
	if len(digits) > 0 && digits[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(digits))))
	}
	return mes.Number(fmt.Sprintf("%se%d", n, -int(scale)))
}
