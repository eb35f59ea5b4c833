package sparkplug_test

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"plantgate/internal/mes"
	"plantgate/internal/mqtt/sparkplug"
)

// ofPython are the values of testdata/encode.py.
var ofPython = []string{
	`int8=-128`, `int16=-32768`, `int32=-2147483648`, `int64=-9223372036854775808`,
	`uint8=255`, `uint16=65535`, `uint32=4294967295`, `uint64=18446744073709551615`,
	`float=72.25`, `double=0.1`, `boolean=true`, `string="Größe"`, `datetime="2026-11-27T02:00:00.123Z"`,
	`text="lines\nof text"`, `uuid="018f2a44-0000-7000-8000-000000000001"`, `bytes="AP8="`, `null=null`,
	`int8s=[-23,123]`, `int16s=[-30000,30000]`, `int32s=[-1,315338746]`, `int64s=[-4270929666821191986,3]`,
	`uint8s=[23,250]`, `uint16s=[30,52360]`, `uint32s=[52,3293969225]`, `uint64s=[52,16444743074749521625]`,
	`floats=[1.23,89.341]`, `doubles=[12.354213,1022.9123213]`,
	`booleans=[false,false,true,true,false,true,false,false,true,true,false,true]`,
	`strings=["ABC","hello"]`, `datetimes=["2009-10-21T05:27:55.335Z"]`,
}

func of(machine string, values ...string) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = machine + " " + v
	}
	return list
}

// TestPayloadsOfPython reads every type that pysparkplug knows, in births and in data,
// whose types the birth said.
func TestPayloadsOfPython(t *testing.T) {
	p := golden(t, "pypi.json")
	n := newNode(t, config)
	expect(t, n.send("NBIRTH", "n", p["nbirth"]), "", append(of("n", "sparkplug.online=true @receipt"), of("n", ofPython...)...)...)
	expect(t, n.send("DBIRTH", "n/d", p["dbirth"]), "", append(of("n.d", "sparkplug.online=true @receipt"), of("n.d", ofPython...)...)...)
	expect(t, n.send("DDATA", "n/d", p["ddata aliases"]), "", of("n.d", ofPython...)...)
	expect(t, n.send("NDATA", "n", p["ndata"]), "the sequence number 255 follows 2", of("n", ofPython...)...)
}

// TestPayloadsOfNode reads what sparkplug-payload encodes: negative numbers widened,
// UInt32 in long_value, data sets, templates, properties and compressed payloads.
func TestPayloadsOfNode(t *testing.T) {
	p := golden(t, "npm.json")
	n := newNode(t, config)
	n.send("NBIRTH", "n", encode(at, 6))
	expect(t, n.send("NDATA", "n", p["types"]), "a metric is not as a birth said",
		`n int8=-1`, `n int16=-2`, `n int32=-3`, `n int64=-4`, `n uint32=4294967295`, `n uint64=9007199254740991`,
		`n datetime="2025-11-27T02:00:00.123Z"`, `n null=null`,
		`n dataset=[{"diameter":2.5,"name":"bolt","ok":true},{"diameter":-1,"name":"nut","ok":false}]`,
		`n motor/serial="M-17"`, `n motor/speed=1450 @1ms`, `n motor/load=0.5 40900000`,
		`n fault: the metric "file": a value of type File can't be stored as a signal`,
	)
	properties := []string{
		`n good=1bar`, `n bad=2 80000000`, `n stale=3 40900000`, `n unknown=4 40000000`, `n later=5 @1s`,
	}
	n.send("NBIRTH", "n", encode(at, 255))
	for _, name := range []string{"properties", "DEFLATE", "GZIP"} {
		expect(t, n.send("NDATA", "n", p[name]), "", properties...)
		n.send("NBIRTH", "n", encode(at, 255))
	}
}

