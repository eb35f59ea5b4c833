package store_test

import (
	"testing"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/retention"
	"plantgate/internal/series"
	"plantgate/internal/store/storetest"
)

// TestRetention deletes what is older than it is kept, in small steps, and nothing
// of a minute that is not rolled up yet; roll-ups stay.
func TestRetention(t *testing.T) {
	t.Parallel()
	s := setup(t)
	start := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	var records []mes.Record
	for i := range 5000 {
		records = append(records, storetest.NewRecord("s", "many", start.Add(time.Duration(i)*time.Second)))
	}
	for i := range 60 {
		records = append(records, storetest.NewRecord("s", "few", start.Add(time.Duration(i)*time.Minute)))
	}
	storetest.Append(t, s, records...)
	count := func(machine string) int {
		n := 0
		err := s.EachRecord(t.Context(), mes.RecordFilter{SiteID: "s", MachineID: machine, Limit: 10_000}, func(*mes.Record) error { n++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if _, err := s.Record(t.Context(), records[0].ID); err != nil { // everything is applied now
		t.Fatal(err)
	}
	now := start.Add(26*time.Hour + 20*time.Minute) // what is before 01:20 goes
	keeper := retention.New(s, retention.Options{Keep: 24 * time.Hour, Clock: func() time.Time { return now }})
	if n, err := keeper.Pass(t.Context()); n != 0 || err != nil {
		t.Fatalf("%d records were deleted before their roll-ups, %v", n, err)
	}
	if _, err := series.NewRollup(s, series.RollupOptions{}).Pass(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if n, err := keeper.Pass(t.Context()); n != 4800+60 || err != nil {
		t.Fatalf("%d records were deleted, %v", n, err)
	}
	if many, few := count("many"), count("few"); many != 200 || few != 0 {
		t.Errorf("%d and %d records are left", many, few)
	}
	var buckets counting
	q := series.Query{Unit: series.Unit{SiteID: "s", MachineID: "many"}, Signals: []string{"temperature"},
		From: start, To: start.Add(2 * time.Hour), Width: series.Hour}
	if err := series.NewReader(s).Read(t.Context(), q, &buckets); err != nil || buckets.samples != 5000 {
		t.Errorf("the roll-ups stand for %d records, %v", buckets.samples, err)
	}
	// Old records that come anew are not there, and don't come back.
	late := storetest.NewRecord("s", "few", start.Add(time.Minute+time.Second))
	storetest.Append(t, s, late)
	if _, err := s.Record(t.Context(), late.ID); err != nil {
		t.Fatal(err)
	}
	if n, err := keeper.Pass(t.Context()); n != 0 || err != nil {
		t.Errorf("%d records of a minute that is due were deleted, %v", n, err)
	}
}

// counting is a sink that adds up samples.
type counting struct{ samples int64 }

func (c *counting) Signal(string, string) error { return nil }
func (c *counting) Bucket(b *series.Bucket, _ []float64) error {
	c.samples += b.Count
	return nil
}
func (c *counting) Point(series.Sample) error { return nil }
