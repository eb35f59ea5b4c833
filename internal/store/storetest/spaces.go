package storetest

import (
	"slices"
	"testing"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/series"
)

// testTrailingSpaces keeps texts apart that differ by spaces at their ends only, which
// some databases take for equal: names of signals, message ids, idempotency keys.
func testTrailingSpaces(t *testing.T, s Store) {
	names := []string{"x", "x ", "x  ", "x \x7f"}
	var records []mes.Record
	for i, name := range names {
		r := NewRecord("s", "m", day.Add(time.Duration(i)*time.Second))
		r.Signals = []mes.Signal{{Name: name, Value: mes.Int(int64(i)), Unit: name}}
		r.MessageID = name
		r.Idempotency = &mes.Idempotency{Key: name, Body: [32]byte{byte(i)}}
		r.Identify(mes.ID{})
		records = append(records, r)
	}
	expectReceipts(t, Append(t, s, records...), created(records[0]), created(records[1]), created(records[2]), created(records[3]))
	var listed []string
	filter := mes.LatestFilter{SiteID: "s", Limit: 1}
	for {
		page, err := s.Latest(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		l := page[0]
		listed = append(listed, l.Signal.Name)
		if i := slices.Index(names, l.Signal.Name); i < 0 || l.Signal.Value != mes.Int(int64(i)) || l.Signal.Unit != l.Signal.Name {
			t.Errorf("the newest value of %q is %v", l.Signal.Name, l.Signal)
		}
		filter.AfterSiteID, filter.AfterMachineID, filter.AfterSignalID = l.SiteID, l.MachineID, l.Signal.Name
	}
	slices.Sort(listed)
	if !slices.Equal(listed, slices.Sorted(slices.Values(names))) {
		t.Errorf("newest values of %q, want %q", listed, names)
	}
	unit := series.Unit{SiteID: "s", MachineID: "m"}
	units, err := s.UnitsOfMeasure(t.Context(), unit, names)
	if err != nil {
		t.Fatal(err)
	}
	block := series.BlockOf(series.Minute, day)
	err = s.UpdateRollups(t.Context(), func(tx series.RollupTx) error {
		for i, name := range names {
			if units[name] != name {
				t.Errorf("%q is measured in %q", name, units[name])
			}
			if err := tx.PutRollupBlock(t.Context(), unit, name, block, []byte{byte(i)}, []byte{1}); err != nil {
				return err
			}
		}
		for i, name := range names {
			if buckets, _, err := tx.RollupBlock(t.Context(), unit, name, block); err != nil || len(buckets) != 1 || buckets[0] != byte(i) {
				t.Errorf("the roll-up of %q is %v, %v", name, buckets, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
