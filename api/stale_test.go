package api_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"plantgate/internal/mes"
)

// TestStaleValues: the values of a machine whose Sparkplug device is gone are stale, those
// that came otherwise and those of other machines are not, and a birth ends it.
func TestStaleValues(t *testing.T) {
	t.Parallel()
	f := setup(t)
	at := time.Now().Add(-time.Minute)
	put := func(site, machine string, door mes.Door, signal string, value mes.Value, after time.Duration) {
		_, err := f.service.Ingest(t.Context(), []mes.Record{{
			SiteID: site, MachineID: machine, DataType: mes.Telemetry, Time: at.Add(after), TimeOrigin: mes.TimeSource, ReceivedAt: time.Now(),
			Origin: mes.Origin{Door: door, Connection: "c", Address: "a"}, Signals: []mes.Signal{{Name: signal, Value: value}},
		}})
		f.must(err)
	}
	for _, site := range []string{"main", "pune"} {
		for _, machine := range []string{"M1", "M2"} {
			put(site, machine, mes.DoorMQTT, "a", mes.Int(1), 0)
			put(site, machine, mes.DoorREST, "z", mes.Int(1), 0)
		}
	}
	// A death counts whatever its time: the clocks of nodes are not this server's.
	put("main", "M2", mes.DoorMQTT, mes.SignalSparkplugOnline, mes.Bool(false), -time.Second)
	put("pune", "M1", mes.DoorMQTT, mes.SignalSparkplugOnline, mes.Bool(true), time.Second)
	stale := func(path string) []string {
		t.Helper()
		var got []string
		items, _ := f.list(path)
		for _, l := range items {
			if l["stale"] == true {
				got = append(got, fmt.Sprint(l["site_id"], "~", l["machine_id"], " ", l["signal"]))
			}
		}
		return got
	}
	for _, path := range []string{"/api/v1/latest", "/api/v1/latest?limit=2", "/api/v1/equipment/M2/latest", "/api/v1/latest?machine_id=M2&limit=1"} {
		if got := stale(path); !slices.Equal(got, []string{"main~M2 a"}) {
			t.Errorf("%s: stale are %v", path, got)
		}
	}
	put("main", "M2", mes.DoorMQTT, mes.SignalSparkplugOnline, mes.Bool(true), time.Second)
	if got := stale("/api/v1/latest"); len(got) != 0 {
		t.Errorf("after the birth stale are %v", got)
	}
}