// TestIntegersAreOfTheirType: two's complement of the type's own width, of 32 or of 64
// bits; what does not fit is refused, not cut.
func TestIntegersAreOfTheirType(t *testing.T) {
	for _, c := range []struct {
		kind  sparkplug.DataType
		bits  uint64
		value string // "" is refused
	}{
		{sparkplug.Int8, 0xFF, "-1"}, {sparkplug.Int8, 0xFFFFFFFF, "-1"}, {sparkplug.Int8, 1<<64 - 1, "-1"},
		{sparkplug.Int8, 0x7F, "127"}, {sparkplug.Int8, 0x80, "-128"}, {sparkplug.Int8, 0x100, ""}, {sparkplug.Int8, 0xFFFFFF7F, ""},
		{sparkplug.Int16, 0x8000, "-32768"}, {sparkplug.Int16, 0xFFFF8000, "-32768"}, {sparkplug.Int16, 0x18000, ""},
		{sparkplug.Int32, 0x80000000, "-2147483648"}, {sparkplug.Int32, 1<<64 - 1, "-1"}, {sparkplug.Int32, 1 << 32, ""},
		{sparkplug.Int64, 1 << 63, "-9223372036854775808"}, {sparkplug.Int64, 0xFFFFFFFF, "4294967295"},
		{sparkplug.UInt8, 255, "255"}, {sparkplug.UInt8, 256, ""}, {sparkplug.UInt16, 65536, ""},
		{sparkplug.UInt32, 1<<32 - 1, "4294967295"}, {sparkplug.UInt32, 1 << 32, ""}, {sparkplug.UInt64, 1<<64 - 1, "18446744073709551615"},
		{sparkplug.DateTime, 1 << 62, ""}, {sparkplug.Float, 1, ""}, {sparkplug.Unknown, 1, ""}, {99, 1, ""}, {sparkplug.PropertySet, 1, ""},
	} {
		n := newNode(t, config)
		r := n.send("NBIRTH", "n", encode(at, 0, metric{name: "x", kind: c.kind, value: c.bits}))
		got := told(r.Records)[1]
		if c.value == "" && !strings.Contains(got, "fault") || c.value != "" && got != "n x="+c.value {
			t.Errorf("%s of %#x became %s", c.kind, c.bits, got)
		}
	}
}

// TestMalformedPayloads: each is kept with its bytes and says what is wrong.
func TestMalformedPayloads(t *testing.T) {
	tag := func(number protowire.Number, wire protowire.Type, rest ...byte) []byte {
		return append(protowire.AppendTag(nil, number, wire), rest...)
	}
	wrap := func(m []byte) []byte { return protowire.AppendBytes(tag(2, protowire.BytesType), m) }
	for name, c := range map[string]struct {
		payload []byte
		want    string
	}{
		"no message":     {[]byte{0xFF}, "no protocol buffers message"},
		"cut off":        {golden(t, "pypi.json")["nbirth"][:50], "no protocol buffers message"},
		"seq":            {tag(3, protowire.VarintType, 0x80, 2), "256 is not from 0 to 255"},
		"wire type":      {tag(3, protowire.BytesType, 0), "seq has the wire type 2"},
		"time":           {tag(1, protowire.VarintType, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1), "year 9999"},
		"name":           {wrap(tag(1, protowire.BytesType, 1, 0xFF)), "metric 1: the field name is not UTF-8"},
		"value's wire":   {wrap(tag(12, protowire.VarintType, 1)), "float_value has the wire type 0"},
		"keys":           {wrap(protowire.AppendBytes(tag(9, protowire.BytesType), tag(1, protowire.BytesType, 1, 'a'))), "1 keys of properties and 0 values"},
		"no value":       {wrap(append(tag(1, protowire.BytesType, 1, 'x'), tag(4, protowire.VarintType, 3)...)), `"x": it has no value`},
		"algorithm":      {protowire.AppendString(tag(4, protowire.BytesType), "SPBV1.0_COMPRESSED"), "compressed payload can't be read"},
		"too many":       {bytes.Repeat([]byte{0x12, 0}, 100_001), "at most 100000 metrics"},
		"nothing at all": {wrap(nil), "neither name nor alias"},
		"bomb":           {compressed(bytes.Repeat([]byte{0x12, 0}, 9<<20)), "more than 16777216 bytes"},
	} {
		n := newNode(t, config)
		n.send("NBIRTH", "n", encode(at, 0))
		r := n.send("NDATA", "n", c.payload)
		if len(r.Records) != 1 || r.Records[0].Fault == nil || !strings.Contains(r.Records[0].Fault.Error(), c.want) {
			t.Errorf("%s: %v", name, told(r.Records))
			continue
		}
		if f := r.Records[0]; !bytes.Equal(f.Payload, c.payload) || f.Origin.Format != "sparkplug" || f.Origin.Address != "spBv1.0/g/NDATA/n" {
			t.Errorf("%s: kept as %+v", name, f.Origin)
		}
	}
}

