package mes

import (
	"testing"
	"time"
)

// TestStatusAfterAnother: what a server counted while it had a connection before goes on,
// for the connection and for each of its bindings by name.
func TestStatusAfterAnother(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	before := AdapterStatus{
		Flow:       Flow{Received: 5, Quarantined: 1, LastMessage: at, InHand: 2, Rate: 3, Lag: Lag{Last: time.Second, Count: 2, Sum: 3, Buckets: []int64{1, 2}}},
		Reconnects: 1, Repeated: 2, Doubtful: 3, SessionsLost: 4, GapsOpen: 9, Backfilled: 5, Gaps: 6,
		Bindings: []BindingStatus{{Name: "a", State: BindingGranted, Flow: Flow{Received: 4, InHand: 2}}, {Name: "gone", Flow: Flow{Received: 1}}},
	}.AtRest()
	if before.InHand != 0 || before.Rate != 0 || before.Bindings[0].InHand != 0 || before.Bindings[0].State != BindingWaiting {
		t.Errorf("at rest: %+v", before)
	}
	now := AdapterStatus{
		Flow:       Flow{Received: 1, InHand: 1, Lag: Lag{Last: time.Minute, Count: 1, Sum: 60, Buckets: []int64{0, 1}}},
		Reconnects: 1, Repeated: 1, Doubtful: 1, SessionsLost: 1, GapsOpen: 2, Backfilled: 1, Gaps: 1,
		Bindings: []BindingStatus{{Name: "new", Flow: Flow{Received: 1}}, {Name: "a", Flow: Flow{Received: 2, InHand: 1}}},
	}
	got := now.After(before)
	if got.Received != 6 || got.Quarantined != 1 || got.InHand != 1 || !got.LastMessage.Equal(at) ||
		got.Reconnects != 2 || got.Repeated != 3 || got.Doubtful != 4 || got.SessionsLost != 5 ||
		before.GapsOpen != 0 || got.GapsOpen != 2 || got.Backfilled != 6 || got.Gaps != 7 {
		t.Errorf("%+v", got)
	}
	if l := got.Lag; l.Last != time.Minute || l.Count != 3 || l.Sum != 63 || l.Buckets[0] != 1 || l.Buckets[1] != 3 {
		t.Errorf("lag %+v", l)
	}
	if b := got.Bindings; b[0].Received != 1 || b[1].Received != 6 || b[1].InHand != 1 {
		t.Errorf("bindings %+v", b)
	}
	if now.Bindings[1].Received != 2 {
		t.Error("the status that was given is changed")
	}
}
