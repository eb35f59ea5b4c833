package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"plantgate/internal/mes"
)

func equateLatest() gocmp.Options { return gocmp.Options{gocmp.AllowUnexported(mes.Value{})} }

// reading returns a record of the machine with one signal at a second of the day.
func reading(second int, value int64) mes.Record {
	r := NewRecord("s", "m", day.Add(time.Duration(second)*time.Second))
	r.Signals = []mes.Signal{{Name: "x", Value: mes.Int(value), Unit: "mm"}}
	r.Identify(mes.ID{})
	return r
}

func snapshot(second int, value int64) mes.Record {
	r := reading(second, value)
	r.Snapshot = true
	return r
}

func latestOf(t testing.TB, s Store, signal string) mes.Latest {
	t.Helper()
	list, err := s.Latest(t.Context(), mes.LatestFilter{SiteID: "s", MachineID: "m"})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		if l.Signal.Name == signal {
			return l
		}
	}
	t.Fatalf("there is no newest value of %s", signal)
	return mes.Latest{}
}

func expectLatest(t *testing.T, s Store, value int64, newAt int) {
	t.Helper()
	got := latestOf(t, s, "x")
	if at := day.Add(time.Duration(newAt) * time.Second); got.Signal.Value != mes.Int(value) || !got.Time.Equal(at) {
		t.Errorf("newest value is %s of %s, want %d of %s", got.Signal.Value.Text(), got.Time, value, at)
	}
}

func testLatest(t *testing.T, s Store) {
	newest := reading(10, 2)
	newest.StatusCode, newest.Status, newest.Origin.Door = 0x40000000, mes.Running, mes.DoorOPCUA
	newest.Identify(mes.ID{})
	Append(t, s, newest)
	Append(t, s, reading(5, 1))
	want := mes.Latest{
		SiteID: "s", MachineID: "m", Signal: newest.Signals[0], Time: newest.Time, TimeOrigin: mes.TimeSource,
		ReceivedAt: newest.ReceivedAt, StatusCode: newest.StatusCode, Door: mes.DoorOPCUA, RecordID: newest.ID,
	}
	if diff := gocmp.Diff(want, latestOf(t, s, "x"), equateLatest()); diff != "" {
		t.Errorf("latest (-want +got):\n%s", diff)
	}
	if got := latestOf(t, s, mes.SignalStatus); got.Signal.Value != mes.String("Running") {
		t.Errorf("status is %v", got.Signal.Value)
	}
	null := reading(11, 0)
	null.Signals[0].Value = mes.Value{}
	null.Identify(mes.ID{})
	Append(t, s, null)
	if got := latestOf(t, s, "x"); !got.Signal.Value.IsNull() {
		t.Errorf("no value yet came back as %v", got.Signal.Value)
	}
	// At equal times none comes before any sequence, and the greater wins.
	for _, sequence := range []int64{3, -1, 7, 5} {
		r := reading(12, 100+sequence)
		r.Sequence = &sequence
		r.Identify(mes.ID{})
		Append(t, s, r)
	}
	Append(t, s, reading(12, 999))
	expectLatest(t, s, 107, 12)
	testLatestPaging(t, s)
}

