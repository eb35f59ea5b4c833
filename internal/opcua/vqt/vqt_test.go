package vqt

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

func dataValue(v any) *ua.DataValue {
	dv := &ua.DataValue{Value: ua.MustVariant(v)}
	dv.UpdateMask()
	return dv
}

func TestEveryTypeKeepsItsValue(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 10, 15, 0, 250_000_100, time.UTC)
	big := mes.Restore(mes.KindNumber, "18446744073709551615")
	cases := map[string]struct {
		in   any
		want mes.Value
	}{
		"Boolean":         {true, mes.Bool(true)},
		"SByte":           {int8(-128), mes.Int(-128)},
		"Byte":            {uint8(255), mes.Int(255)},
		"Int16":           {int16(-32768), mes.Int(-32768)},
		"UInt16":          {uint16(65535), mes.Int(65535)},
		"Int32":           {int32(math.MinInt32), mes.Int(math.MinInt32)},
		"UInt32":          {uint32(math.MaxUint32), mes.Int(math.MaxUint32)},
		"Int64":           {int64(math.MinInt64), mes.Restore(mes.KindNumber, "-9223372036854775808")},
		"UInt64":          {uint64(math.MaxUint64), big},
		"Float":           {float32(0.1), mes.Restore(mes.KindNumber, "0.1")},
		"Double":          {0.1, mes.Restore(mes.KindNumber, "0.1")},
		"NaN":             {math.NaN(), mes.String("NaN")},
		"infinite Float":  {float32(math.Inf(-1)), mes.String("-Infinity")},
		"String":          {"Grüße", mes.String("Grüße")},
		"no DateTime":     {time.Time{}, mes.String("0001-01-01T00:00:00Z")},
		"DateTime":        {at, mes.String("2026-11-22T10:15:00.2500001Z")},
		"Guid":            {ua.NewGUID("72962B91-FA75-4AE6-8D28-B404DC7DAF63"), mes.String("72962B91-FA75-4AE6-8D28-B404DC7DAF63")},
		"ByteString":      {[]byte{0, 1, 254}, mes.String("AAH+")},
		"XmlElement":      {ua.XMLElement("<a/>"), mes.String("<a/>")},
		"NodeId":          {ua.NewStringNodeID(2, "a"), mes.String("ns=2;s=a")},
		"ExpandedNodeId":  {ua.NewNumericExpandedNodeID(2, 7000), mes.String("ns=2;i=7000")},
		"StatusCode":      {ua.StatusBadTimeout, mes.Int(0x800A0000)},
		"QualifiedName":   {&ua.QualifiedName{NamespaceIndex: 2, Name: "a"}, mes.String("2:a")},
		"LocalizedText":   {ua.NewLocalizedTextWithLocale("Ofen", "de"), mes.String("Ofen")},
		"Int32 array":     {[]int32{1, -2}, mes.Array("[1,-2]")},
		"Byte array":      {ua.ByteArray{1, 2}, mes.Array("[1,2]")},
		"UInt64 array":    {[]uint64{math.MaxUint64}, mes.Array("[18446744073709551615]")},
		"Boolean array":   {[]bool{true, false}, mes.Array("[true,false]")},
		"String array":    {[]string{"a", `"`}, mes.Array(`["a","\""]`)},
		"two dimensions":  {[][]int32{{1, 2}, {3, 4}}, mes.Array("[[1,2],[3,4]]")},
		"array of Double": {[]float64{1.50, math.NaN()}, mes.Array(`[1.5,"NaN"]`)},
		"Variant array":   {[]*ua.Variant{ua.MustVariant(int32(1)), ua.MustVariant("a")}, mes.Array(`[1,"a"]`)},
		"ByteStrings":     {[][]byte{{0}, {255}}, mes.Array(`["AA==","/w=="]`)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, err := Of(dataValue(tc.in), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := q.Value(); got != tc.want {
				t.Errorf("%q (kind %d), want %q (kind %d)", got.Text(), got.Kind(), tc.want.Text(), tc.want.Kind())
			}
		})
	}
}

