package ingest_test

import (
	"bytes"
	"testing"

	"plantgate/internal/ingest"
	"plantgate/internal/ingest/mapping"
	"plantgate/internal/mes"
)

// sound holds the records of any bytes to what every record has to be.
func sound(t *testing.T, src ingest.Source, body []byte) []mes.Record {
	t.Helper()
	records := decoder(t).Decode(src, body)
	if len(records) == 0 {
		t.Fatal("the message vanished")
	}
	for i := range records {
		r := &records[i]
		switch {
		case r.Fault == nil && r.Validate() != nil:
			t.Fatalf("an invalid record was accepted: %v", r.Validate())
		case r.Fault == nil:
			r.Identify(mes.NewID())
		case len(r.Payload) == 0 && len(body) > 0:
			t.Fatalf("the bytes of a faulty message are lost: %v", r.Fault)
		case src.Mapping.Format != mapping.CSV && !bytes.Contains(body, r.Payload):
			t.Fatalf("%q is kept as %q", body, r.Payload)
		}
	}
	return records
}

func mappedSource(t testing.TB, spec string, captures ...string) ingest.Source {
	m := compile(t, spec, mapping.Captures(captures))
	return ingest.Source{MachineID: "M1", ReceivedAt: received, Mapping: m, Origin: mes.Origin{Door: mes.DoorMQTT, Format: m.Format}}
}

func FuzzMappedJSON(f *testing.F) {
	src := mappedSource(f, `{"Format":"json","StatusMap":{"1":"Running"},"Units":{"x":"m"},"Constants":{"line":"{line}"},"JSON":{
		"Machine":"/m","Site":"/s","Time":"/t","Status":"/st","MessageID":"/id","Sequence":"/q","DataType":"/dt","Quality":"/ql",
		"Optional":["machine","site","time","status","message_id","sequence","data_type","quality"],
		"Signals":[{"Name":"x","Pointer":"/x","Scale":"0.1","Offset":"-40","Optional":true},{"Name":"y","Pointer":"/y/0","UnitPointer":"/u","QualityPointer":"/yq","Optional":true}],
		"Each":[{"Path":"/l/*/v","Time":"/t","Optional":["path","time"],"Signals":[{"Name":"{key}","Pointer":"","Optional":true},{"NamePointer":"/n","Pointer":"/v","Optional":true,"Type":"boolean"}]}]}}`, "{line}", "l2")
	for _, body := range []string{
		`{"m":"M1","s":"pune","t":"2026-11-22T10:15:00","st":1,"id":"a","q":7,"dt":"Event","ql":"bad","x":2215,"y":[1],"u":"m","yq":0}`,
		`[{"x":1},{"l":{"a":{"v":[1,2]},"b":{"v":{"k":{"n":"z","v":1,"t":1}}}}}]`, `{"l":[{"v":[[[]]]}]}`, `{"x":1e308}`, `{"x":"1e-9"}`, `[]`, `{`, `"`, "\xff", ``,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { sound(t, src, body) })
}

func FuzzMappedCSV(f *testing.F) {
	positional := mappedSource(f, `{"Format":"csv","StatusMap":{"1":"Running"},"CSV":{"Columns":["ts","m","x","st","note"],"Time":"ts","Machine":"m","Status":"st","Optional":["machine","status"],"Ignore":["note"],"Signals":[{"Column":"x","Scale":"0.1"}]}}`)
	named := mappedSource(f, `{"Format":"csv","DecimalComma":true,"CSV":{"Separator":";","Header":true,"Time":"ts","Optional":["time"]}}`)
	for _, body := range []string{
		"2026-11-22T10:15:00Z,M1,3,1,n\n2026-11-22T10:15:01Z,M1,3\n", "ts;x;y\n1795342500;1,5;a\n;2;\"b\nc\"\n", "\"", "a\"b\nc,d", ",,,,\n", "\r\n\r\n", "x\x00y", "\xff", "ts;ts\n", "",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, src := range []ingest.Source{positional, named} {
			for _, r := range sound(t, src, body) {
				if r.Fault == nil {
					continue
				}
				// What quarantine keeps is as faulty when it is read by itself.
				again := decoder(t).Decode(src, r.Payload)
				if len(again) != 1 || again[0].Fault == nil || again[0].Fault.Code != r.Fault.Code {
					t.Fatalf("%q of %q is read again as %s", r.Payload, body, describe(again))
				}
			}
		}
	})
}

func FuzzMappedValue(f *testing.F) {
	number := mappedSource(f, `{"Format":"number","Signal":"{signal}","Scale":"0.1","DecimalComma":true}`, "{signal}", "x")
	text := mappedSource(f, `{"Format":"text","Signal":"recipe","Constants":{"a":"{signal}"}}`, "{signal}", "x")
	status := mappedSource(f, `{"Format":"number","StatusMap":{"1":"Running","RUN":"Running"}}`)
	for _, body := range []string{"3", `"4,5"`, "+1", "true", "RUN", "\"", "\xef\xbb\xbf1", "\n", "\x00", "\xff", "1e999", ""} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, src := range []ingest.Source{number, text, status} {
			if got := sound(t, src, body); len(got) != 1 {
				t.Fatalf("%d records", len(got))
			}
		}
	})
}
