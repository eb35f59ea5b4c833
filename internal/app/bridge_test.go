package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"plantgate/internal/app/apptest"
	"plantgate/internal/config"
)

// TestBridge: a subscriber of the topics of contract 3 gets what an OPC UA connection has
// stored, with its times, also what was stored while its broker was away. It is another
// server here, which reads them as it always did.
func TestBridge(t *testing.T) {
	t.Parallel()
	plc := simulated(t)
	floor := apptest.Start(t)
	gate := apptest.Start(t, subscribed(plc.URL()), throughBroker(floor.BrokerURL), func(c *config.Config) {
		c.OPCUA.Connections[0].Bridge = config.OPCUABridge{Connection: "hall"}
	})
	apptest.Eventually(t, "the first value through the bridge", func() bool {
		return floor.Do(http.MethodGet, "/api/v1/equipment/OPC-BRIDGE/latest", "").Status == http.StatusOK &&
			string(latestOf(floor.Client, "OPC-BRIDGE")["MyStoredVariable"].Value) == "29"
	})
	write := func(from, to int) {
		for n := from; n <= to; n++ {
			plc.Write(int32(n))
			apptest.Eventually(t, "the written value by OPC UA", func() bool {
				return string(latestOf(gate.Client, "OPC-1")["MyStoredVariable"].Value) == fmt.Sprint(n)
			})
		}
	}
	write(100, 104)
	gate.Restart()
	write(105, 107)
	floor.Config.MQTT.Broker.Listen = strings.TrimPrefix(floor.BrokerURL, "tcp://")
	floor.Restart()
	write(108, 112)
	values := func(c *apptest.Client, machine string) map[string]string {
		all := map[string]string{}
		for _, r := range apptest.Get[apptest.Page[apptest.Record]](c, "/data?limit=1000&machine_id="+machine).Items {
			if v := r.Signals["MyStoredVariable"]; v != nil && (machine == "OPC-1" || r.Source.Address == "opc_data/my_variable") {
				all[r.Timestamp.String()] = string(v)
			}
		}
		return all
	}
	stored := values(gate.Client, "OPC-1")
	if len(stored) != 14 {
		t.Fatalf("%d values are stored: %v", len(stored), stored)
	}
	apptest.Eventually(t, "every value through the bridge", func() bool {
		through := values(floor.Client, "OPC-BRIDGE")
		for at, v := range stored {
			if through[at] != v {
				return false
			}
		}
		return true
	})
	apptest.Eventually(t, "the last snapshot", func() bool {
		return string(latestOf(floor.Client, "OPC-BRIDGE")["MyStoredVariable"].Value) == "112"
	})
}
