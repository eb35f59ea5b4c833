package flow_test

import (
	"testing"
	"time"

	"plantgate/internal/flow"
	"plantgate/internal/mes"
)

var began = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func TestRateIsOfTheLastMinute(t *testing.T) {
	t.Parallel()
	m := flow.NewMeter(began)
	if r := m.Flow(began).Rate; r != 0 {
		t.Errorf("before anything came the rate is %v", r)
	}
	m.Received(10, began.Add(time.Second))
	if r := m.Flow(began.Add(2 * time.Second)).Rate; r != 5 {
		t.Errorf("10 in the first 2 s are %v a second, want 5", r)
	}
	for s := 2; s <= 200; s++ {
		m.Received(20, began.Add(time.Duration(s)*time.Second))
	}
	if r := m.Flow(began.Add(200 * time.Second)).Rate; r < 18 || r > 22 {
		t.Errorf("20 a second are measured as %v", r)
	}
	if r := m.Flow(began.Add(261 * time.Second)).Rate; r != 0 {
		t.Errorf("a minute of silence is measured as %v", r)
	}
}

func TestInHand(t *testing.T) {
	t.Parallel()
	m := flow.NewMeter(began)
	m.Received(3, began)
	m.Settled(2)
	if f := m.Flow(began); f.InHand != 1 || f.Received != 3 || !f.LastMessage.Equal(began) {
		t.Errorf("%+v", f)
	}
	m.Settled(2) // one that is stored before it is counted
	if f := m.Flow(began); f.InHand != 0 {
		t.Errorf("%d in hand", f.InHand)
	}
}

func TestLag(t *testing.T) {
	t.Parallel()
	m := flow.NewMeter(began)
	record := func(origin mes.TimeOrigin, lag time.Duration) mes.Record {
		return mes.Record{Time: began.Add(-lag), TimeOrigin: origin}
	}
	poison := record(mes.TimeSource, time.Hour)
	poison.Fault = mes.Errorf(mes.CodeInvalid, "no")
	m.Stored([]mes.Record{record(mes.TimeReceipt, time.Hour), poison}, began)
	if l := m.Flow(began).Lag; l.Count != 0 {
		t.Fatalf("a time of receipt and what went to quarantine count: %+v", l)
	}
	m.Stored([]mes.Record{record(mes.TimeSource, 20*time.Second)}, began)
	for range 300 { // the first is no longer among the recent
		m.Stored([]mes.Record{record(mes.TimeServer, 4*time.Millisecond)}, began)
	}
	m.Stored([]mes.Record{record(mes.TimeSource, 2*time.Second), record(mes.TimeSource, 2*time.Second), record(mes.TimeSource, 2*time.Second),
		record(mes.TimeSource, -time.Second)}, began)
	l := m.Flow(began).Lag
	if l.Count != 305 || l.Last != 0 || l.P99 != 2*time.Second {
		t.Errorf("count %d, last %s, p99 %s", l.Count, l.Last, l.P99)
	}
	if want := 20 + 300*0.004 + 6; l.Sum < want-1e-6 || l.Sum > want+1e-6 {
		t.Errorf("the sum is %v, want %v", l.Sum, want)
	}
	for i, bound := range mes.LagBounds() {
		want := int64(301)
		if bound >= 2 {
			want = 304
		}
		if bound >= 20 {
			want = 305
		}
		if l.Buckets[i] != want {
			t.Errorf("up to %v s are %d, want %d", bound, l.Buckets[i], want)
		}
	}
}