func compressed(b []byte) []byte {
	var body bytes.Buffer
	w := zlib.NewWriter(&body)
	_, _ = w.Write(b)
	_ = w.Close()
	p := protowire.AppendString(protowire.AppendTag(nil, 4, protowire.BytesType), "SPBV1.0_COMPRESSED")
	return protowire.AppendBytes(protowire.AppendTag(p, 5, protowire.BytesType), body.Bytes())
}

// TestBoundsOfValues: what would become much larger than its message is refused.
func TestBoundsOfValues(t *testing.T) {
	set := func(columns int, name string, rows int) []byte {
		var b []byte
		for range columns {
			b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), name)
			b = protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), 12)
		}
		row := bytes.Repeat([]byte{0x0a, 0}, columns)
		for range rows {
			b = protowire.AppendBytes(protowire.AppendTag(b, 4, protowire.BytesType), row)
		}
		return b
	}
	nested := metricOf("m", sparkplug.Int8, 0, 0)
	for range 10 {
		nested = metricOf("t", sparkplug.Template, 18, 0, protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), nested)...)
	}
	for name, c := range map[string]struct {
		m    metric
		want string
	}{
		"text":            {metric{kind: sparkplug.String, field: 15, text: bytes.Repeat([]byte("x"), 300<<10)}, "at most 262144 bytes"},
		"bytes":           {metric{kind: sparkplug.Bytes, field: 16, text: bytes.Repeat([]byte("x"), 300<<10)}, "at most 262144 bytes"},
		"booleans":        {metric{kind: sparkplug.BooleanArray, field: 16, text: append([]byte{0, 0, 0, 1}, make([]byte, 1<<21)...)}, "at most 100000 elements"},
		"count":           {metric{kind: sparkplug.BooleanArray, field: 16, text: []byte{9, 0, 0, 0, 1}}, "9 elements do not stand in 1 bytes"},
		"texts":           {metric{kind: sparkplug.StringArray, field: 16, text: make([]byte, 100_001)}, "at most 100000 elements"},
		"no end":          {metric{kind: sparkplug.StringArray, field: 16, text: []byte("a\x00b")}, "zero byte after the last text"},
		"numbers":         {metric{kind: sparkplug.UInt8Array, field: 16, text: make([]byte, 100_001)}, "at most 100000 elements"},
		"odd":             {metric{kind: sparkplug.Int32Array, field: 16, text: make([]byte, 5)}, "5 bytes are no elements of 4"},
		"cells":           {metric{kind: sparkplug.DataSet, field: 17, text: set(1, "a", 100_001)}, "at most 100000 values"},
		"column":          {metric{kind: sparkplug.DataSet, field: 17, text: set(1, strings.Repeat("a", 257), 1)}, "at most 256 bytes"},
		"table":           {metric{kind: sparkplug.DataSet, field: 17, text: set(1, strings.Repeat("a", 256), 1100)}, "at most 262144 bytes"},
		"long texts":      {metric{kind: sparkplug.StringArray, field: 16, text: bytes.Repeat(append(bytes.Repeat([]byte("x"), 1<<10), 0), 300)}, "at most 262144 bytes"},
		"columns":         {metric{kind: sparkplug.DataSet, field: 17, text: set(2, "a", 1)}, `two columns "a"`},
		"nested":          {metric{kind: sparkplug.Template, field: 18, text: protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), nested)}, "nested deeper than 8"},
		"template's type": {metric{kind: sparkplug.Template, value: 1}, "stands in long_value"},
	} {
		n := newNode(t, config)
		c.m.name = "x"
		list := told(n.send("NBIRTH", "n", encode(at, 0, c.m)).Records)
		if len(list) != 2 || !strings.Contains(list[1], c.want) {
			t.Errorf("%s: %.300q", name, list)
		}
	}
}

// metricOf writes a metric whose value stands in a field.
func metricOf(name string, kind sparkplug.DataType, field protowire.Number, value uint64, text ...byte) []byte {
	b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
	b = protowire.AppendVarint(protowire.AppendTag(b, 4, protowire.VarintType), uint64(kind))
	if field == 0 {
		return protowire.AppendVarint(protowire.AppendTag(b, 10, protowire.VarintType), value)
	}
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), text)
}