func testLatestPaging(t *testing.T, s Store) {
	other := reading(1, 1)
	other.SiteID = "r"
	other.Identify(mes.ID{})
	Append(t, s, other)
	f := mes.LatestFilter{Limit: 1}
	var names []string
	for {
		page, err := s.Latest(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		names = append(names, page[0].SiteID+" "+page[0].Signal.Name)
		f.AfterSiteID, f.AfterMachineID, f.AfterSignalID = page[0].SiteID, page[0].MachineID, page[0].Signal.Name
	}
	if diff := gocmp.Diff([]string{"r x", "s status", "s x"}, names); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	list, err := s.Latest(t.Context(), mes.LatestFilter{Scope: mes.Scope{Sites: []string{"r"}}})
	if err != nil || len(list) != 1 {
		t.Errorf("scope of one site: %v, %v", list, err)
	}
}

// testLatestOfSnapshots tells the story of one variable that is repeated in
// every snapshot.
func testLatestOfSnapshots(t *testing.T, s Store) {
	Append(t, s, snapshot(10, 1))
	Append(t, s, snapshot(20, 1))
	expectLatest(t, s, 1, 10)
	Append(t, s, snapshot(30, 1), snapshot(40, 1))
	expectLatest(t, s, 1, 10)
	Append(t, s, snapshot(5, 1)) // late: the run is older than it seemed
	expectLatest(t, s, 1, 5)
	Append(t, s, snapshot(3, 2)) // late: another value before the run
	Append(t, s, snapshot(2, 1)) // late: the same value, but before that other
	expectLatest(t, s, 1, 5)
	Append(t, s, snapshot(25, 2)) // late: the value was another in between
	expectLatest(t, s, 1, 30)
	Append(t, s, snapshot(27, 1)) // late: it was back sooner
	expectLatest(t, s, 1, 27)
	Append(t, s, snapshot(28, 2), snapshot(29, 3)) // late: two others at once
	expectLatest(t, s, 1, 30)
	Append(t, s, reading(35, 1)) // a reading of its own is new, though equal
	expectLatest(t, s, 1, 40)
	Append(t, s, snapshot(50, 3))
	expectLatest(t, s, 3, 50)
	Append(t, s, reading(60, 3))
	expectLatest(t, s, 3, 60)
	Append(t, s, snapshot(70, 3))
	expectLatest(t, s, 3, 70)
}

// testLatestKeepsValues compares newest values with a record whose values are
// easily lost.
func testLatestKeepsValues(t *testing.T, s Store) {
	full := fullRecord()
	Append(t, s, full)
	list, err := s.Latest(t.Context(), mes.LatestFilter{SiteID: full.SiteID, MachineID: full.MachineID})
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(latestByRule([]mes.Record{full}), list, equateLatest()); diff != "" {
		t.Errorf("latest (-want +got):\n%s", diff)
	}
}

// testLatestConverges applies a set of records in any order, split and repeated,
// and finds what a plain reading of the rule says.
func testLatestConverges(t *testing.T, s Store) {
	machine := 0
	rapid.Check(t, func(rt *rapid.T) {
		machine++
		name := fmt.Sprintf("m%d", machine) // each case has a machine of its own
		records := drawRecords(rt, name)
		arrivals := append(rapid.Permutation(records).Draw(rt, "order"),
			rapid.SliceOfN(rapid.SampledFrom(records), 0, 4).Draw(rt, "repeats")...)
		for len(arrivals) > 0 {
			n := min(len(arrivals), rapid.SampledFrom([]int{1, 1, 2, 3, 99}).Draw(rt, "batch"))
			Append(t, s, arrivals[:n]...)
			arrivals = arrivals[n:]
		}
		got, err := s.Latest(t.Context(), mes.LatestFilter{SiteID: "s", MachineID: name})
		if err != nil {
			rt.Fatal(err)
		}
		if diff := gocmp.Diff(latestByRule(records), got, equateLatest()); diff != "" {
			rt.Fatalf("latest (-rule +store):\n%s", diff)
		}
	})
}

func drawRecords(rt *rapid.T, machine string) []mes.Record {
	byID := map[mes.ID]bool{}
	var records []mes.Record
	for range rapid.IntRange(1, 16).Draw(rt, "records") {
		r := NewRecord("s", machine, day.Add(time.Duration(rapid.IntRange(0, 15).Draw(rt, "second"))*time.Second))
		r.Snapshot = rapid.SampledFrom([]bool{true, true, true, true, true, false}).Draw(rt, "snapshot")
		r.ReceivedAt = day.Add(time.Hour)
		r.Signals = nil
		for _, signal := range []string{"x", "y"} {
			if v := rapid.SampledFrom([]int64{1, 1, 1, 2, 0}).Draw(rt, signal); v > 0 {
				r.Signals = append(r.Signals, mes.Signal{Name: signal, Value: mes.Int(v)})
			}
		}
		if rapid.IntRange(0, 3).Draw(rt, "status") == 0 || len(r.Signals) == 0 {
			r.Status = rapid.SampledFrom([]mes.Status{mes.Running, mes.Idle}).Draw(rt, "which")
		}
		if rapid.IntRange(0, 4).Draw(rt, "sequenced") == 0 {
			r.Sequence = ptr(int64(rapid.IntRange(0, 2).Draw(rt, "sequence")))
		}
		r.Identify(mes.ID{})
		if !byID[r.ID] {
			byID[r.ID] = true
			records = append(records, r)
		}
	}
	return records
}

// latestByRule walks all records of a machine in order.
func latestByRule(records []mes.Record) []mes.Latest {
	ordered := slices.SortedFunc(slices.Values(records), func(a, b mes.Record) int { return a.Position().Compare(b.Position()) })
	type state struct {
		latest mes.Latest
		inRun  bool
	}
	bySignal := map[string]state{}
	for _, r := range ordered {
		signals := r.Signals
		if r.Status != "" {
			signals = append([]mes.Signal{{Name: mes.SignalStatus, Value: mes.String(string(r.Status))}}, signals...)
		}
		for _, signal := range signals {
			before, ok := bySignal[signal.Name]
			next := state{inRun: r.Snapshot, latest: mes.Latest{
				SiteID: r.SiteID, MachineID: r.MachineID, Signal: signal, Time: r.Time, TimeOrigin: r.TimeOrigin,
				ReceivedAt: r.ReceivedAt, StatusCode: r.StatusCode, Door: r.Origin.Door, RecordID: r.ID,
			}}
			if ok && before.inRun && r.Snapshot && before.latest.Signal == signal {
				next.latest.Time, next.latest.TimeOrigin, next.latest.RecordID =
					before.latest.Time, before.latest.TimeOrigin, before.latest.RecordID
			}
			bySignal[signal.Name] = next
		}
	}
	list := []mes.Latest{}
	for _, s := range bySignal {
		list = append(list, s.latest)
	}
	slices.SortFunc(list, func(a, b mes.Latest) int { return cmp.Compare(a.Signal.Name, b.Signal.Name) })
	return list
}
