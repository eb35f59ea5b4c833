package opcua

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

func oneBinding() *binding {
	return &binding{
		connection: "line1", siteID: "main", machineID: "M001", dataType: mes.Telemetry,
		signal: "x", nodeID: "ns=1;s=x",
		convert: conversion{status: map[string]mes.Status{"1": mes.Running, "true": mes.Idle}},
	}
}

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
			r := oneBinding().record(dataValue(tc.in), at)
			if r.Fault != nil {
				t.Fatalf("fault: %v", r.Fault)
			}
			if got := r.Signals[0].Value; got != tc.want {
				t.Errorf("%q (kind %d), want %q (kind %d)", got.Text(), got.Kind(), tc.want.Text(), tc.want.Kind())
			}
		})
	}
}

func TestWhatCannotBeRepresentedIsAFault(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]any{
		"ExtensionObject": ua.NewExtensionObject(&ua.Range{Low: 1, High: math.NaN()}),
		"DataValue":       &ua.DataValue{},
		"DiagnosticInfo":  &ua.DiagnosticInfo{},
		"in an array":     []*ua.ExtensionObject{ua.NewExtensionObject(&ua.Range{High: 2})},
		"not UTF-8":       "\xff",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := oneBinding().record(dataValue(v), time.Now())
			if mes.ErrorCode(r.Fault) != mes.CodeUnsupported || len(r.Payload) == 0 {
				t.Errorf("fault %v with %d bytes of payload", r.Fault, len(r.Payload))
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
			r := oneBinding().record(dv, source)
			if !r.Time.Equal(tc.want) || r.TimeOrigin != tc.origin {
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
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dv := dataValue(int32(1))
			dv.Status = tc.in
			dv.UpdateMask()
			r := oneBinding().record(dv, time.Now())
			if r.StatusCode != tc.want || r.HasFlag(mes.FlagOverflow) != tc.overflow {
				t.Errorf("status %x, flags %v; want %x, overflow %v", uint32(r.StatusCode), r.Flags, uint32(tc.want), tc.overflow)
			}
		})
	}
}

func TestMappedStatus(t *testing.T) {
	t.Parallel()
	bad := dataValue(int32(1))
	bad.Status = ua.StatusBadSensorFailure
	bad.UpdateMask()
	cases := map[string]struct {
		in   *ua.DataValue
		want mes.Status
	}{
		"number":         {dataValue(int32(1)), mes.Running},
		"double":         {dataValue(1.0), mes.Running},
		"boolean":        {dataValue(true), mes.Idle},
		"not in the map": {dataValue(int32(9)), ""},
		"bad quality":    {bad, ""},
		"no value":       {&ua.DataValue{}, ""},
		"nothing":        {nil, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := oneBinding().record(tc.in, time.Now())
			if r.Status != tc.want || len(r.Signals) != 1 {
				t.Errorf("status %q with %d signals, want %q with the signal kept", r.Status, len(r.Signals), tc.want)
			}
		})
	}
}

func TestFirstNotificationThatSaysNothingNew(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)
	n := &node{binding: *oneBinding()}
	says := func(v any, source time.Time) bool {
		dv := dataValue(v)
		dv.SourceTimestamp = source
		dv.UpdateMask()
		r := n.record(dv, at)
		return n.repeats(&r)
	}
	n.begin()
	if says(int32(1), time.Time{}) {
		t.Error("the very first value is held to be known")
	}
	if says(int32(1), time.Time{}) {
		t.Error("an equal value within a session is held to be known")
	}
	n.begin()
	if !says(int32(1), time.Time{}) {
		t.Error("an equal value without source time is new after a reconnect")
	}
	n.begin()
	if says(int32(2), time.Time{}) {
		t.Error("another value is held to be known")
	}
	n.begin()
	if says(int32(2), at) {
		t.Error("a value with source time is left out; its identity decides")
	}
}

// FuzzRecord feeds random DataValues. They are made here and not decoded from
// the bytes, since the library's decoder hangs on some (dimensions whose
// product overflows) and panics on others (negative lengths).
func FuzzRecord(f *testing.F) {
	for kind := range byte(32) {
		f.Add([]byte{kind, 0, 3, 2, 'a', 'b', 0xff, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1}, uint32(0x480), int64(1_795_000_000_000_000_000))
		f.Add([]byte{kind, 1, 3, kind, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}, uint32(0x80000000), int64(0))
	}
	at := time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, b []byte, status uint32, nanos int64) {
		dv := &ua.DataValue{Value: randomVariant(&b, 0), Status: ua.StatusCode(status)}
		if nanos != 0 {
			dv.SourceTimestamp = time.Unix(0, nanos)
		}
		dv.UpdateMask()
		r, again := oneBinding().record(dv, at), oneBinding().record(dv, at)
		if !reflect.DeepEqual(r, again) {
			t.Fatalf("the same value makes two records: %+v and %+v", r, again)
		}
		if r.Fault != nil {
			if len(r.Payload) == 0 || !json.Valid(r.Payload) {
				t.Fatalf("a fault with the payload %q", r.Payload)
			}
			return
		}
		if err := r.Validate(); err != nil {
			t.Fatalf("a record that is not valid: %v", err)
		}
		if v := r.Signals[0].Value; !json.Valid(v.AppendJSON(nil)) {
			t.Fatalf("a value that is no JSON: %s", v.AppendJSON(nil))
		}
	})
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
		return ua.NewExtensionObject(&ua.Range{High: math.Float64frombits(u)})
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
