package opcua

import (
	"context"
	"testing"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
)

// fullQueue has so many live entries and late ones; a batch is of 100.
func fullQueue(t *testing.T, live, late int) (*Adapter, *queue) {
	t.Helper()
	tm := quick()
	tm.batch = 100
	a, err := newAdapter(plantConfig("opc.tcp://127.0.0.1:1"), Deps{Ingester: opcuatest.NewIngester(), SiteID: "main"}, tm)
	if err != nil {
		t.Fatal(err)
	}
	tr := a.cursors.follow(oneBinding())
	for i := range max(live, late) {
		r := oneBinding().record(dataValue(int32(i)), nil, at(i))
		r.Time, r.TimeOrigin = at(i), mes.TimeSource
		if i < live {
			a.queue.live <- entry{record: r, track: tr, at: r.Time}
		}
		if i < late {
			a.queue.late <- entry{kind: entryHistory, record: r, track: tr, at: r.Time}
		}
	}
	return a, a.queue
}

// TestTurns: history gets on beside any load of live values, which go first; each has all
// of a batch where the other has nothing.
func TestTurns(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ live, late, wantLive, wantLate int }{
		"both":            {500, 100, 90, 10},
		"a little late":   {500, 3, 97, 3},
		"a little live":   {20, 100, 20, 80},
		"live only":       {500, 0, 100, 0},
		"late only":       {0, 100, 0, 100},
		"neither is many": {3, 4, 3, 4},
	} {
		_, q := fullQueue(t, tc.live, tc.late)
		first, _ := q.next()
		if first.kind != entryLive && tc.live > 0 {
			t.Errorf("%s: what is late goes first", name)
		}
		live, late := 0, 0
		for i, e := range q.fill(first) {
			switch {
			case e.kind == entryHistory:
				late++
			case late > 0:
				t.Errorf("%s: entry %d is live and comes after what is late", name, i)
			default:
				live++
			}
		}
		if live != tc.wantLive || late != tc.wantLate {
			t.Errorf("%s: a batch has %d live and %d late, want %d and %d", name, live, late, tc.wantLive, tc.wantLate)
		}
	}
}

// TestFlowIsOfLiveValues: what is late by nature does not enter the lag, nor what is in
// hand; what is in quarantine is counted all the same.
func TestFlowIsOfLiveValues(t *testing.T) {
	t.Parallel()
	a, q := fullQueue(t, 7, 50)
	q.live <- entry{kind: entryOther, record: mes.Record{Fault: mes.Errorf(mes.CodeUnsupported, "no value")}}
	a.status.flow.Received(7, time.Now())
	close(q.live)
	q.consume(context.Background())
	f := a.Status().Flow
	if f.InHand != 0 || f.Lag.Count != 7 || f.Quarantined != 1 {
		t.Errorf("in hand %d, lag of %d, quarantined %d, want 0, 7 and 1", f.InHand, f.Lag.Count, f.Quarantined)
	}
}
