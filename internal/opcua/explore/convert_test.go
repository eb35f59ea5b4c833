package explore

import (
	"reflect"
	"strings"
	"testing"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

// typeNamed is a variable's type by its name: Int32, Double[][].
func typeNamed(t testing.TB, name string) Type {
	t.Helper()
	element, dims, _ := strings.Cut(name, "[")
	b, ok := builtInNamed(element)
	if !ok {
		t.Fatalf("no type %s", element)
	}
	ty := Type{Name: b.name, BuiltIn: b.id, Rank: rankScalar, namespaces: []string{"http://opcfoundation.org/UA/", "urn:a", "urn:b"}}
	if n := strings.Count("["+dims, "[]"); n > 0 {
		ty.Rank = int32(n)
	}
	return ty
}

func TestFromJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind, text string
		want       any
	}{
		{"Boolean", "true", true},
		{"SByte", "-128", int8(-128)},
		{"Byte", "255", uint8(255)},
		{"Int16", "-3.2768e4", int16(-32768)},
		{"UInt16", "65535.0", uint16(65535)},
		{"Int32", "-2147483648", int32(-2147483648)},
		{"UInt32", "4294967295", uint32(4294967295)},
		{"Int64", "-9223372036854775808", int64(-9223372036854775808)},
		{"Int64", `"9223372036854775807"`, int64(9223372036854775807)},
		{"UInt64", "18446744073709551615", uint64(18446744073709551615)},
		{"Float", "0.1", float32(0.1)},
		{"Double", "1e300", 1e300},
		{"String", `"Grüße"`, "Grüße"},
		{"ByteString", `"AAH+"`, []byte{0, 1, 254}},
		{"XmlElement", `"<a/>"`, ua.XMLElement("<a/>")},
		{"StatusCode", "2147483648", ua.StatusBad},
		{"QualifiedName", `"2:Name:x"`, &ua.QualifiedName{NamespaceIndex: 2, Name: "Name:x"}},
		{"QualifiedName", `"Name:x"`, &ua.QualifiedName{Name: "Name:x"}},
		{"LocalizedText", `"Ofen"`, &ua.LocalizedText{EncodingMask: ua.LocalizedTextText, Text: "Ofen"}},
		{"LocalizedText", `{"locale":"de","text":"Ofen"}`, &ua.LocalizedText{EncodingMask: ua.LocalizedTextText | ua.LocalizedTextLocale, Locale: "de", Text: "Ofen"}},
		{"NodeId", `"nsu=urn:b;s=x"`, ua.NewStringNodeID(2, "x")},
		{"Int32[]", "[1,-2,3]", []int32{1, -2, 3}},
		{"Int32[]", "[]", []int32{}},
		{"Byte[]", "[0,255]", ua.ByteArray{0, 255}},
		{"Byte[][]", "[[0],[255]]", []ua.ByteArray{{0}, {255}}},
		{"Double[][]", "[[1,2],[3,4.5]]", [][]float64{{1, 2}, {3, 4.5}}},
		{"String[][][]", `[[["a"]],[["b"]]]`, [][][]string{{{"a"}}, {{"b"}}}},
	} {
		v, err := typeNamed(t, c.kind).FromJSON([]byte(c.text))
		if err != nil {
			t.Errorf("%s of %s: %v", c.kind, c.text, err)
			continue
		}
		if !reflect.DeepEqual(v.Value(), c.want) {
			t.Errorf("%s of %s is %#v, want %#v", c.kind, c.text, v.Value(), c.want)
		}
		if _, err := v.Encode(); err != nil {
			t.Errorf("%s of %s: %v", c.kind, c.text, err)
		}
	}
	for text, nan := range map[string]bool{`"NaN"`: true, `"-Infinity"`: false} {
		v, err := typeNamed(t, "Double").FromJSON([]byte(text))
		if f, ok := v.Value().(float64); err != nil || !ok || (f != f) != nan {
			t.Errorf("%s is %v, %v", text, v.Value(), err)
		}
	}
}

