package sparkplug

import (
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// field is one field of a protocol buffers message.
type field struct {
	number protowire.Number
	wire   protowire.Type
	// bits are of varints and of fixed fields, bytes of length-delimited ones.
	bits  uint64
	bytes []byte
}

// eachField calls fn for each field of a message in order. Fields that fn does not know
// it leaves alone: a later schema may have them.
func eachField(b []byte, fn func(f field) error) error {
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("no protocol buffers message: %w", protowire.ParseError(n))
		}
		b = b[n:]
		f := field{number: number, wire: wire}
		switch wire {
		case protowire.VarintType:
			f.bits, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			f.bits = uint64(v)
		case protowire.Fixed64Type:
			f.bits, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default: // groups, which the schema has none of
			n = protowire.ConsumeFieldValue(number, wire, b)
		}
		if n < 0 {
			return fmt.Errorf("no protocol buffers message: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}

// countFields counts the fields of a number in a message, as far as it is one.
func countFields(b []byte, number protowire.Number) (n int) {
	_ = eachField(b, func(f field) error {
		if f.number == number {
			n++
		}
		return nil
	})
	return n
}

// is tells an error where the field has another wire type than its schema says.
func (f field) is(wire protowire.Type, name string) error {
	if f.wire != wire {
		return fmt.Errorf("the field %s has the wire type %d, not %d", name, f.wire, wire)
	}
	return nil
}

func (f field) uint(to *uint64, name string) error {
	*to = f.bits
	return f.is(protowire.VarintType, name)
}

func (f field) bool(to *bool, name string) error {
	*to = f.bits != 0
	return f.is(protowire.VarintType, name)
}

func (f field) text(to *string, name string) error {
	if err := f.is(protowire.BytesType, name); err != nil {
		return err
	}
	if !utf8.Valid(f.bytes) {
		return fmt.Errorf("the field %s is not UTF-8", name)
	}
	*to = string(f.bytes)
	return nil
}

// uint32s appends repeated numbers, packed or not: not many more than maxElements.
func (f field) uint32s(to *[]uint64, name string) error {
	if f.wire == protowire.VarintType {
		if len(*to) <= maxElements {
			*to = append(*to, f.bits)
		}
		return nil
	}
	if err := f.is(protowire.BytesType, name); err != nil {
		return err
	}
	for b := f.bytes; len(b) > 0 && len(*to) <= maxElements; {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return fmt.Errorf("the field %s: %w", name, protowire.ParseError(n))
		}
		*to = append(*to, v)
		b = b[n:]
	}
	return nil
}

// float reads the bits of a float field.
func (f field) float() float64 { return float64(math.Float32frombits(uint32(f.bits))) }

// double reads those of a double field.
func (f field) double() float64 { return math.Float64frombits(f.bits) }
