package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plantgate/internal/mes"
)

var day = time.Date(2026, 11, 22, 10, 15, 0, 123456000, time.UTC)

func number(text string) mes.Value {
	v, err := mes.Number(text)
	if err != nil {
		panic(err)
	}
	return v
}

func ptr[T any](v T) *T { return &v }

// fullRecord has every field set, with values that are easily lost.
func fullRecord() mes.Record {
	r := mes.Record{
		SiteID: "wërk-1", MachineID: "M𝟘01 🏭", DataType: mes.Quality,
		Time: day, TimeOrigin: mes.TimeServer, ServerTime: day.Add(time.Microsecond),
		ReceivedAt: day.Add(2 * time.Microsecond),
		Status:     mes.Maintenance, StatusCode: 0x80AB0000, Sequence: ptr(int64(-9223372036854775808)),
		MessageID: "msg \"1\" ü", Snapshot: true, Flags: []mes.Flag{mes.FlagAhead, mes.FlagRetained},
		Origin: mes.Origin{Door: mes.DoorOPCUA, Connection: "press", Address: "ns=1;s=A/B", Format: "value"},
		Signals: []mes.Signal{
			{Name: "array", Value: mes.Array(`[1,"x",null,18446744073709551615]`)},
			{Name: "bool", Value: mes.Bool(true)},
			{Name: "control \"\\", Value: mes.String("tab\t nul\x00 line\n <&> \u2028 🏭")},
			{Name: "decimal", Value: number("0.1234567890123456789012345678901234567890"), Unit: "µm"},
			{Name: "empty", Value: mes.String("")},
			{Name: "int64", Value: mes.Int(-9223372036854775808)},
			{Name: "large", Value: number("1.7976931348623157e308")},
			{Name: "null", Value: mes.Value{}, Unit: "°C"},
			{Name: "text of a number", Value: mes.String("29")},
			{Name: "uint64", Value: mes.Uint(18446744073709551615)},
		},
		Payload: []byte("{\"machine_id\" :\t\"M𝟘01 🏭\", \"x\":1.50}\n"),
	}
	r.Identify(mes.ID{})
	return r
}

