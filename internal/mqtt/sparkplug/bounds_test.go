package sparkplug_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"plantgate/internal/mqtt/sparkplug"
)

// template is the value of a metric that is a template with these members.
func template(members ...[]byte) []byte {
	var b []byte
	for _, m := range members {
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), m)
	}
	return b
}

// many are n metrics of one kind.
func many(n int, name string, m metric) []metric {
	list := make([]metric, n)
	for i := range list {
		list[i] = m
		list[i].name = fmt.Sprintf("%s%d", name, i)
	}
	return list
}

// allocated is how many bytes fn takes of memory, those that it gives back too.
func allocated(fn func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// TestSmallMessagesStayBounded: what unfolds to much more than it is, is refused as a whole
// before it has taken much memory, and kept as it came.
func TestSmallMessagesStayBounded(t *testing.T) {
	member := metricOf("m", sparkplug.Int8, 0, 1)
	wide := template(bytes.Split(bytes.Repeat(append(member, 0xFF), 60_000), []byte{0xFF})[:60_000]...)
	inner := metricOf("wide", sparkplug.Template, 18, 0, wide...)
	booleans := append([]byte{0xA0, 0x86, 1, 0}, make([]byte, 12_500)...) // 100,000 elements
	some := append([]byte{0x40, 0x9C, 0, 0}, make([]byte, 5000)...)       // 40,000, which are 240,000 bytes
	cells := func(rows int) []byte {
		b := protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), strings.Repeat("c", 250))
		b = protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), uint64(sparkplug.Int8))
		return append(b, bytes.Repeat([]byte{0x22, 2, 0x0A, 0}, rows)...)
	}
	const tooMany, tooMuch = "at most 100000 metrics", "at most 33554432 bytes together"
	for name, c := range map[string]struct {
		metrics []metric
		want    string
	}{
		"templates in a template":     {many(1, "t", metric{kind: sparkplug.Template, field: 18, text: template(bytes.Split(bytes.Repeat(append(inner, 0xFE), 20), []byte{0xFE})[:20]...)}), tooMany},
		"templates side by side":      {many(20, "t", metric{kind: sparkplug.Template, field: 18, text: wide}), tooMany},
		"their parameters":            {many(1, "t", metric{kind: sparkplug.Template, field: 18, text: bytes.Repeat([]byte{0x1A, 0}, 100_000)}), tooMany},
		"long arrays":                 {many(2000, "a", metric{kind: sparkplug.BooleanArray, field: 16, text: some}), tooMuch},
		"arrays that are too long":    {many(1000, "a", metric{kind: sparkplug.BooleanArray, field: 16, text: booleans}), tooMuch},
		"data sets":                   {many(2000, "d", metric{kind: sparkplug.DataSet, field: 17, text: cells(900)}), tooMuch},
		"data sets that are too long": {many(2000, "d", metric{kind: sparkplug.DataSet, field: 17, text: cells(2000)}), tooMuch},
	} {
		payload := encode(at, 1, c.metrics...)
		small := compressed(payload)
		n := newNode(t, config)
		n.send("NBIRTH", "n", encode(at, 0))
		var list []string
		took := allocated(func() { list = told(n.send("NDATA", "n", small).Records) })
		if len(list) != 1 || !strings.Contains(list[0], "fault") || !strings.Contains(list[0], c.want) {
			t.Errorf("%s: %.300q", name, list)
		}
		t.Logf("%s: %d bytes, %d without compression, took %d MB", name, len(small), len(payload), took>>20)
		if took > 512<<20 {
			t.Errorf("%s: a message of %d bytes took %d MB", name, len(small), took>>20)
		}
	}
}

// TestRepeatedNamesAreCounted: of data by alias, each of a birth's long names and units.
func TestRepeatedNamesAreCounted(t *testing.T) {
	n := newNode(t, config)
	long := metric{name: strings.Repeat("n", 256), alias: 1, kind: sparkplug.String, field: 15, text: []byte("x")}
	n.send("NBIRTH", "n", encode(at, 0, long))
	data := make([]metric, 100_000)
	for i := range data {
		data[i] = metric{alias: 1, field: 15, text: bytes.Repeat([]byte("x"), 70)}
	}
	for _, c := range []struct {
		count   int
		records int
	}{{100_000, 100_000}, {100_001, 1}} {
		if c.count > len(data) {
			data = append(data, data[0])
		}
		if got := len(n.send("NDATA", "n", encode(at, 1, data[:c.count]...)).Records); got != c.records {
			t.Errorf("of %d metrics there are %d records, not %d", c.count, got, c.records)
		}
	}
	for i := range data[:100_000] {
		data[i].text = bytes.Repeat([]byte("x"), 100)
	}
	if list := told(n.send("NDATA", "n", encode(at, 2, data[:100_000]...)).Records); len(list) != 1 || !strings.Contains(list[0], "bytes together") {
		t.Errorf("%d records: %.300q", len(list), list[0])
	}
}

