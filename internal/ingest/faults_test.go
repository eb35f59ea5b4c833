package ingest_test

import (
	"fmt"
	"strings"
	"testing"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// usual reads with the limits that are set where nothing is configured.
func usual(t *testing.T) ingest.Decoder {
	return ingest.NewDecoder(ingest.Limits{MaxRecord: 256 << 10, MaxBatch: 10_000, MaxDepth: 32}, sites(t))
}

// badMembers are n members of JSON whose names no signal may have.
func badMembers(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"\u0001%d":1`, i)
	}
	return strings.Join(list, ",")
}

// kept is how many bytes records in quarantine take, and how many records there are.
func kept(t *testing.T, records []mes.Record) (bytes, texts int) {
	t.Helper()
	for _, r := range records {
		if r.Fault == nil {
			t.Fatal("one is taken")
		}
		bytes += len(r.Payload) + len(r.Fault.Message)
		for _, f := range r.Fault.Fields {
			texts += len(f.Pointer) + len(f.Detail)
		}
	}
	return bytes + texts, texts
}

// TestFaultsOfOrdinaryShapes: of very many of one message fifty are told, and the number of
// the others.
func TestFaultsOfOrdinaryShapes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("p", 250)
	for name, c := range map[string]struct {
		format ingest.Format
		body   string
		untold string
	}{
		"flat":      {ingest.FormatFlat, `{"machine_id":"M1",` + badMembers(60) + `}`, "10 further faults are not told"},
		"many":      {ingest.FormatFlat, `{"machine_id":"M1","` + long + `":{` + badMembers(4000) + `}}`, "3950 further faults are not told"},
		"no values": {ingest.FormatFlat, `{"machine_id":"M1","` + long + `":{` + strings.ReplaceAll(badMembers(4000), ":1", ":1e999999") + `}}`, "3950 further faults are not told"},
		"twice":     {ingest.FormatFlat, `{"machine_id":"M1","a":{` + strings.ReplaceAll(badMembers(60), `\u0001`, "x") + `},` + strings.ReplaceAll(badMembers(60), `\u0001`, "a.x") + `}`, "10 further faults are not told"},
		"envelope":  {ingest.FormatEnvelope, `{"DataType":"Production","Payload":{"MachineID":"M1","Value":1,` + badMembers(60) + `}}`, "10 further faults are not told"},
		"snapshot":  {ingest.FormatSnapshot, `{"machine_id":"M1","variables":{` + badMembers(60) + `}}`, "10 further faults are not told"},
	} {
		records := usual(t).Decode(ingest.Source{Origin: mes.Origin{Format: string(c.format)}}, []byte(c.body))
		if _, texts := kept(t, records); texts > 50*700 {
			t.Errorf("%s: %d bytes are told of faults", name, texts)
		}
		fields := records[0].Fault.Fields
		if last := fields[len(fields)-1]; len(fields) != 51 || last != (mes.FieldError{Detail: c.untold}) {
			t.Errorf("%s: %d faults, the last is %.300v", name, len(fields), last)
		}
	}
}

// TestTheFirstPointerIsWhole: a member is named as it is, however long its name is; of others
// that are as long the beginning is told.
func TestTheFirstPointerIsWhole(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 100_000)
	records := usual(t).Decode(ingest.Source{}, []byte(`{"machine_id":"M1","a`+long+`":1,"b`+long+`":1}`))
	fields := records[0].Fault.Fields
	if len(fields) != 2 || fields[0].Pointer != "/a"+long || !strings.HasPrefix(fields[1].Pointer, "/bnn") || len(fields[1].Pointer) > 520 {
		t.Errorf("%d faults: %.300v", len(fields), fields)
	}
}

// TestFaultsOfABatch: where each of thousands of messages has many, all of them together stay
// in bounds, and each tells one.
func TestFaultsOfABatch(t *testing.T) {
	t.Parallel()
	const n = 5000
	one := `{"machine_id":"M1","` + strings.Repeat("p", 200) + `":{` + badMembers(60) + `}}`
	body := "[" + strings.Repeat(one+",", n-1) + one + "]"
	each := `{"Format":"json","JSON":{"Each":[{"Path":"/s","Signals":[{"NamePointer":"/n","Pointer":"/v"}]}]}}`
	mapped := `{"s":[` + strings.TrimSuffix(strings.Repeat(`{"n":"a"},`, 60), ",") + `]}`
	for name, records := range map[string][]mes.Record{
		"array": usual(t).Decode(ingest.Source{}, []byte(body)),
		"lines": usual(t).Decode(ingest.Source{Origin: mes.Origin{Format: string(ingest.FormatNDJSON)}}, []byte(strings.ReplaceAll(body[1:len(body)-1], "}},", "}}\n"))),
		"mapped": decodeMappedBy(t, usual(t), map[string]string{
			"spec": each, "source": `{"SiteID":"main","MachineID":"M1"}`, "body": "[" + strings.Repeat(mapped+",", n-1) + mapped + "]",
		}),
	} {
		if len(records) != n {
			t.Fatalf("%s: %d records", name, len(records))
		}
		if _, texts := kept(t, records); texts > 1<<20+n*400 {
			t.Errorf("%s: %d bytes are told of faults", name, texts)
		}
		first, last := records[0].Fault.Fields, records[n-1].Fault.Fields
		if len(first) != 51 || len(last) != 2 || last[0] != first[0] || !strings.Contains(last[1].Detail, "further faults are not told") {
			t.Errorf("%s: %d faults of the first, of the last %.300v", name, len(first), last)
		}
	}
}

// TestLinesThatAreKept: the line that names the columns stands before each, so that what is
// kept of a message with thousands of bad lines could be thousands of times it.
func TestLinesThatAreKept(t *testing.T) {
	t.Parallel()
	header := "ts," + strings.Repeat("c", 1000) + "\n"
	csv := func(lines int) []mes.Record {
		return decodeMappedBy(t, usual(t), map[string]string{
			"spec": `{"Format":"csv","CSV":{"Header":true,"Time":"ts"}}`, "source": `{"SiteID":"main","MachineID":"M1"}`,
			"body": header + strings.Repeat("1,2,3\n", lines),
		})
	}
	some := csv(4000)
	if bytes, _ := kept(t, some); len(some) != 4000 || bytes > 5<<20 || string(some[3998].Payload) != header+"1,2,3\n" {
		t.Errorf("%d lines are kept by themselves, as %d bytes", len(some), bytes)
	}
	all := csv(5000)
	bytes, _ := kept(t, all)
	if len(all) != 1 || bytes > 40_000 || !strings.Contains(all[0].Fault.Message, "kept as a whole. The first: line 2 has 3 values for 2 columns") {
		t.Errorf("%d records, %d bytes: %.300v", len(all), bytes, all[0].Fault)
	}
}

// TestMappedBatchIsBounded: an element of an array may be many records by its mapping.
func TestMappedBatchIsBounded(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct{ spec, one string }{
		"at most 10000 records": {
			`{"Format":"json","JSON":{"Each":[{"Path":"/s","Time":"/t","Signals":[{"Name":"a","Pointer":"/v"}]}]}}`,
			`{"s":[{"t":1764208800,"v":1},{"t":1764208801,"v":1},{"t":1764208802,"v":1}]}`,
		},
		"at most 200000 signals": {
			`{"Format":"json","JSON":{"Each":[{"Path":"/s","Signals":[{"Name":"a{key}","Pointer":""}]}]}}`,
			`{"s":[` + strings.Repeat("1,", 99) + `1]}`,
		},
	} {
		records := decodeMappedBy(t, usual(t), map[string]string{
			"spec": c.spec, "source": `{"SiteID":"main","MachineID":"M1"}`, "body": "[" + strings.Repeat(c.one+",", 3999) + c.one + "]",
		})
		if len(records) != 1 || records[0].Fault == nil || !strings.Contains(records[0].Fault.Message, want) {
			t.Errorf("%d records, %.300v; want %s", len(records), records[0].Fault, want)
		}
	}
}