// What does not fit says what was expected and what was found.
func TestFromJSONRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ kind, text, want string }{
		{"Int32", "2147483648", "expected Int32, a whole number from -2147483648 to 2147483647, not 2147483648"},
		{"Int32", "1.5", "not 1.5"},
		{"Int32", `"29"`, `not "29"`},
		{"Int32", "null", "not null"},
		{"Int32", "[1]", "expected a scalar Int32, not an array"},
		{"Int32", "{}", "not an object"},
		{"Int32", "", "not JSON"},
		{"Int32", "1 2", "after the value"},
		{"Int64", "9223372036854775808", "a whole number from -9223372036854775808 to 9223372036854775807"},
		{"UInt64", "-1", "from 0 to 18446744073709551615"},
		{"Byte", "256", "from 0 to 255"},
		{"Boolean", "1", "expected Boolean, true or false, not 1"},
		{"Float", "1e39", "expected Float, a number of at most 3.4e38"},
		{"Double", "1e309", "expected Double"},
		{"Double", `"nan"`, `"NaN"`},
		{"DateTime", `"2026-11-22T10:15:00"`, "a time such as"},
		{"DateTime", `"1600-01-01T00:00:00Z"`, "1601 to 9999"},
		{"Guid", `"72962B91"`, "a text such as 72962B91-"},
		{"ByteString", `"$"`, "base64"},
		{"ByteString[]", `["AA=="]`, "the client library does not encode them"},
		{"NodeId", `"x"`, "a node id such as"},
		{"NodeId", `"nsu=urn:gone;s=x"`, "the server has no namespace urn:gone"},
		{"LocalizedText", `{"lang":"de"}`, "a text, or"},
		{"String", "\"\xff\"", "not UTF-8"},
		{"Int32[]", "1", "expected an array of Int32, not a scalar"},
		{"Int32[]", "[[1]]", "not an array of 2 dimensions"},
		{"Int32[]", `[1,"x"]`, "element [1]: expected Int32"},
		{"Double[][]", "[[1,2],[3]]", "element [1] has another length"},
		{"Double[][]", "[[1,2],3]", "element [1] is no array"},
		{"Double[][][]", "[[[1]],[2]]", "is no array"},
		{"Double[][]", "[[]]", "must not be empty"},
		{"Int32[]", strings.Repeat("[", 30) + strings.Repeat("]", 30), "at most 8 dimensions"},
	} {
		v, err := typeNamed(t, c.kind).FromJSON([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of %q is %v, %v; want %q", c.kind, c.text, v, err, c.want)
		}
	}
	limited := typeNamed(t, "Int32[]")
	limited.Dimensions = []uint32{2}
	if _, err := limited.FromJSON([]byte("[1,2,3]")); err == nil || !strings.Contains(err.Error(), "at most 2 elements, not 3") {
		t.Errorf("too long: %v", err)
	}
	structure := Type{Name: "Point", Unwritable: "it is a structure", Rank: rankScalar}
	if _, err := structure.FromJSON([]byte("{}")); err == nil || !strings.Contains(err.Error(), "it is a structure") {
		t.Errorf("a structure: %v", err)
	}
	number := Type{Name: "Number", Choices: []ua.TypeID{ua.TypeIDInt16, ua.TypeIDDouble}, Rank: rankScalar}
	if _, err := number.FromJSON([]byte("1")); err == nil || !strings.Contains(err.Error(), "Int16, Double") {
		t.Errorf("an abstract type: %v", err)
	}
}

