package ingest_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

var update = flag.Bool("update", false, "write the golden files of the decoder")

var received = time.Date(2026, 11, 22, 10, 20, 0, 0, time.UTC)

func sites(t testing.TB) *ingest.Sites {
	t.Helper()
	s, err := ingest.NewSites("main", map[string]string{
		"main": "UTC", "pune": "Asia/Kolkata", "york": "America/New_York", "berlin": "Europe/Berlin", "lord": "Australia/Lord_Howe",
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func decoder(t testing.TB) *ingest.JSONDecoder {
	return ingest.NewDecoder(ingest.Limits{MaxRecord: 4096, MaxBatch: 5, MaxDepth: 8}, sites(t))
}

// TestDecode runs the golden cases: each file has what the door knew, the bytes
// that came, and the records that they must become.
func TestDecode(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/decode/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sections := map[string]string{}
			for _, f := range archive.Files {
				sections[f.Name] = string(f.Data)
			}
			src := ingest.Source{ReceivedAt: received}
			if s := sections["source"]; s != "" {
				if err := json.Unmarshal([]byte(s), &src); err != nil {
					t.Fatal(err)
				}
			}
			got := describe(decoder(t).Decode(src, []byte(strings.TrimSuffix(sections["body"], "\n"))))
			if *update {
				writeGolden(t, file, archive, got)
				return
			}
			if diff := cmp.Diff(sections["want"], got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func writeGolden(t *testing.T, file string, archive *txtar.Archive, got string) {
	t.Helper()
	archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == "want" })
	archive.Files = append(archive.Files, txtar.File{Name: "want", Data: []byte(got)})
	if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
		t.Fatal(err)
	}
}

// describe writes records in words, one fact a line.
func describe(records []mes.Record) string {
	var b strings.Builder
	for _, r := range records {
		if r.Fault != nil {
			b.WriteString("fault " + string(r.Fault.Code) + ": " + r.Fault.Error() + "\n")
			b.WriteString("  of " + string(r.Payload) + "\n")
			continue
		}
		b.WriteString(r.SiteID + "~" + r.MachineID + " " + string(r.DataType) + " " + string(r.Status) + "\n")
		if r.TimeOrigin == mes.TimeSource {
			b.WriteString("  at " + r.Time.Format(time.RFC3339Nano))
			if !r.AltTime.IsZero() {
				b.WriteString(" or " + r.AltTime.Format(time.RFC3339Nano))
			}
			b.WriteString("\n")
		}
		if r.Sequence != nil || r.MessageID != "" || r.Snapshot || len(r.Flags) > 0 {
			extra, _ := json.Marshal(map[string]any{"sequence": r.Sequence, "message_id": r.MessageID, "snapshot": r.Snapshot, "flags": r.Flags})
			b.WriteString("  " + string(extra) + "\n")
		}
		if r.StatusCode != 0 {
			b.WriteString(fmt.Sprintf("  quality %#x\n", uint32(r.StatusCode)))
		}
		for _, s := range r.Signals {
			b.WriteString("  " + s.Name + " = " + string(s.Value.AppendJSON(nil)))
			if s.Unit != "" {
				b.WriteString(" " + s.Unit)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func TestDecodeLimits(t *testing.T) {
	t.Parallel()
	d := decoder(t)
	one := `{"machine_id":"M1","x":1}`
	for name, c := range map[string]struct {
		body string
		code mes.Code
	}{
		"record too large":  {`{"machine_id":"M1","x":"` + strings.Repeat("y", 5000) + `"}`, mes.CodeTooLarge},
		"batch too large":   {"[" + strings.Repeat(one+",", 5) + one + "]", mes.CodeTooLarge},
		"nested 9 levels":   {`{"machine_id":"M1","x":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`, mes.CodeMalformed},
		"nested 2000":       {strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 300), mes.CodeMalformed},
		"array nested 1100": {strings.Repeat("[", 1100) + strings.Repeat("]", 1100), mes.CodeMalformed},
		"invalid UTF-8":     {"{\"machine_id\":\"M\xff1\",\"x\":1}", mes.CodeMalformed},
		"UTF-16":            {"\xff\xfe{\x00\"\x00", mes.CodeMalformed},
		"lone surrogate":    {`{"machine_id":"\ud800","x":1}`, mes.CodeMalformed},
	} {
		records := d.Decode(ingest.Source{ReceivedAt: received}, []byte(c.body))
		if len(records) != 1 || records[0].Fault == nil || records[0].Fault.Code != c.code {
			t.Errorf("%s: got %s", name, describe(records))
			continue
		}
		if len(records[0].Payload) == 0 {
			t.Errorf("%s: the bytes were not kept", name)
		}
	}
	ok := d.Decode(ingest.Source{ReceivedAt: received}, []byte(`{"machine_id":"M1","x":`+strings.Repeat("[", 7)+strings.Repeat("]", 7)+`}`))
	if ok[0].Fault != nil {
		t.Errorf("8 levels are allowed: %v", ok[0].Fault)
	}
}

func TestBatchSignalsAreBounded(t *testing.T) {
	t.Parallel()
	d := ingest.NewDecoder(ingest.Limits{MaxRecord: 1 << 20, MaxBatch: 1000, MaxDepth: 4}, sites(t))
	var one strings.Builder
	one.WriteString(`{"machine_id":"M1"`)
	for i := range 4000 {
		fmt.Fprintf(&one, `,"s%d":1`, i)
	}
	one.WriteString("}")
	for n, whole := range map[int]bool{50: false, 51: true} {
		array := "[" + strings.Repeat(one.String()+",", n-1) + one.String() + "]"
		lines := strings.Repeat(one.String()+"\n", n)
		for format, body := range map[string]string{"auto": array, "ndjson": lines} {
			records := d.Decode(ingest.Source{Origin: mes.Origin{Format: format}, ReceivedAt: received}, []byte(body))
			if whole != (len(records) == 1 && records[0].Fault != nil && records[0].Fault.Code == mes.CodeTooLarge) {
				t.Errorf("%s of %d records of 4,000 signals: %d records", format, n, len(records))
			}
		}
	}
}

func TestSourceFillsWhatTheMessageLeavesOut(t *testing.T) {
	t.Parallel()
	src := ingest.Source{
		Origin: mes.Origin{Door: mes.DoorMQTT, Format: "flat"}, SiteID: "pune", MachineID: "M9", DataType: mes.State,
		ReceivedAt: received, Retained: true, Zone: time.FixedZone("", 3600),
	}
	r := decoder(t).Decode(src, []byte(`{"timestamp":"2026-11-22T10:15:00","x":1}`))[0]
	if r.Fault != nil || r.SiteID != "pune" || r.MachineID != "M9" || r.DataType != mes.State || !r.HasFlag(mes.FlagRetained) {
		t.Errorf("got %+v", r)
	}
	if want := time.Date(2026, 11, 22, 9, 15, 0, 0, time.UTC); !r.Time.Equal(want) {
		t.Errorf("the binding's zone was not used: %s", r.Time)
	}
}

func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("testdata/decode/*.txtar")
	for _, file := range files {
		if a, err := txtar.ParseFile(file); err == nil {
			for _, section := range a.Files {
				if section.Name == "body" {
					f.Add(section.Data, "auto")
					f.Add(section.Data, "ndjson")
					f.Add(section.Data, "snapshot")
					f.Add(section.Data, "payload")
				}
			}
		}
	}
	f.Add([]byte(`{"node_id":"ns=1;s=F","timestamp":"2026-11-22T10:15:00.123456Z","timestamp_origin":"server","server_timestamp":"2026-11-22T10:15:00.123456Z","status_code":1073741824,"flags":["overflow"],"signals":[{"name":"F","value":29,"unit":"kN"}]}`), "datavalue")
	d := decoder(f)
	f.Fuzz(func(t *testing.T, body []byte, format string) {
		src := ingest.Source{Origin: mes.Origin{Format: format}, ReceivedAt: received}
		if format == string(ingest.FormatPayload) {
			src.DataType = mes.Production
		}
		records := d.Decode(src, body)
		if len(records) == 0 {
			t.Fatal("a message vanished")
		}
		for _, r := range records {
			if r.Fault != nil {
				continue
			}
			if fault := r.Validate(); fault != nil {
				t.Fatalf("accepted although %v", fault)
			}
			r.Identify(mes.ID{})
			for i, s := range r.Signals {
				if i > 0 && r.Signals[i-1].Name >= s.Name {
					t.Fatalf("signals out of order at %q", s.Name)
				}
				if !json.Valid(s.Value.AppendJSON(nil)) {
					t.Fatalf("%q is not JSON", s.Value.AppendJSON(nil))
				}
			}
		}
	})
}
