package vqt

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/gopcua/opcua/ua"
	"pgregory.net/rapid"

	"plantgate/internal/mes"
)

// made is a value that a test made: its bytes on the wire, and what they mean.
type made struct {
	wire []byte
	json any
}

// makeScalar draws a value of a built-in type. The bytes are written here, by
// OPC 10000-6, 5.2.2, not by the library.
func makeScalar(t *rapid.T, b ua.TypeID) made {
	le := binary.LittleEndian
	whole := func(size int, signed bool) made {
		n := rapid.Uint64().Draw(t, "n")
		raw := le.AppendUint64(nil, n)[:size]
		if shift := 64 - 8*size; signed {
			return made{raw, json.Number(fmt.Sprint(int64(n<<shift) >> shift))}
		}
		return made{raw, json.Number(fmt.Sprint(n << (64 - 8*size) >> (64 - 8*size)))}
	}
	sized := func(s string) []byte {
		if s == "" && rapid.Bool().Draw(t, "null") {
			return []byte{255, 255, 255, 255}
		}
		return append(le.AppendUint32(nil, uint32(len(s))), s...)
	}
	switch b {
	case ua.TypeIDBoolean:
		v := rapid.Bool().Draw(t, "b")
		if v {
			return made{[]byte{1}, true}
		}
		return made{[]byte{0}, false}
	case ua.TypeIDSByte:
		return whole(1, true)
	case ua.TypeIDByte:
		return whole(1, false)
	case ua.TypeIDInt16:
		return whole(2, true)
	case ua.TypeIDUint16:
		return whole(2, false)
	case ua.TypeIDInt32:
		return whole(4, true)
	case ua.TypeIDUint32, ua.TypeIDStatusCode:
		return whole(4, false)
	case ua.TypeIDInt64:
		return whole(8, true)
	case ua.TypeIDUint64:
		return whole(8, false)
	case ua.TypeIDDouble:
		f := rapid.Float64().Draw(t, "f")
		text := any(json.Number(mes.Float(f, 64).Text()))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			text = mes.Float(f, 64).Text()
		}
		return made{le.AppendUint64(nil, math.Float64bits(f)), text}
	case ua.TypeIDString:
		s := rapid.String().Draw(t, "s")
		return made{sized(s), s}
	case ua.TypeIDByteString:
		s := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		return made{sized(string(s)), base64.StdEncoding.EncodeToString(s)}
	case ua.TypeIDDateTime:
		ticks := rapid.Uint64Range(1, maxTicks).Draw(t, "ticks")
		return made{le.AppendUint64(nil, ticks), timeText(ticksTime(ticks))}
	case ua.TypeIDLocalizedText:
		s := rapid.String().Draw(t, "s")
		return made{append([]byte{3}, append(sized("de"), sized(s)...)...), s}
	case ua.TypeIDQualifiedName:
		s := rapid.String().Draw(t, "s")
		return made{append([]byte{2, 0}, sized(s)...), "2:" + s}
	case ua.TypeIDNodeID:
		n := rapid.Uint16().Draw(t, "id")
		return made{append([]byte{1, 7}, le.AppendUint16(nil, n)...), fmt.Sprintf("ns=7;i=%d", n)}
	default:
		t.Fatalf("no values of %d", b)
		return made{}
	}
}

var scalarTypes = []ua.TypeID{
	ua.TypeIDBoolean, ua.TypeIDSByte, ua.TypeIDByte, ua.TypeIDInt16, ua.TypeIDUint16, ua.TypeIDInt32, ua.TypeIDUint32,
	ua.TypeIDInt64, ua.TypeIDUint64, ua.TypeIDDouble, ua.TypeIDString, ua.TypeIDByteString, ua.TypeIDDateTime,
	ua.TypeIDLocalizedText, ua.TypeIDQualifiedName, ua.TypeIDNodeID, ua.TypeIDStatusCode,
}

