package vqt

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"
)

// FuzzOf feeds random DataValues. They are made here and not decoded from the bytes,
// since the library's decoder hangs on some and panics on others, see library_test.go.
func FuzzOf(f *testing.F) {
	for kind := range byte(32) {
		f.Add([]byte{kind, 0, 3, 2, 'a', 'b', 0xff, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1}, uint32(0x480), int64(1_795_000_000_000_000_000))
		f.Add([]byte{kind, 1, 3, kind, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}, uint32(0x80000000), int64(0))
	}
	f.Fuzz(func(t *testing.T, b []byte, status uint32, nanos int64) {
		dv := &ua.DataValue{Value: randomVariant(&b, 0), Status: ua.StatusCode(status)}
		if nanos != 0 {
			dv.SourceTimestamp = time.Unix(0, nanos)
		}
		dv.UpdateMask()
		q, err := Of(dv, nil)
		again, _ := Of(dv, nil)
		if !reflect.DeepEqual(q, again) {
			t.Fatalf("the same value is read as %+v and %+v", q, again)
		}
		if err != nil {
			if raw := Describe("ns=1;s=x", dv); !json.Valid(raw) {
				t.Fatalf("a fault with the payload %q", raw)
			}
			return
		}
		checkSignals(t, &q)
	})
}

// checkSignals wants what a record may bear.
func checkSignals(t *testing.T, q *VQT) {
	t.Helper()
	for _, form := range []Enum{EnumBoth, EnumNumber, EnumText} {
		signals, err := q.Signals("x", "", form)
		if err != nil {
			continue
		}
		if len(signals) == 0 || len(signals) > 1 && form == EnumNumber && !q.content.isObject() {
			t.Fatalf("%d signals of %+v", len(signals), q.content)
		}
		for _, s := range signals {
			if !json.Valid(s.Value.AppendJSON(nil)) {
				t.Fatalf("%s is no JSON: %s", s.Name, s.Value.AppendJSON(nil))
			}
		}
	}
}

// randomVariant makes a scalar or an array of any built-in type of the bytes.
func randomVariant(b *[]byte, depth int) *ua.Variant {
	kind, array, n := next(b), next(b)%3, int(next(b)%4)
	if array == 0 {
		return ua.MustVariant(randomScalar(b, kind, depth))
	}
	first := randomScalar(b, kind, depth)
	if first == nil {
		return ua.MustVariant(nil)
	}
	list := reflect.MakeSlice(reflect.SliceOf(reflect.TypeOf(first)), 0, n)
	for range n {
		list = reflect.Append(list, reflect.ValueOf(randomScalar(b, kind, depth)))
	}
	if _, isBytes := list.Interface().([]byte); isBytes {
		return ua.MustVariant(ua.ByteArray(list.Bytes()))
	}
	if array == 2 && n > 0 {
		rows := reflect.MakeSlice(reflect.SliceOf(list.Type()), 0, 2)
		list = reflect.Append(rows, list, list)
	}
	return ua.MustVariant(list.Interface())
}

func randomScalar(b *[]byte, kind byte, depth int) any {
	var raw [8]byte
	for i := range raw {
		raw[i] = next(b)
	}
	u := binary.BigEndian.Uint64(raw[:])
	numbers := []any{
		u&1 == 1, int8(u), uint8(u), int16(u), uint16(u), int32(u), uint32(u), int64(u), u,
		math.Float32frombits(uint32(u)), math.Float64frombits(u), time.Unix(0, int64(u)),
		ua.StatusCode(u), ua.NewNumericNodeID(uint16(u), uint32(u)),
	}
	if int(kind) < len(numbers) {
		return numbers[kind]
	}
	s := string(raw[:])
	switch int(kind) - len(numbers) {
	case 0:
		return s
	case 1:
		return ua.XMLElement(s)
	case 2:
		return raw[:]
	case 3:
		return &ua.GUID{Data1: uint32(u), Data4: raw[:u%9]}
	case 4:
		return &ua.QualifiedName{Name: s}
	case 5:
		return ua.NewLocalizedText(s)
	case 6:
		return []any{
			ua.NewExtensionObject(&ua.Range{High: math.Float64frombits(u)}),
			ua.NewExtensionObject(&ua.Argument{Name: s, ArrayDimensions: []uint32{uint32(u)}}),
			ua.NewExtensionObject(&ua.EUInformation{DisplayName: ua.NewLocalizedText(s)}),
			&ua.ExtensionObject{TypeID: ua.NewNumericExpandedNodeID(uint16(u>>8&1), uint32(u>>16&63)), EncodingMask: 1, Value: &Raw{Body: raw[:]}},
		}[u&3]
	case 7:
		return &ua.ExtensionObject{}
	case 8:
		return &ua.DataValue{Value: ua.MustVariant(s)}
	case 9:
		return (*ua.LocalizedText)(nil)
	case 10:
		if depth < 20 {
			return randomVariant(b, depth+1)
		}
	}
	return nil
}

// next takes a byte, 0 where none is left.
func next(b *[]byte) byte {
	if len(*b) == 0 {
		return 0
	}
	c := (*b)[0]
	*b = (*b)[1:]
	return c
}