func TestWhatCannotBeRepresentedIsAFault(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]any{
		"unknown structure": &ua.ExtensionObject{EncodingMask: ua.ExtensionObjectBinary, TypeID: ua.NewNumericExpandedNodeID(3, 77)},
		"its bytes":         &ua.ExtensionObject{EncodingMask: ua.ExtensionObjectBinary, TypeID: ua.NewNumericExpandedNodeID(3, 77), Value: &Raw{Body: []byte{7}}},
		"structure in XML":  &ua.ExtensionObject{EncodingMask: ua.ExtensionObjectXML, TypeID: ua.NewNumericExpandedNodeID(3, 77), Value: new(ua.XMLElement)},
		"DiagnosticInfo":    &ua.DiagnosticInfo{},
		"in an array":       []*ua.DiagnosticInfo{{}},
		"not UTF-8":         "\xff",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dv := dataValue(v)
			if q, err := Of(dv, nil); err == nil {
				t.Errorf("it is stored as %s", &q)
			}
			// Of an encoding that it does not know the library drops the bytes.
			lost := name == "unknown structure"
			if raw := Describe("ns=1;s=x", dv); !json.Valid(raw) || bytes.Contains(raw, []byte(`"raw"`)) == lost {
				t.Errorf("quarantine keeps %s", raw)
			}
		})
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	source := time.Date(2026, 11, 22, 10, 15, 0, 123_456_700, time.UTC)
	server := source.Add(time.Second)
	cases := map[string]struct {
		source, server time.Time
		want           time.Time
		origin         mes.TimeOrigin
	}{
		"both":        {source, server, source.Truncate(time.Microsecond), mes.TimeSource},
		"server only": {time.Time{}, server, server.Truncate(time.Microsecond), mes.TimeServer},
		"source only": {source, time.Time{}, source.Truncate(time.Microsecond), mes.TimeSource},
		"none":        {time.Time{}, time.Time{}, time.Time{}, mes.TimeReceipt},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Bits that announce a DateTime of 0 mean the same as no bits.
			dv := dataValue(int32(1))
			dv.EncodingMask |= ua.DataValueSourceTimestamp | ua.DataValueServerTimestamp
			dv.SourceTimestamp, dv.ServerTimestamp = tc.source, tc.server
			r, err := Of(dv, nil)
			if err != nil || !r.Time.Equal(tc.want) || r.TimeOrigin != tc.origin {
				t.Errorf("time %v (%s), want %v (%s)", r.Time, r.TimeOrigin, tc.want, tc.origin)
			}
			if got := r.ServerTime; !got.Equal(tc.server.Truncate(time.Microsecond)) {
				t.Errorf("server time %v, want %v", got, tc.server)
			}
		})
	}
}

func TestStatusCodes(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		in       ua.StatusCode
		want     mes.StatusCode
		overflow bool
	}{
		"good":               {ua.StatusOK, 0, false},
		"bad":                {ua.StatusBadSensorFailure, 0x808C0000, false},
		"overflow":           {0x480, 0, true},
		"overflow and limit": {0x40900580, 0x40900500, true},
		"bit of no meaning":  {0x80, 0x80, false},
		"of a historian":     {0x41F, 0x41F, false},
		"historian, limit":   {0x502, 0x502, false},
		"changed":            {0xC000, 0, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dv := dataValue(int32(1))
			dv.Status = tc.in
			dv.UpdateMask()
			r, err := Of(dv, nil)
			if err != nil || r.StatusCode != tc.want || r.Overflow != tc.overflow ||
				r.SemanticsChanged != (tc.in&0x4000 != 0) || r.StructureChanged != (tc.in&0x8000 != 0) {
				t.Errorf("status %x, overflow %v; want %x, %v", uint32(r.StatusCode), r.Overflow, uint32(tc.want), tc.overflow)
			}
			// A bad value is to be ignored, an uncertain one is one.
			if r.Value().IsNull() != (tc.want.Severity() == "bad") {
				t.Errorf("the value is %q", r.Value().Text())
			}
		})
	}
}