// makeType draws a data type.
func makeType(t *rapid.T, depth int) *Type {
	choice := rapid.IntRange(0, 3).Draw(t, "kind")
	if depth > 2 || choice < 2 {
		return builtinType(rapid.SampledFrom(scalarTypes).Draw(t, "builtin"))
	}
	s := &Type{name: "S", kind: kindStructure, optional: rapid.Bool().Draw(t, "optional")}
	if choice == 3 {
		s.kind, s.optional = kindUnion, false
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "fields") {
		s.fields = append(s.fields, field{
			name: fmt.Sprintf("F%d", i), of: makeType(t, depth+1),
			rank: rapid.SampledFrom([]int32{-1, -1, 1, 2}).Draw(t, "rank"), optional: rapid.Bool().Draw(t, "may be absent"),
		})
	}
	return s
}

func makeValue(t *rapid.T, of *Type) made {
	le := binary.LittleEndian
	if !of.isStructure() {
		return makeScalar(t, of.builtin)
	}
	all := made{json: map[string]any{}}
	members := all.json.(map[string]any)
	if of.kind == kindUnion {
		chosen := rapid.IntRange(0, len(of.fields)).Draw(t, "chosen")
		all.wire = le.AppendUint32(nil, uint32(chosen))
		if chosen > 0 {
			f := makeField(t, &of.fields[chosen-1])
			all.wire = append(all.wire, f.wire...)
			members[of.fields[chosen-1].name] = f.json
		}
		return all
	}
	mask, bit, body := uint32(0), 0, []byte(nil)
	for i := range of.fields {
		if of.optional && of.fields[i].optional {
			bit++
			if rapid.Bool().Draw(t, "absent") {
				continue
			}
			mask |= 1 << (bit - 1)
		}
		f := makeField(t, &of.fields[i])
		body = append(body, f.wire...)
		members[of.fields[i].name] = f.json
	}
	if of.optional {
		all.wire = le.AppendUint32(nil, mask)
	}
	all.wire = append(all.wire, body...)
	return all
}

func makeField(t *rapid.T, f *field) made {
	le := binary.LittleEndian
	switch f.rank {
	case -1:
		return makeValue(t, f.of)
	case 1:
		n := rapid.IntRange(0, 3).Draw(t, "n")
		all, list := made{wire: le.AppendUint32(nil, uint32(n))}, []any{}
		for range n {
			one := makeValue(t, f.of)
			all.wire, list = append(all.wire, one.wire...), append(list, one.json)
		}
		all.json = list
		return all
	default:
		rows, columns := rapid.IntRange(1, 3).Draw(t, "rows"), rapid.IntRange(0, 3).Draw(t, "columns")
		all, list := made{wire: []byte{2, 0, 0, 0, byte(rows), 0, 0, 0, byte(columns), 0, 0, 0}}, []any{}
		for range rows {
			row := []any{}
			for range columns {
				one := makeValue(t, f.of)
				all.wire, row = append(all.wire, one.wire...), append(row, one.json)
			}
			list = append(list, row)
		}
		all.json = list
		return all
	}
}