// TestManyFaultsOfOneMessage: of thousands a few are told, shortened, and the rest counted.
func TestManyFaultsOfOneMessage(t *testing.T) {
	n := newNode(t, config)
	good := metric{name: "good", kind: sparkplug.Int8, value: 1}
	for name, m := range map[string]metric{
		"no type":      {value: 1},
		"no such type": {kind: 99, value: 1},
		"not UTF-8":    {kind: sparkplug.String, field: 15, text: []byte{0xFF}},
	} {
		bad := many(50_000, strings.Repeat("long name ", 20), m)
		r := n.send("NBIRTH", "n", encode(at, 0, append(bad, good)...))
		faults := 0
		for i := range r.Records {
			f := r.Records[i].Fault
			if f == nil {
				continue
			}
			faults++
			if text := f.Error(); len(text) > 2200 || !strings.Contains(text, "and 49990 more") {
				t.Errorf("%s: %d bytes: %.300q", name, len(text), text)
			}
		}
		if got := told(r.Records); faults != 1 || !strings.Contains(strings.Join(got, "\n"), "n good=1") {
			t.Errorf("%s: %d faults in %d records", name, faults, len(got))
		}
		if c := cap(r.Records); c > 1000 {
			t.Errorf("%s: room for %d records is kept", name, c)
		}
	}
}

// TestTheRestOfATemplateIsStored: one bad member keeps only the message, not the others.
func TestTheRestOfATemplateIsStored(t *testing.T) {
	n := newNode(t, config)
	value := template(
		metricOf("before", sparkplug.Int8, 0, 1), metricOf("bad", sparkplug.Int8, 0, 300), metricOf("", sparkplug.Int8, 0, 2),
		metricOf("in", sparkplug.Template, 18, 0, template(metricOf("worse", sparkplug.File, 0, 1), metricOf("deep", sparkplug.Int8, 0, 3))...),
		metricOf("after", sparkplug.Int8, 0, 4))
	expect(t, n.send("NBIRTH", "n", encode(at, 0, metric{name: "t", kind: sparkplug.Template, field: 18, text: value})), "",
		"n sparkplug.online=true @receipt", "n t/before=1", "n t/in/deep=3", "n t/after=4",
		`n fault: the metric "t/bad": 300 is no Int8; the metric "t": a member of the template has no name; `+
			`the metric "t/in/worse": a value of type File can't be stored as a signal`)
}

// TestLargestBirth: a birth of as many metrics as may be is taken whole, and data are read by
// it; one more and it is kept as it came.
func TestLargestBirth(t *testing.T) {
	const largest = 100_000
	metrics := many(largest, "line/cell/drive/speed ", metric{kind: sparkplug.Int64, value: 1})
	for i := range metrics {
		metrics[i].alias = uint64(i + 1)
	}
	n := newNode(t, config)
	r := n.send("NBIRTH", "n", encode(at, 0, metrics...))
	if len(r.Records) != largest+1 || r.Records[largest].Fault != nil || r.Records[largest].Signals[0].Name != "line/cell/drive/speed 99999" {
		t.Fatalf("%d records", len(r.Records))
	}
	expect(t, n.send("NDATA", "n", encode(at, 1, metric{alias: largest, value: 7})), "", "n line/cell/drive/speed 99999=7")
	metrics = append(metrics, metric{name: "one more", kind: sparkplug.Int64, value: 1})
	expect(t, n.send("NBIRTH", "n", encode(at, 0, metrics...)), "its birth can't be read", "n fault: a payload has at most 100000 metrics")
}

// TestLongNamesAndUnitsAreNotRepeated: those of a birth would stand in each record of data.
func TestLongNamesAndUnitsAreNotRepeated(t *testing.T) {
	n := newNode(t, config)
	long := metric{name: strings.Repeat("n", 257), alias: 1, kind: sparkplug.Int8, value: 1}
	list := told(n.send("NBIRTH", "n", encode(at, 0, long)).Records)
	if len(list) != 2 || !strings.Contains(list[1], "the name of a signal has at most 256 bytes") {
		t.Errorf("%.300q", list)
	}
	expect(t, n.send("NDATA", "n", encode(at, 1, metric{alias: 1, value: 7})), "a metric is not as a birth said", "n fault: no birth gives the alias 1")
}
