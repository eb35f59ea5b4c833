package mqtt

import (
	"testing"
	"time"
)

// TestPausesHaveALongest: what varies a pause makes none longer than the longest.
func TestPausesHaveALongest(t *testing.T) {
	t.Parallel()
	for _, longest := range []time.Duration{100 * time.Millisecond, maxStorePause, maxReconnectPause, refusedPause} {
		pause := newBackOff(longest)
		if first := pause.NextBackOff(); first > time.Second {
			t.Errorf("the first pause is %v", first)
		}
		var most time.Duration
		for range 1000 {
			most = max(most, pause.NextBackOff())
		}
		if most > longest || most < longest*9/10 {
			t.Errorf("the longest pause is %v, not %v", most, longest)
		}
	}
}