func TestTopics(t *testing.T) {
	for name, want := range map[string]string{
		"spBv1.0/g/NDATA/n": "g/n", "spBv1.0/g/DDEATH/n/d": "g/n/d", "spBv1.0/g/NCMD/n": "g/n",
		"spBv1.0/g/NDATA/n/d": "", "spBv1.0/g/DDATA/n": "", "spBv1.0/STATE/host": "", "spBv1.0/g/OTHER/n": "", "spAv1.0/g/NDATA/n": "",
		"spBv1.0//NDATA/n": "", "spBv1.0/g/NDATA/": "", "spBv1.0/g/DDATA/n/": "", "": "", "spBv1.0/g/DDATA/n/d/e": "",
		"spBv1.0/g/NDATA/" + strings.Repeat("n", 289): "",
	} {
		topic, err := sparkplug.ParseTopic(name)
		if (err == nil) != (want != "") || err == nil && topic.Address() != want {
			t.Errorf("%s became %q, %v", name, topic.Address(), err)
		}
	}
}

func TestStates(t *testing.T) {
	if got := string(sparkplug.State(false, at)); got != `{"online":false,"timestamp":1764208800123}` {
		t.Error(got)
	}
	for payload, want := range map[string]bool{
		`{"online":false,"timestamp":1}`: true, `{"online":true,"timestamp":1}`: false, `OFFLINE`: false, `{}`: false, ``: false,
	} {
		if sparkplug.IsOffline([]byte(payload)) != want {
			t.Error(payload)
		}
	}
}

// TestRebirthCommand reads it as an edge node does.
func TestRebirthCommand(t *testing.T) {
	p, err := sparkplug.Decode(sparkplug.RebirthCommand(at))
	if err != nil || len(p.Metrics) != 1 || !p.Timestamp.Equal(at) {
		t.Fatal(p, err)
	}
	if m := p.Metrics[0]; m.Name != "Node Control/Rebirth" || m.Type != sparkplug.Boolean || m.Null {
		t.Errorf("%+v", m)
	}
}

// FuzzReceive feeds a host with messages of any bytes: it never fails, keeps every
// message that it can't read, and what it makes of one is stable.
func FuzzReceive(f *testing.F) {
	for _, name := range []string{"pypi.json", "npm.json"} {
		for _, p := range golden(f, name) {
			f.Add(uint8(0), p)
			f.Add(uint8(2), p)
		}
	}
	f.Add(uint8(1), encode(at, 1, metric{name: "bdSeq", kind: sparkplug.UInt64, value: 3}))
	kinds := []string{"NBIRTH/n", "NDEATH/n", "NDATA/n", "DBIRTH/n/d", "DDEATH/n/d", "DDATA/n/d"}
	births := golden(f, "pypi.json")
	f.Fuzz(func(t *testing.T, which uint8, payload []byte) {
		kind, rest, _ := strings.Cut(kinds[int(which)%len(kinds)], "/")
		var first string
		for range 2 {
			n := newNode(t, config)
			n.send("NBIRTH", "n", births["nbirth"])
			n.send("DBIRTH", "n/d", births["dbirth"])
			before := time.Now()
			r := n.send(sparkplug.MessageType(kind), rest, payload)
			if took := time.Since(before); took > 5*time.Second {
				t.Fatalf("it took %s", took)
			}
			for i := range r.Records {
				rec := &r.Records[i]
				if rec.Fault != nil && !bytes.Equal(rec.Payload, payload) {
					t.Fatal("a message that can't be read is not kept")
				}
				if rec.Fault == nil && (len(rec.Signals) != 1 || rec.Signals[0].Name == "") {
					t.Fatalf("a record without a signal: %+v", rec)
				}
				if rec.Fault == nil && rec.TimeOrigin == mes.TimeSource && rec.Time.IsZero() {
					t.Fatal("a source time that is none")
				}
			}
			text := fmt.Sprint(told(r.Records), r.Rebirth)
			if first != "" && text != first {
				t.Fatalf("%s\nand then\n%s", first, text)
			}
			first = text
		}
	})
}
