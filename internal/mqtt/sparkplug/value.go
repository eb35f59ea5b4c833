package sparkplug

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"plantgate/internal/mes"
)

// toValue converts a value by its type. Signed integers stand as two's complement in
// unsigned fields (6.4.16), widened or not: Tahu in Java widens an Int8 to 32 bits, that
// in Python does not.
func toValue(t DataType, s scalar) (mes.Value, error) {
	if width, signed := t.bits(); width != 0 {
		return integer(t, s, width, signed)
	}
	var want kind
	switch t {
	case Float:
		want = floatValue
	case Double:
		want = doubleValue
	case Boolean:
		want = booleanValue
	case String, Text, UUID:
		want = stringValue
	case DateTime:
		want = longValue
	case DataSet:
		want = dataSetValue
	case Bytes:
		want = bytesValue
	default:
		if t.element() == Unknown {
			return mes.Value{}, fmt.Errorf("a value of type %s can't be stored as a signal", t)
		}
		want = bytesValue
	}
	if s.kind != want {
		return mes.Value{}, fmt.Errorf("a value of type %s stands in %s, not in %s", t, kindNames[s.kind], kindNames[want])
	}
	switch want {
	case floatValue:
		return mes.Float(field{bits: s.bits}.float(), 32), nil
	case doubleValue:
		return mes.Float(field{bits: s.bits}.double(), 64), nil
	case booleanValue:
		return mes.Bool(s.bits != 0), nil
	case stringValue:
		return text(s.bytes)
	case longValue:
		return dateTime(s.bits)
	case dataSetValue:
		return dataSet(s.bytes)
	}
	if t == Bytes {
		if len(s.bytes) > maxText {
			return mes.Value{}, fmt.Errorf("a value of type Bytes has at most %d bytes, not %d", maxText, len(s.bytes))
		}
		return mes.String(base64.StdEncoding.EncodeToString(s.bytes)), nil
	}
	return array(t, s.bytes)
}

func text(b []byte) (mes.Value, error) {
	if len(b) > maxText {
		return mes.Value{}, fmt.Errorf("a text has at most %d bytes, not %d", maxText, len(b))
	}
	if !utf8.Valid(b) {
		return mes.Value{}, fmt.Errorf("the text is not UTF-8")
	}
	return mes.String(string(b)), nil
}

// dateTime reads milliseconds since 1970, which may be before it.
func dateTime(bits uint64) (mes.Value, error) {
	const minMillis = -62135596800000 // the year 1
	ms := int64(bits)
	if ms > maxMillis || ms < minMillis {
		return mes.Value{}, fmt.Errorf("the DateTime is not in the years 1 to 9999")
	}
	return mes.String(time.UnixMilli(ms).UTC().Format(time.RFC3339Nano)), nil
}

func integer(t DataType, s scalar, width uint, signed bool) (mes.Value, error) {
	if s.kind != intValue && s.kind != longValue {
		return mes.Value{}, fmt.Errorf("a value of type %s stands in %s, not in int_value or long_value", t, kindNames[s.kind])
	}
	bits := s.bits
	if s.kind == intValue && bits > math.MaxUint32 {
		// A negative number that a sender widened to the varint of an int32.
		if bits < 0xFFFFFFFF_80000000 {
			return mes.Value{}, fmt.Errorf("int_value has more than 32 bits")
		}
		bits &= math.MaxUint32
	}
	if !signed {
		if bits>>1>>(width-1) != 0 {
			return mes.Value{}, fmt.Errorf("%d is no %s", bits, t)
		}
		return mes.Uint(bits), nil
	}
	i := int64(bits<<(64-width)) >> (64 - width) // of the lowest bits
	if high := bits >> 1 >> (width - 1); high != 0 && uint64(i) != bits && uint64(uint32(i)) != bits {
		return mes.Value{}, fmt.Errorf("%d is no %s", int64(bits), t)
	}
	return mes.Int(i), nil
}

// array reads one of the array types: elements of fixed size in little-endian order,
// booleans as bits after their count, texts each with a zero byte after it (6.4.16).
func array(t DataType, b []byte) (mes.Value, error) {
	var elements []mes.Value
	var err error
	switch e := t.element(); e {
	case Boolean:
		elements, err = booleans(b)
	case String:
		elements, err = texts(b)
	default:
		elements, err = fixed(e, b)
	}
	if err != nil {
		return mes.Value{}, fmt.Errorf("a value of type %s: %w", t, err)
	}
	return arrayOf(elements)
}

// errValue is of a value that becomes longer than a text may be.
var errValue = fmt.Errorf("a value has at most %d bytes", maxText)

func arrayOf(elements []mes.Value) (mes.Value, error) {
	j := []byte{'['}
	for i, e := range elements {
		if i > 0 {
			j = append(j, ',')
		}
		if j = e.AppendJSON(j); len(j) > maxText {
			return mes.Value{}, errValue
		}
	}
	return mes.Array(string(append(j, ']'))), nil
}

var errElements = fmt.Errorf("an array has at most %d elements", maxElements)

func booleans(b []byte) ([]mes.Value, error) {
	if len(b) < 4 {
		return nil, fmt.Errorf("the count of elements is missing")
	}
	n := binary.LittleEndian.Uint32(b)
	b = b[4:]
	if n > maxElements {
		return nil, errElements
	}
	if uint64(len(b)) != (uint64(n)+7)/8 {
		return nil, fmt.Errorf("%d elements do not stand in %d bytes", n, len(b))
	}
	list := make([]mes.Value, n)
	for i := range list {
		list[i] = mes.Bool(b[i/8]&(0x80>>(i%8)) != 0)
	}
	return list, nil
}

func texts(b []byte) ([]mes.Value, error) {
	var list []mes.Value
	for len(b) > 0 {
		one, rest, ok := bytes.Cut(b, []byte{0})
		if !ok {
			return nil, fmt.Errorf("the zero byte after the last text is missing")
		}
		v, err := text(one)
		if err != nil {
			return nil, err
		}
		if list, b = append(list, v), rest; len(list) > maxElements {
			return nil, errElements
		}
	}
	return list, nil
}

func fixed(e DataType, b []byte) ([]mes.Value, error) {
	size := 8 // of Int64, UInt64, Double and DateTime
	if width, _ := e.bits(); width != 0 {
		size = int(width / 8)
	} else if e == Float {
		size = 4
	}
	if len(b)%size != 0 {
		return nil, fmt.Errorf("%d bytes are no elements of %d", len(b), size)
	}
	if len(b)/size > maxElements {
		return nil, errElements
	}
	k := longValue
	switch e {
	case Float:
		k = floatValue
	case Double:
		k = doubleValue
	}
	list := make([]mes.Value, 0, len(b)/size)
	for ; len(b) > 0; b = b[size:] {
		var whole [8]byte
		copy(whole[:], b[:size])
		v, err := toValue(e, scalar{kind: k, bits: binary.LittleEndian.Uint64(whole[:])})
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}