func TestFromText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind, text string
		want       any
	}{
		{"Int32", " -5 ", int32(-5)},
		{"Boolean", "true", true},
		{"Double", "NaN", "NaN"},
		{"String", "29", "29"},
		{"String", "[a]", "[a]"},
		{"String", `"quoted"`, `"quoted"`},
		{"Int32[]", "[1,2]", []int32{1, 2}},
		{"LocalizedText", "Ofen", &ua.LocalizedText{EncodingMask: ua.LocalizedTextText, Text: "Ofen"}},
		{"Guid", "72962B91-FA75-4AE6-8D28-B404DC7DAF63", ua.NewGUID("72962B91-FA75-4AE6-8D28-B404DC7DAF63")},
	} {
		v, err := typeNamed(t, c.kind).FromText(c.text)
		if c.want == "NaN" {
			if f, ok := v.Value().(float64); err != nil || !ok || f == f {
				t.Errorf("NaN is %v, %v", v, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(v.Value(), c.want) {
			t.Errorf("%s of %q is %v, %v", c.kind, c.text, v, err)
		}
	}
	for kind, text := range map[string]string{"Int32": "0x10", "Double": "1_000", "Boolean": "yes", "Int32[]": "1,2"} {
		if v, err := typeNamed(t, kind).FromText(text); err == nil {
			t.Errorf("%s of %q is %v", kind, text, v.Value())
		}
	}
}

func TestEnumerations(t *testing.T) {
	t.Parallel()
	mode := Type{Name: "ModeType", BuiltIn: ua.TypeIDInt32, Rank: rankScalar, Enum: []EnumValue{{0, "Off"}, {1, "On"}, {7, "on"}}}
	for text, want := range map[string]int32{`"Off"`: 0, `"off"`: 0, `"On"`: 1, `"on"`: 7, "7": 7} {
		v, err := mode.FromJSON([]byte(text))
		if err != nil || v.Value() != want {
			t.Errorf("%s is %v, %v", text, v, err)
		}
	}
	for _, text := range []string{`"ON"`, `"Auto"`, "2", "true", "1.5"} {
		if v, err := mode.FromJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), "one of Off (0), On (1), on (7)") {
			t.Errorf("%s is %v, %v", text, v, err)
		}
	}
}

// FuzzFromJSON: no input breaks the conversion; what it takes goes over the wire and comes
// back as the same JSON.
func FuzzFromJSON(f *testing.F) {
	for i, text := range []string{"1", "-1.5e3", `"x"`, "[1,[2]]", "[[1,2],[3,4]]", "null", `{"text":"a"}`, `"NaN"`, "[[[1]],[2]]", `"2026-11-22T10:15:00.1234567Z"`, `"nsu=urn:a;s=x"`} {
		f.Add([]byte(text), uint8(i), int8(i%4-1))
	}
	all := builtIns()
	f.Fuzz(func(t *testing.T, text []byte, kind uint8, rank int8) {
		b := all[int(kind)%len(all)]
		ty := Type{Name: b.name, BuiltIn: b.id, Rank: int32(rank), namespaces: []string{"", "urn:a"}}
		if _, err := ty.FromText(string(text)); err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
		v, err := ty.FromJSON(text)
		if err != nil {
			return
		}
		wire, err := v.Encode()
		if err != nil {
			t.Fatalf("%s of %q is not encoded: %v", b.name, text, err)
		}
		back := &ua.Variant{}
		if _, err := back.Decode(wire); err != nil {
			t.Fatalf("%s of %q is not decoded: %v", b.name, text, err)
		}
		first, err := valueOf(v)
		if err != nil {
			return // such as a text that has no form as a signal
		}
		second, err := valueOf(back)
		if err != nil || !alike(b, first, second) {
			t.Fatalf("%s of %q is %s, and %s after the wire (%v)", b.name, text, first.Text(), second.Text(), err)
		}
	})
}

// alike leaves out what the wire does not carry: times finer than 100 ns.
func alike(b builtIn, first, second mes.Value) bool {
	return first == second || b.id == ua.TypeIDDateTime || first.Text() == "[]"
}

func uaCode(code uint32) error { return ua.StatusCode(code) }
