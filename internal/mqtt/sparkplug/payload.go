package sparkplug

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Payload is a message of org.eclipse.tahu.protobuf.Payload (6.4). Of its fields the
// ones that say something of metrics are read.
type Payload struct {
	// Timestamp is when the message was sent; zero if it does not say.
	Timestamp time.Time
	// Seq is the sequence number, 0 to 255; nil where there is none, as in NDEATH.
	Seq     *uint8
	Metrics []Metric

	uuid string
	body []byte
}

// Metric is one metric of a payload (6.4.8).
type Metric struct {
	// Name is "" where only the alias is given.
	Name string
	// Alias stands for the name that a birth gave it with; nil if there is none.
	Alias *uint64
	// Timestamp is when the value was captured; zero if the metric does not say.
	Timestamp time.Time
	// Type is Unknown where the metric does not say: a birth did.
	Type DataType
	// Null means that there is no value.
	Null bool
	// Unit is of the property engUnit, unit or units; "" if there is none.
	Unit string
	// Quality is of the property Quality (6.4.13); nil if there is none.
	Quality *int64

	multiPart bool
	value     scalar
}

// Decode reads a payload, a compressed one too. An error says why the bytes are none.
func Decode(b []byte) (Payload, error) {
	p, err := decode(b)
	if err != nil || p.uuid != compressed {
		return p, err
	}
	if b, err = p.decompress(); err != nil {
		return Payload{}, err
	}
	return decode(b)
}

func decode(b []byte) (Payload, error) {
	p := Payload{Metrics: make([]Metric, 0, min(countFields(b, 2), maxMetrics))}
	err := eachField(b, func(f field) error {
		switch f.number {
		case 1:
			return f.time(&p.Timestamp, "timestamp")
		case 2:
			if err := f.is(protowire.BytesType, "metrics"); err != nil {
				return err
			}
			if len(p.Metrics) == maxMetrics {
				return errTooMany
			}
			p.Metrics = append(p.Metrics, Metric{})
			if err := p.Metrics[len(p.Metrics)-1].decode(f.bytes); err != nil {
				return fmt.Errorf("metric %d: %w", len(p.Metrics), err)
			}
		case 3:
			var seq uint64
			if err := f.uint(&seq, "seq"); err != nil {
				return err
			}
			if seq > 255 {
				return fmt.Errorf("the sequence number %d is not from 0 to 255", seq)
			}
			s := uint8(seq)
			p.Seq = &s
		case 4:
			return f.text(&p.uuid, "uuid")
		case 5:
			p.body = f.bytes
			return f.is(protowire.BytesType, "body")
		}
		return nil
	})
	return p, err
}

// decode reads a metric into one that is zero.
func (m *Metric) decode(b []byte) error {
	return eachField(b, func(f field) error {
		switch f.number {
		case 1:
			return f.text(&m.Name, "name")
		case 2:
			var alias uint64
			m.Alias = &alias
			return f.uint(&alias, "alias")
		case 3:
			return f.time(&m.Timestamp, "timestamp")
		case 4:
			return f.uint((*uint64)(&m.Type), "datatype")
		case 7:
			return f.bool(&m.Null, "is_null")
		case 8:
			if err := f.is(protowire.BytesType, "metadata"); err != nil {
				return err
			}
			return m.readMetadata(f.bytes)
		case 9:
			if err := f.is(protowire.BytesType, "properties"); err != nil {
				return err
			}
			return m.readProperties(f.bytes)
		}
		if k := kind(f.number) - 9; f.number >= 10 && k <= extensionValue {
			return m.value.setKind(f, k)
		}
		return nil
	})
}

func (m *Metric) readMetadata(b []byte) error {
	return eachField(b, func(f field) error {
		if f.number == 1 {
			return f.bool(&m.multiPart, "is_multi_part")
		}
		return nil
	})
}

// readProperties takes the quality and the unit of a PropertySet: the n-th key is of the
// n-th value. Any other property is left alone.
func (m *Metric) readProperties(b []byte) error {
	var keys []string
	var values [][]byte
	err := eachField(b, func(f field) error {
		switch f.number {
		case 1:
			if keys = append(keys, ""); len(keys) > maxProperties {
				return errProperties
			}
			return f.text(&keys[len(keys)-1], "properties.keys")
		case 2:
			if values = append(values, f.bytes); len(values) > maxProperties {
				return errProperties
			}
			return f.is(protowire.BytesType, "properties.values")
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case len(keys) != len(values):
		return fmt.Errorf("there are %d keys of properties and %d values", len(keys), len(values))
	}
	for i, key := range keys {
		if err := m.readProperty(key, values[i]); err != nil {
			return fmt.Errorf("the property %q: %w", key, err)
		}
	}
	return nil
}

var errProperties = fmt.Errorf("a metric has at most %d properties", maxProperties)

func (m *Metric) readProperty(key string, b []byte) error {
	isUnit := key == "engUnit" || key == "unit" || key == "units"
	if !isUnit && key != "Quality" && key != "quality" {
		return nil
	}
	p, err := decodeTyped(b, 3)
	if err != nil || p.null {
		return err
	}
	switch {
	case isUnit && p.value.kind == stringValue:
		m.Unit = string(p.value.bytes)
	case !isUnit && (p.value.kind == intValue || p.value.kind == longValue):
		q := int64(p.value.bits)
		m.Quality = &q
	default:
		return fmt.Errorf("has the value in %s", kindNames[p.value.kind])
	}
	return nil
}

// typed is a property, or a parameter of a template.
type typed struct {
	name  string
	kind  DataType
	null  bool
	value scalar
}

// decodeTyped reads a PropertyValue, whose fields of values begin with the number first.
func decodeTyped(b []byte, first protowire.Number) (typed, error) {
	var t typed
	err := eachField(b, func(f field) error {
		if k := f.number - first + 1; k >= 1 && k <= protowire.Number(stringValue) {
			return t.value.setKind(f, kind(k))
		}
		switch f.number {
		case 1:
			return f.uint((*uint64)(&t.kind), "type")
		case 2:
			return f.bool(&t.null, "is_null")
		}
		return nil
	})
	return t, err
}

// maxMillis is the last millisecond of the year 9999, the latest that RFC 3339 writes.
const maxMillis = 253402300799999

// time reads milliseconds since 1970; 0 is no time.
func (f field) time(to *time.Time, name string) error {
	if err := f.is(protowire.VarintType, name); err != nil {
		return err
	}
	if f.bits > maxMillis {
		return fmt.Errorf("the field %s is beyond the year 9999", name)
	}
	if f.bits != 0 {
		*to = time.UnixMilli(int64(f.bits)).UTC()
	}
	return nil
}