// TestStructuresAreReadByTheirDefinition makes random definitions and values of them; what
// is read is what was written, and the signals are those that the definition names.
func TestStructuresAreReadByTheirDefinition(t *testing.T) {
	t.Parallel()
	encoding := ua.NewNumericNodeID(3, 5001)
	rapid.Check(t, func(t *rapid.T) {
		of := makeType(t, 0)
		if !of.isStructure() {
			of = &Type{name: "S", kind: kindStructure, fields: []field{{name: "F0", of: of, rank: -1}}}
		}
		types := NewTypes()
		types.byEncoding[encoding.String()] = of
		known := &Variable{types: types, of: of, scalar: true}
		value := makeValue(t, of)
		q, err := Of(structureValue(encoding, value.wire), known)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := json.Marshal(value.json)
		if got := q.String(); canonical(t, got) != canonical(t, string(want)) {
			t.Fatalf("read  %s\nmade  %s\nbytes %x", got, want, value.wire)
		}
		signals, err := q.Signals("x", "", EnumBoth)
		if err != nil {
			t.Fatal(err)
		}
		// A bad value has the same signals, all of them null.
		bad := structureValue(encoding, value.wire)
		bad.Status = ua.StatusBadSensorFailure
		bad.UpdateMask()
		none, _ := Of(bad, known)
		nulls, _ := none.Signals("x", "", EnumBoth)
		if len(nulls) != len(signals) {
			t.Fatalf("%d signals, and %d of a bad value", len(signals), len(nulls))
		}
		for i := range nulls {
			if nulls[i].Name != signals[i].Name || !nulls[i].Value.IsNull() {
				t.Fatalf("a bad value has the signal %+v beside %+v", nulls[i], signals[i])
			}
		}
		// Of less or more bytes nothing is made up.
		for _, wrong := range [][]byte{append(value.wire, 0), value.wire[:max(len(value.wire)-1, 0)]} {
			if len(wrong) == len(value.wire) {
				continue
			}
			if q, err := Of(structureValue(encoding, wrong), known); err == nil {
				t.Fatalf("%x is read as %s", wrong, q.String())
			}
		}
	})
}

func structureValue(encoding *ua.NodeID, body []byte) *ua.DataValue {
	return dataValue(&ua.ExtensionObject{
		EncodingMask: ua.ExtensionObjectBinary, TypeID: &ua.ExpandedNodeID{NodeID: encoding}, Value: &Raw{Body: body},
	})
}

// canonical is JSON with sorted members and numbers as they stand.
func canonical(t interface{ Fatal(...any) }, text string) string {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err, text)
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// FuzzStructure reads random bytes by random definitions: within bounds, and the same
// each time.
func FuzzStructure(f *testing.F) {
	f.Add([]byte{9, 2, 1, 4, 4, 0, 3, 12, 1, 2, 24, 1, 1, 22, 0}, []byte{1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0})
	f.Add([]byte{8, 24, 0, 23, 0, 22, 0}, []byte{0xC6, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0})
	f.Add([]byte{8, 31, 2}, []byte{3, 0, 0, 0, 255, 255, 255, 127, 255, 255, 255, 127, 0, 0, 0, 0})
	f.Add([]byte{8, 22, 0}, []byte{1, 0, 0x76, 3, 1, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f})
	encoding := ua.NewNumericNodeID(3, 5001)
	f.Fuzz(func(t *testing.T, definition, body []byte) {
		types := NewTypes()
		of := randomType(&definition, 0)
		types.byEncoding[encoding.String()] = of
		known := &Variable{types: types, of: of, scalar: true}
		dv := structureValue(encoding, body)
		q, err := Of(dv, known)
		again, _ := Of(dv, known)
		if !reflect.DeepEqual(q, again) {
			t.Fatal("the same bytes are read as different values")
		}
		if err != nil {
			if !json.Valid(Describe("x", dv)) {
				t.Fatal("a fault without a payload")
			}
			return
		}
		checkSignals(t, &q)
	})
}

// randomType makes a structure of bytes. It may contain itself.
func randomType(b *[]byte, depth int) *Type {
	first := next(b)
	of := &Type{name: "S", kind: kindStructure, optional: first&1 == 1}
	if first&2 != 0 {
		of.kind, of.optional = kindUnion, false
	}
	for i := range min(int(first>>2), 6) {
		kind, rank := next(b), next(b)
		f := field{name: fmt.Sprintf("F%d", i), rank: int32(rank%5) - 1, optional: rank&8 != 0, subtypes: rank&16 != 0}
		if f.rank == 0 {
			f.rank = -1
		}
		switch kind %= 32; {
		case kind == 31:
			f.of = of
		case kind == 30 && depth < 4:
			f.of = randomType(b, depth+1)
		case kind == 29:
			f.of = &Type{kind: kindEnum, builtin: ua.TypeIDInt32, texts: map[int64]string{0: "A", 1: "B"}}
		case kind == 28:
			f.of = &Type{kind: kindOptionSet, builtin: ua.TypeIDByte, texts: map[int64]string{0: "A", 7: "B"}}
		default:
			f.of = builtinType(ua.TypeID(kind%25 + 1))
		}
		of.fields = append(of.fields, f)
	}
	return of
}

