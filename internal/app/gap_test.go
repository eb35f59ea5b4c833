package app_test

import (
	"strings"
	"testing"

	"plantgate/internal/app/apptest"
)

// TestGapOfRestart: what may have changed while plantgate was stopped is told by a record
// of the machine, and counted.
func TestGapOfRestart(t *testing.T) {
	t.Parallel()
	plc := simulated(t)
	s := apptest.Start(t, subscribed(plc.URL()))
	events := func() []apptest.Record {
		return apptest.Get[apptest.Page[apptest.Record]](s.Client, "/data?machine_id=OPC-1&data_type=Event").Items
	}
	values := func() int {
		return len(apptest.Get[apptest.Page[apptest.Record]](s.Client, "/data?machine_id=OPC-1").Items)
	}
	apptest.Eventually(t, "some values", func() bool { return values() > 5 })
	if n := len(events()); n != 0 {
		t.Errorf("%d gap records of the first start", n)
	}
	s.Restart()
	plc.Write(31)
	apptest.Eventually(t, "the gap record", func() bool { return len(events()) > 0 })
	g := events()[0]
	text := func(signal string) string { return strings.Trim(string(g.Signals[signal]), `"`) }
	if text("gap.reason") != "no_history" || text("gap.connection") != "plc" || !strings.HasPrefix(text("gap.signals"), `["My`) ||
		text("gap.from") >= text("gap.to") || g.Source.Connection != "plc" {
		t.Errorf("the gap record is %+v", g)
	}
	apptest.Eventually(t, "the count", func() bool {
		for _, a := range apptest.Get[apptest.Page[struct {
			Door string
			Gaps int `json:"gaps"`
		}]](s.Client, "/api/v1/adapters").Items {
			if a.Door == "opcua" {
				return a.Gaps == len(events())
			}
		}
		return false
	})
}
