package alarm

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

// FuzzEvent: no notification can break the translation; what comes is a valid record, or one
// for quarantine, and always the same. The fields are made here and not decoded from the
// bytes, since the library's decoder panics at some, see library_test.go of vqt.
func FuzzEvent(f *testing.F) {
	for kind := range byte(18) {
		f.Add(bytes.Repeat([]byte{kind, 3, 'a', 0xff, 'c'}, int(allFields)), byte(0))
		f.Add(bytes.Repeat([]byte{kind, 0}, int(allFields)), byte(1))
	}
	f.Add([]byte{}, byte(2))
	// An alarm as a server sends it, with a text, a node id or a severity of another kind.
	for odd, b := range map[place][]byte{comment: {4, 1, 0xff}, conditionID: {8, 1, 1, 0xff}, severity: {3, 200, 60}, quality: {12, 0x80}} {
		var seed []byte
		for p := range allFields {
			if p == odd {
				seed = append(seed, b...)
			} else {
				seed = append(seed, asTold)
			}
		}
		f.Add(seed, byte(0))
	}
	f.Fuzz(func(t *testing.T, b []byte, count byte) {
		values := randomFields(b, count)
		table := NewTable()
		table.Begin(0)
		e, err := Parse(values)
		_ = e.Kind()
		c := context1()
		if err != nil {
			r := e.Faulty(c, values, err)
			if r.Fault == nil || !json.Valid(r.Payload) {
				t.Fatalf("quarantine gets %q", r.Payload)
			}
			return
		}
		table.Told(0, e, c)
		table.Present()
		r := e.Record(c)
		r.Identify(mes.ID{})
		if fault := r.Validate(); fault != nil {
			t.Fatalf("%v is not valid: %v", r, fault)
		}
		for _, signal := range r.Signals {
			if !utf8.ValidString(signal.Value.Text()) {
				t.Fatalf("%s is no UTF-8: %q", signal.Name, signal.Value.Text())
			}
		}
		again, _ := Parse(values)
		other := again.Record(c)
		other.Identify(mes.ID{})
		if !e.Time.IsZero() && other.ID != r.ID {
			t.Fatal("the same event has another identity")
		}
	})
}

// asTold is the byte for a field of told().
const asTold = 19

// randomFields makes the fields of an event, by default as many as were asked for.
func randomFields(b []byte, count byte) []*ua.Variant {
	take := func() byte {
		if len(b) == 0 {
			return 0
		}
		first := b[0]
		b = b[1:]
		return first
	}
	text := func() string {
		n := min(int(take()), len(b))
		s := string(b[:n])
		b = b[n:]
		return s
	}
	kinds := []func() any{
		func() any { return take()%2 == 1 },
		func() any { return uint16(take()) << (take() % 16) },
		func() any { return int32(int8(take())) },
		func() any { return uint64(take()) << (take() % 64) },
		func() any { return text() },
		func() any { return []byte(text()) },
		func() any { return ua.NewLocalizedText(text()) },
		func() any { return (*ua.LocalizedText)(nil) },
		func() any { return ua.NewStringNodeID(uint16(take()), text()) },
		func() any { return ua.NewNumericNodeID(uint16(take()%2), uint32(take())<<(take()%32)) },
		func() any { return ua.NewTwoByteNodeID(take()) },
		func() any { return time.Unix(int64(int8(take()))<<(take()%36), int64(take())) },
		func() any { return ua.StatusCode(uint32(take()) << 24) },
		func() any { return &ua.QualifiedName{NamespaceIndex: uint16(take()), Name: text()} },
		func() any { return ua.NewExtensionObject(&ua.Argument{Name: text()}) },
		func() any { return []string{text(), text()} },
		func() any { return math.NaN() },
	}
	counts := []int{int(allFields), int(baseFields)}
	n := int(count)
	if n < len(counts) {
		n = counts[n]
	}
	fitting := told()
	values := make([]*ua.Variant, min(n, 2*int(allFields)))
	for i := range values {
		switch k := int(take()) % (asTold + 1); k {
		case asTold:
			if i < len(fitting) {
				values[i] = fitting[i]
			}
		case len(kinds):
		case len(kinds) + 1:
			values[i] = &ua.Variant{}
		default:
			if v, err := ua.NewVariant(kinds[k]()); err == nil {
				values[i] = v
			}
		}
	}
	return values
}