func testRecordRoundTrip(t *testing.T, s Store) {
	full := fullRecord()
	bare := NewRecord("s", "m", time.UnixMicro(0).UTC())
	early := NewRecord("s", "m", time.Date(1901, 1, 1, 0, 0, 0, 1000, time.UTC))
	for _, want := range []mes.Record{full, bare, early} {
		Append(t, s, want)
		got, err := s.Record(t.Context(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, CompareRecords()); diff != "" {
			t.Errorf("record (-want +got):\n%s", diff)
		}
		if got.ContentHash() != want.ContentHash() {
			t.Error("the content hash changed on the way")
		}
	}
	got, err := s.Record(t.Context(), bare.ID)
	if err != nil || got.Payload != nil || !got.ServerTime.IsZero() || got.Sequence != nil {
		t.Errorf("what was not there came back: %+v, %v", got, err)
	}
	if _, err := s.Record(t.Context(), mes.NewID()); mes.ErrorCode(err) != mes.CodeNotFound {
		t.Errorf("an unknown id: %v", err)
	}
}

// variedRecords differ in everything that a list can filter by, and tie in time.
func variedRecords() []mes.Record {
	var list []mes.Record
	dataTypes, statuses := mes.DataTypes(), append(mes.Statuses(), "")
	doors := []mes.Door{mes.DoorREST, mes.DoorMQTT, mes.DoorOPCUA}
	for i := range 60 {
		r := NewRecord(fmt.Sprintf("s%d", i%2), fmt.Sprintf("m%d", i%3), day.Add(time.Duration(i/8)*time.Microsecond))
		r.DataType, r.Status, r.Origin.Door = dataTypes[i%len(dataTypes)], statuses[i%len(statuses)], doors[i/4%len(doors)]
		if i%4 != 0 {
			r.Sequence = ptr(int64(i%4 - 2))
		}
		r.Signals[0].Value = mes.Int(int64(i))
		r.Identify(mes.ID{})
		list = append(list, r)
	}
	return list
}

// expected is the meaning of a filter, without an index.
func expected(records []mes.Record, f mes.RecordFilter) []mes.ID {
	var kept []mes.Record
	for _, r := range records {
		switch {
		case !f.Scope.Allows(r.SiteID, r.MachineID),
			f.SiteID != "" && f.SiteID != r.SiteID,
			f.MachineID != "" && f.MachineID != r.MachineID,
			f.DataType != "" && f.DataType != r.DataType,
			f.Door != "" && f.Door != r.Origin.Door,
			f.Status != "" && f.Status != r.Status,
			!f.From.IsZero() && r.Time.Before(f.From),
			!f.To.IsZero() && !r.Time.Before(f.To),
			f.After != nil && r.Position().Compare(*f.After) == 0,
			f.After != nil && (r.Position().Compare(*f.After) < 0) != f.Descending:
		default:
			kept = append(kept, r)
		}
	}
	slices.SortFunc(kept, func(a, b mes.Record) int { return a.Position().Compare(b.Position()) })
	if f.Descending {
		slices.Reverse(kept)
	}
	return ids(kept)
}

func ids(records []mes.Record) []mes.ID {
	list := make([]mes.ID, len(records))
	for i, r := range records {
		list[i] = r.ID
	}
	return list
}

func filters() map[string]mes.RecordFilter {
	return map[string]mes.RecordFilter{
		"all":                {},
		"site":               {SiteID: "s0"},
		"machine":            {SiteID: "s1", MachineID: "m1"},
		"machine alone":      {MachineID: "m2"},
		"type":               {SiteID: "s1", DataType: mes.Quality},
		"door":               {Door: mes.DoorMQTT},
		"status":             {Status: mes.Idle},
		"times":              {From: day.Add(2 * time.Microsecond), To: day.Add(5 * time.Microsecond)},
		"from a page before": {From: day.Add(3 * time.Microsecond), After: &mes.Position{Time: day}},
		"to a page after":    {To: day.Add(3 * time.Microsecond), After: &mes.Position{Time: day.Add(time.Hour)}, Descending: true},
		"scope":              {Scope: mes.Scope{Sites: []string{"s1", "s9"}, Machines: []string{"m0", "m2"}}},
		"out of scope":       {SiteID: "s0", Scope: mes.Scope{Sites: []string{"s1"}}},
		"everything": {SiteID: "s1", MachineID: "m1", DataType: mes.Production, Door: mes.DoorREST, Status: mes.Idle,
			From: day, To: day.Add(time.Hour), Scope: mes.Scope{Sites: []string{"s1"}, Machines: []string{"m1"}}},
	}
}

func testRecordFilters(t *testing.T, s Store) {
	records := variedRecords()
	Append(t, s, records...)
	for name, f := range filters() {
		for _, f.Descending = range []bool{false, true} {
			got, err := s.Records(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(expected(records, f), ids(got)); diff != "" {
				t.Errorf("%s, descending %v (-want +got):\n%s", name, f.Descending, diff)
			}
		}
	}
}

func testRecordPaging(t *testing.T, s Store) {
	records := variedRecords()
	Append(t, s, records...)
	for name, f := range filters() {
		for _, f.Descending = range []bool{false, true} {
			for _, f.Limit = range []int{1, 7} {
				if diff := cmp.Diff(expected(records, f), readPages(t, s, f, nil)); diff != "" {
					t.Errorf("%s, descending %v, limit %d (-want +got):\n%s", name, f.Descending, f.Limit, diff)
				}
			}
		}
	}
}

// readPages reads a list to its end and calls between after each page.
func readPages(t *testing.T, s Store, f mes.RecordFilter, between func()) []mes.ID {
	t.Helper()
	all := []mes.ID{}
	for {
		page, err := s.Records(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) > f.Limit {
			t.Fatalf("a page of %d with a limit of %d", len(page), f.Limit)
		}
		all = append(all, ids(page)...)
		if len(page) < f.Limit {
			return all
		}
		f.After = ptr(page[len(page)-1].Position())
		if between != nil {
			between()
		}
	}
}

// testPagingUnderInserts checks that a reader meets every record that was there
// when it began exactly once, whatever is inserted on either side of it.
func testPagingUnderInserts(t *testing.T, s Store) {
	var first []mes.Record
	for i := range 60 {
		first = append(first, NewRecord("s", "m", day.Add(time.Duration(i)*time.Second)))
	}
	Append(t, s, first...)
	var mu sync.Mutex
	inserted := 0
	for _, descending := range []bool{false, true} {
		seen := map[mes.ID]int{}
		list := readPages(t, s, mes.RecordFilter{Descending: descending, Limit: 5}, func() {
			mu.Lock()
			defer mu.Unlock()
			if inserted > 100 {
				return
			}
			for range 3 {
				inserted++
				offset := time.Duration(inserted*7919%60_000)*time.Millisecond + time.Millisecond
				Append(t, s, NewRecord("s", "m", day.Add(offset)))
			}
		})
		for _, id := range list {
			seen[id]++
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("descending %v: record %s came %d times", descending, id, n)
			}
		}
		for _, r := range first {
			if seen[r.ID] != 1 {
				t.Errorf("descending %v: record of %s was missed", descending, r.Time)
			}
		}
	}
	if inserted == 0 {
		t.Fatal("nothing was inserted between pages")
	}
}

// testCaseAndUnicode checks that ids that differ only in case, accents, width or
// normal form stay apart.
func testCaseAndUnicode(t *testing.T, s Store) {
	names := []string{"m1", "M1", "ﬁ", "fi", "é", "e\u0301", "ß", "ss", "𝟘", "0", "０", "I", "ı", "İ", "🏭", "m1\u00a0x"}
	for i, name := range names {
		Append(t, s, NewRecord("s", name, day.Add(time.Duration(i)*time.Second)))
	}
	for _, name := range names {
		records, err := s.Records(t.Context(), mes.RecordFilter{SiteID: "s", MachineID: name})
		if err != nil {
			t.Fatal(err)
		}
		if len(records) != 1 || records[0].MachineID != name {
			t.Errorf("machine %q has %d records", name, len(records))
		}
		if unit, err := s.Equipment(t.Context(), "s", name); err != nil || unit.ID != name {
			t.Errorf("equipment %q: %q, %v", name, unit.ID, err)
		}
	}
	list, err := s.EquipmentList(t.Context(), mes.EquipmentFilter{})
	if err != nil || len(list) != len(names) {
		t.Errorf("%d work units of %d names, %v", len(list), len(names), err)
	}
	latest, err := s.Latest(t.Context(), mes.LatestFilter{})
	if err != nil || len(latest) != len(names) {
		t.Errorf("%d newest values of %d names, %v", len(latest), len(names), err)
	}
}