// TestImpossibleSizes: a few bytes can't mean endless work or memory.
func TestImpossibleSizes(t *testing.T) {
	t.Parallel()
	empty := &Type{name: "Empty", kind: kindStructure}
	endless := &Type{name: "Endless", kind: kindStructure}
	endless.fields = []field{{name: "Self", of: endless, rank: -1}}
	wide := &Type{name: "Wide", kind: kindStructure}
	wide.fields = []field{{name: "A", of: wide, rank: 1}, {name: "B", of: wide, rank: 1}}
	huge := []byte{255, 255, 255, 127}
	cases := map[string]struct {
		of   field
		body []byte
	}{
		"elements of nothing":      {field{of: empty, rank: 1}, huge},
		"rows of nothing":          {field{of: empty, rank: 2}, append([]byte{2, 0, 0, 0}, append(huge, huge...)...)},
		"elements that are absent": {field{of: builtinType(ua.TypeIDInt32), rank: 1}, huge},
		"a product that overflows": {field{of: builtinType(ua.TypeIDInt32), rank: 2}, []byte{2, 0, 0, 0, 3, 0, 0, 0, 0x56, 0x55, 0x55, 0x55, 1, 0, 0, 0, 1, 0, 0, 0}},
		"a negative dimension":     {field{of: builtinType(ua.TypeIDInt32), rank: 2}, []byte{2, 0, 0, 0, 255, 255, 255, 255, 1, 0, 0, 0}},
		"a type in itself":         {field{of: endless, rank: -1}, []byte{}},
		"a text longer than all":   {field{of: builtinType(ua.TypeIDString), rank: -1}, huge},
		"a negative text":          {field{of: builtinType(ua.TypeIDString), rank: -1}, []byte{254, 255, 255, 255}},
		"a deep Variant":           {field{of: builtinType(ua.TypeIDVariant), rank: -1}, []byte(strings.Repeat("\x98\x01\x00\x00\x00", 1000))},
		"dimensions in a Variant":  {field{of: builtinType(ua.TypeIDVariant), rank: -1}, []byte{0xC6, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0x56, 0x55, 0x55, 0x55}},
		"too few elements":         {field{of: builtinType(ua.TypeIDVariant), rank: -1}, []byte{0xC6, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0}},
		"too many elements":        {field{of: builtinType(ua.TypeIDVariant), rank: -1}, []byte{0xC3, 3, 0, 0, 0, 1, 2, 3, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0}},
		"dimensions without end":   {field{of: builtinType(ua.TypeIDVariant), rank: -1}, append([]byte{0xC6, 0, 0, 0, 0}, huge...)},
		"dimensions of nothing":    {field{of: builtinType(ua.TypeIDVariant), rank: -1}, []byte{0xC6, 0, 0, 0, 0, 3, 0, 0, 0, 255, 255, 255, 127, 255, 255, 255, 127, 0, 0, 0, 0}},
		"a deep structure":         {field{of: builtinType(ua.TypeIDExtensionObject), rank: -1}, []byte{1, 3, 0x89, 0x13, 1, 255, 0, 0, 0}},
	}
	encoding := ua.NewNumericNodeID(3, 5001)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			types := NewTypes()
			tc.of.name = "F"
			types.byEncoding[encoding.String()] = &Type{name: "S", kind: kindStructure, fields: []field{tc.of}}
			q, err := Of(structureValue(encoding, tc.body), types.Variable(encoding))
			if err == nil || tc.of.of == endless && !strings.Contains(err.Error(), "nested deeper") {
				t.Errorf("it is read as %.200s: %v", q.String(), err)
			}
		})
	}
}

