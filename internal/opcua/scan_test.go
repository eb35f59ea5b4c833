package opcua

import (
	"testing"
	"time"

	"plantgate/internal/opcua/opcuatest"
	"plantgate/internal/opcua/vqt"
)

// TestNodeFoundWhileTheSessionRuns has been silent since its last value, not since it was
// found; and the back-fill that goes on beside knows it.
func TestNodeFoundWhileTheSessionRuns(t *testing.T) {
	t.Parallel()
	a, err := newAdapter(plantConfig("opc.tcp://127.0.0.1:1"), Deps{Ingester: opcuatest.NewIngester()}, quick())
	if err != nil {
		t.Fatal(err)
	}
	l := a.newLane(0)
	l.take(nil)
	s := &session{lane: l, types: vqt.NewTypes()}
	s.follow()
	found := &node{binding: *oneBinding(), key: "k", absent: "it is not there yet"}
	if err := s.change(t.Context(), []*node{found}); err != nil {
		t.Fatal(err)
	}
	if list := *s.tracks.Load(); len(list) != 1 || list[0] != found.track {
		t.Errorf("the back-fill knows %d nodes", len(list))
	}
	if !found.track.awaiting || !found.track.since.IsZero() {
		t.Errorf("silent since %v, awaited %v", found.track.since, found.track.awaiting)
	}
	// The same node again is no news.
	a.cursors.interrupt(found.track, nil, time.Now())
	if !found.track.since.IsZero() {
		t.Error("the first interruption does not count")
	}
}
