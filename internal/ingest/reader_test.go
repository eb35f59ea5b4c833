package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"plantgate/internal/mes"
)

// jsonSeeds are messages, and what is nearly one.
func jsonSeeds() []string {
	return []string{
		`{"machine_id":"M001","timestamp":"2026-11-22T10:15:00","temperature":72.31,"status":"Running"}`,
		`{"a":{"b":[1,-0.5e-3,[],{}],"c":null},"d":true,"e":false,"":""}`, " [ 1 , 2 ]\r\n\t", `[1,2`, `[1,2]]`, `[1,]`, `[,1]`, `{"a":1,}`,
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a" 1}`, `{a:1}`, `"\u00b0C \ud83d\ude00 \n"`, `"\ud83d"`, `"\ude00\ud83d"`, `"\ud83d\u0041"`, `"\x"`, `"\u12g4"`,
		"\"\xff\"", "\"\x01\"", `01`, `-`, `-0`, `1.`, `.5`, `1e`, `1e+`, `1E-7`, `nul`, `nulll`, `true1`, `NaN`, ``, ` `, `{}`, `[]`, `1 2`,
		strings.Repeat("[", 5) + strings.Repeat("]", 5), strings.Repeat(`{"a":`, 4) + "1" + strings.Repeat("}", 4), strings.Repeat("[", 120) + strings.Repeat("]", 120),
		`{` + manyMembers(20) + `}`, `{` + manyMembers(20) + `,"m3":1}`, "\xef\xbb\xbf{}", `{"a":"é"}`,
	}
}

func manyMembers(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"m%d":%d`, i, i)
	}
	return strings.Join(members, ",")
}

// FuzzFastJSON: what the reader takes is what the library reads, and what it does
// not take, the library refuses.
func FuzzFastJSON(f *testing.F) {
	for _, seed := range jsonSeeds() {
		f.Add([]byte(seed))
	}
	var r reader
	f.Fuzz(func(t *testing.T, message []byte) {
		const maxDepth = 5
		want, fault := parseJSON(message, maxDepth)
		got, ok := r.read(string(message), maxDepth)
		if ok != (fault == nil) {
			t.Fatalf("%q: taken is %v, but the fault %v", message, ok, fault)
		}
		if ok && !sameNode(got, want) {
			t.Fatalf("%q: %+v, want %+v", message, got, want)
		}
		r.forget()
	})
}

func sameNode(a, b node) bool {
	return a.kind == b.kind && a.text == b.text && slices.EqualFunc(a.items, b.items, sameNode) &&
		slices.EqualFunc(a.members, b.members, func(a, b member) bool { return a.name == b.name && sameNode(a.value, b.value) })
}

// FuzzElements: an array has the elements, or the fault, that the library finds.
func FuzzElements(f *testing.F) {
	for _, seed := range jsonSeeds() {
		f.Add([]byte("[" + seed + "]"))
		f.Add([]byte(" [ " + seed + ",\n" + seed + "] "))
	}
	d := testDecoder(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		src := Source{ReceivedAt: time.Now()}
		if start := bytes.TrimLeft(body, " \t\r\n"); len(start) == 0 || start[0] != '[' {
			return
		}
		want, wellFormed := elements(body)
		batch, fault := d.Open(src, body)
		if taken := wellFormed && len(want) > 0 && len(want) <= d.limits.MaxBatch; taken != (fault == nil) {
			t.Fatalf("%q: %d elements, well-formed %v, but the fault %v", body, len(want), wellFormed, fault)
		}
		if fault != nil {
			return
		}
		records := make([]mes.Record, 2)
		for n := batch.Next(records); n > 0; n = batch.Next(records) {
			for _, r := range records[:n] {
				if len(want) == 0 || !bytes.Equal(r.Payload, want[0]) {
					t.Fatalf("%q: element %q", body, r.Payload)
				}
				want = want[1:]
			}
		}
		if len(want) > 0 {
			t.Fatalf("%q: the elements %q are missing", body, want)
		}
	})
}

// elements has the library take an array apart.
func elements(body []byte) (list [][]byte, ok bool) {
	dec := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))
	if _, err := dec.ReadToken(); err != nil {
		return nil, false
	}
	for dec.PeekKind() != ']' {
		raw, err := dec.ReadValue()
		if err != nil {
			return nil, false
		}
		list = append(list, bytes.Clone(raw))
	}
	_, err := dec.ReadToken()
	_, end := dec.ReadToken()
	return list, err == nil && errors.Is(end, io.EOF)
}

func testDecoder(tb testing.TB) *JSONDecoder {
	tb.Helper()
	sites, err := NewSites("main", map[string]string{"main": "Europe/Berlin"})
	if err != nil {
		tb.Fatal(err)
	}
	return NewDecoder(Limits{MaxRecord: 4096, MaxBatch: 100, MaxDepth: 5}, sites)
}

// The records of a batch are the same, however many are read at a time.
func TestBatchInParts(t *testing.T) {
	t.Parallel()
	d := testDecoder(t)
	var lines []string
	for i := range 50 {
		lines = append(lines, fmt.Sprintf(`{"machine_id":"M%d","timestamp":"2026-11-22T10:15:00","a":{"b":[%d,"ü"]},"broken":%s}`, i, i, [...]string{"1", "{}", `""`}[i%3]))
	}
	for format, body := range map[Format]string{
		FormatAuto: " [" + strings.Join(lines, " ,\n") + "]\n", FormatNDJSON: strings.Join(lines, "\n\n \n"),
	} {
		src := Source{Origin: mes.Origin{Format: string(format)}, ReceivedAt: time.Unix(1, 0)}
		want := d.Decode(src, []byte(body))
		for _, size := range []int{1, 7, 50, 51} {
			batch, fault := d.Open(src, []byte(body))
			if fault != nil {
				t.Fatal(fault)
			}
			if batch.Len() != len(lines) {
				t.Errorf("%s: %d messages", format, batch.Len())
			}
			var got []mes.Record
			records := make([]mes.Record, size)
			for n := batch.Next(records); n > 0; n = batch.Next(records) {
				got = append(got, records[:n]...)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(mes.Value{}), cmp.Comparer(sameFault)); diff != "" {
				t.Errorf("%s by %d: (-want +got):\n%s", format, size, diff)
			}
		}
	}
}

func sameFault(a, b *mes.Error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}

// FuzzPlainTime: what is read in the quick way is what the other way reads.
func FuzzPlainTime(f *testing.F) {
	for _, s := range []string{
		"2026-11-22T10:15:00", "2026-11-22 10:15:00.5+01:00", "2026-11-22T10:15:00.123456789-23:59", "2026-02-29T00:00:00Z", "2024-02-29T23:59:59Z",
		"2026-11-22T10:15:60Z", "2026-11-22T24:00:00Z", "2026-00-10T00:00:00", "2026-01-00T00:00:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59.999999999-23:59",
		"2026-11-22T10:15:00.", "2026-11-22T10:15:00.1234567890Z", "2026-11-22T10:15:00+24:00", "2026-11-22T10:15:00+01:60", "2026-11-22T10:15:00z", "2026-11-2xT10:15:00Z",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, gotLocal, ok := plainTime(s)
		if !ok {
			return
		}
		want, wantLocal, err := looseTime(s)
		if err != nil || got != want || gotLocal != wantLocal {
			t.Fatalf("%q: %s %v, want %s %v %v", s, got, gotLocal, want, wantLocal, err)
		}
	})
}
