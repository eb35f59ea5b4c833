package vqt

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

// TestWhatTheLibraryMakesOfMalformedBytes holds doc.go of internal/opcua to the truth: if
// one of these changes, a hostile server can do less, and the text has to say so. What
// would hang or take all memory is shown by a smaller case of the same fault.
func TestWhatTheLibraryMakesOfMalformedBytes(t *testing.T) {
	t.Parallel()
	decode := func(b []byte) (v *ua.Variant, err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("panic: %v", r)
			}
		}()
		v = new(ua.Variant)
		_, err = v.Decode(b)
		return v, err
	}
	if _, err := decode([]byte{0x86, 0xfe, 0xff, 0xff, 0xff}); err == nil || !strings.Contains(err.Error(), "panic") {
		t.Errorf("an array of length -2: %v", err)
	}
	// 65536 times 65536 overflows to 0: a few bytes are 65,536 rows; with a third
	// dimension there would be 4 thousand million.
	v, err := decode([]byte{0xC6, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0})
	if err != nil || len(v.Value().([][]int32)) != 65536 {
		t.Errorf("dimensions whose product overflows: %v", err)
	}
	if q, err := Of(&ua.DataValue{EncodingMask: ua.DataValueValue, Value: v}, nil); err != nil && !strings.Contains(err.Error(), "can't be stored") {
		t.Errorf("their value: %s, %v", q.String(), err)
	}
	if v, err = decode([]byte(strings.Repeat("\x18", 10_000) + "\x01\x01")); err != nil {
		t.Errorf("Variants in Variants: %v", err)
	}
	if _, err := Of(&ua.DataValue{EncodingMask: ua.DataValueValue, Value: v}, nil); err == nil {
		t.Error("a Variant nested 10,000 times is stored")
	}
	// What the library refuses it refuses by ending the connection; probe.go finds the node.
	for name, b := range map[string][]byte{
		"a dimension of 0":                      {0xC6, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0},
		"dimensions that do not match":          {0xC6, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0},
		"a type that is not of the standard":    {0x1f},
		"a structure of the standard cut short": {0x16, 1, 0, 0x76, 3, 1, 1, 0, 0, 0, 0},
	} {
		if _, err := decode(b); err == nil {
			t.Errorf("%s is decoded", name)
		}
	}
	// The body of an encoding that it does not know is dropped.
	if v, err = decode([]byte{0x16, 1, 9, 0x76, 3, 1, 1, 0, 0, 0, 7}); err != nil || v.Value().(*ua.ExtensionObject).Value != nil {
		t.Errorf("an unknown structure: %v", err)
	}
}

// TestEveryDateTime: the library's overflow is undone up to the year 9999.
func TestEveryDateTime(t *testing.T) {
	t.Parallel()
	for want, ticks := range map[string]uint64{
		"1601-01-01T00:00:00.0000001Z": 1,
		"1677-09-21T00:12:43.1452241Z": 24_211_015_631_452_241,
		"1677-09-21T00:12:43.1452242Z": 24_211_015_631_452_242,
		"1970-01-01T00:00:00Z":         ticksOf1970,
		"2262-04-11T23:47:16.8547758Z": 208_678_456_368_547_758,
		"2262-04-11T23:47:16.8547759Z": 208_678_456_368_547_759,
		"9999-12-31T23:59:59.9999999Z": maxTicks,
		"9999-12-31T23:59:59Z":         1<<63 - 1,
		"0001-01-01T00:00:00Z":         0,
	} {
		b := []byte{byte(ua.TypeIDDateTime)}
		for i := range 8 {
			b = append(b, byte(ticks>>(8*i)))
		}
		var v ua.Variant
		if _, err := v.Decode(b); err != nil {
			t.Fatal(err)
		}
		q, err := Of(&ua.DataValue{EncodingMask: ua.DataValueValue, Value: &v}, nil)
		if err != nil || q.Value() != mes.String(want) {
			t.Errorf("%d ticks are %s, want %s (%v)", ticks, q.Value().Text(), want, err)
		}
		w := wire{b: b[1:]}
		if got := timeText(w.time()); got != want {
			t.Errorf("%d ticks are read as %s, want %s", ticks, got, want)
		}
	}
}

func TestDecimals(t *testing.T) {
	t.Parallel()
	for want, body := range map[string][]byte{
		"1.5":   {1, 0, 15},
		"-0.05": {2, 0, 0xfb},
		"25500": {0xfe, 0xff, 0xff, 0},
		"0":     {0, 0},
	} {
		v, err := decimal(body)
		if err != nil || v.Text() != want {
			t.Errorf("%x is %s, want %s (%v)", body, v.Text(), want, err)
		}
	}
	for _, body := range [][]byte{nil, {1}, make([]byte, 100), {0, 0x80, 1}} {
		if v, err := decimal(body); err == nil {
			t.Errorf("%x is %s", body, v.Text())
		}
	}
	x := &ua.ExtensionObject{EncodingMask: ua.ExtensionObjectBinary, TypeID: &ua.ExpandedNodeID{NodeID: decimalType}, Value: &Raw{Body: []byte{1, 0, 15}}}
	if q, err := Of(dataValue(x), nil); err != nil || q.Value().Text() != "1.5" {
		t.Errorf("a Decimal is %s: %v", q.Value().Text(), err)
	}
}