// TestAbsentMembersCostLittle: many unions of which a wide member is absent are a few bytes
// each, and must not become thousands of nulls each.
func TestAbsentMembersCostLittle(t *testing.T) {
	wide := &Type{name: "Wide", kind: kindStructure}
	for i := range 4000 {
		wide.fields = append(wide.fields, field{name: fmt.Sprintf("F%d", i), of: builtinType(ua.TypeIDByte), rank: -1})
	}
	union := &Type{name: "U", kind: kindUnion, fields: []field{{name: "Wide", of: wide, rank: -1}}}
	encoding := ua.NewNumericNodeID(3, 5001)
	types := NewTypes()
	types.byEncoding[encoding.String()] = &Type{name: "S", kind: kindStructure, fields: []field{{name: "All", of: union, rank: 1}}}
	const unions = 300
	dv := structureValue(encoding, append(binary.LittleEndian.AppendUint32(nil, unions), make([]byte, 4*unions)...))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	q, err := Of(dv, types.Variable(encoding))
	runtime.ReadMemStats(&after)
	if err != nil || strings.Count(q.String(), "{}") != unions {
		t.Fatalf("%.200s, %v", q.String(), err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 10<<20 {
		t.Errorf("%d unions took %d bytes", unions, took)
	}
}

// TestStandardStructures: what the library decodes and what is decoded here by the types
// of its Go structs is the same; names are those of the standard.
func TestStandardStructures(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]any{
		`{"Low":-1.5,"High":"NaN"}`: &ua.Range{Low: -1.5, High: math.NaN()},
		`{"Name":"a","DataType":"i=11","ValueRank":-1,"ArrayDimensions":[3],"Description":"d"}`: &ua.Argument{
			Name: "a", DataType: ua.NewTwoByteNodeID(11), ValueRank: -1, ArrayDimensions: []uint32{3}, Description: ua.NewLocalizedText("d")},
		`{"NamespaceUri":"u","UnitId":4408652,"DisplayName":"°C","Description":"degree"}`: &ua.EUInformation{
			NamespaceURI: "u", UnitID: 4408652, DisplayName: ua.NewLocalizedText("°C"), Description: ua.NewLocalizedText("degree")},
		`{"Real":1,"Imaginary":-2}`: &ua.ComplexNumberType{Real: 1, Imaginary: -2},
	} {
		x := ua.NewExtensionObject(s)
		q, err := Of(dataValue(x), nil)
		if err != nil {
			t.Errorf("%T: %v", s, err)
			continue
		}
		if got := q.String(); canonical(t, got) != canonical(t, want) {
			t.Errorf("%s, want %s", got, want)
		}
		body, err := ua.Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		c := converter{left: maxValues}
		here, err := c.body(x.TypeID.NodeID, body, 0)
		if err != nil || string(here.appendJSON(nil)) != q.String() {
			t.Errorf("decoded here it is %s: %v", here.appendJSON(nil), err)
		}
	}
}

// TestEveryEncodingOfTheStandard can be asked for without harm.
func TestEveryEncodingOfTheStandard(t *testing.T) {
	t.Parallel()
	known := 0
	for i := range uint32(1 << 15) {
		if libraryType(ua.NewNumericNodeID(0, i)) != nil {
			known++
		}
	}
	if known < 200 {
		t.Errorf("the library knows %d structures of the standard", known)
	}
}

func TestUnknownTypeIsNamed(t *testing.T) {
	t.Parallel()
	_, err := Of(structureValue(ua.NewNumericNodeID(3, 77), []byte{1}), nil)
	var unknown *UnknownTypeError
	if !errors.As(err, &unknown) || unknown.Lost || !strings.Contains(err.Error(), "ns=3;i=77") {
		t.Errorf("%v", err)
	}
}
