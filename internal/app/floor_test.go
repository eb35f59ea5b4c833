package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"plantgate/internal/app/apptest"
	"plantgate/internal/config"
	"plantgate/internal/opcua/sim"
)

// publisher connects to the own broker as machines do, by MQTT 3.1.1.
func publisher(t *testing.T, brokerURL, clientID string) paho.Client {
	t.Helper()
	client := paho.NewClient(paho.NewClientOptions().AddBroker(brokerURL).SetClientID(clientID).
		SetUsername(apptest.MQTTUser).SetPassword(apptest.MQTTPassword).
		SetProtocolVersion(4).SetAutoReconnect(false).SetConnectTimeout(apptest.Patience))
	finished(t, client.Connect())
	t.Cleanup(func() { client.Disconnect(100) })
	return client
}

func finished(t *testing.T, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(apptest.Patience) {
		t.Fatal("the broker did not answer")
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}

// recordsOf lists the records of a machine, oldest first, once there are n.
func recordsOf(t *testing.T, c *apptest.Client, machine string, n int) []apptest.Record {
	t.Helper()
	var items []apptest.Record
	apptest.Eventually(t, fmt.Sprintf("%d records of %s", n, machine), func() bool {
		items = apptest.Get[apptest.Page[apptest.Record]](c, "/data?order=asc&machine_id="+url.QueryEscape(machine)).Items
		return len(items) >= n
	})
	if len(items) > n {
		t.Fatalf("%s has %d records, want %d", machine, len(items), n)
	}
	return items
}

// Contract 2: envelopes, with and without unit, by both qualities of service.
func TestContract2(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	client := publisher(t, s.BrokerURL, "contract-2")
	const topic = "mes/production/data"
	before := time.Now().Add(-time.Millisecond)
	finished(t, client.Publish(topic, 1, false, `{"DataType":"Production","Payload":{"MachineID":"M3","Value":42.31,"Unit":"pcs"}}`))
	// The acknowledgement follows the commit: the record is there at once.
	if got := apptest.Get[apptest.Page[apptest.Record]](s.Client, "/data?machine_id=M3").Items; len(got) != 1 {
		t.Fatalf("after the acknowledgement there are %d records", len(got))
	}
	finished(t, client.Publish(topic, 1, false, `{"DataType":"Quality","Payload":{"MachineID":"M3","Value":7}}`))
	finished(t, client.Publish(topic, 0, false, `{"DataType":"Production","Payload":{"MachineID":"M3","Value":42.31,"Unit":"pcs"}}`))

	got := recordsOf(t, s.Client, "M3", 3)
	for i, want := range []struct{ dataType, signal, value, unit string }{
		{"Production", "production.value", "42.31", "pcs"}, {"Quality", "quality.value", "7", ""}, {"Production", "production.value", "42.31", "pcs"},
	} {
		r := got[i]
		if r.DataType != want.dataType || string(r.Signals[want.signal]) != want.value || r.Units[want.signal] != want.unit ||
			r.TimestampOrigin != "receipt" || r.Timestamp.Before(before) || r.Timestamp.After(time.Now()) || r.Source.Door != "mqtt" || r.Source.Address != topic {
			t.Errorf("message %d became %+v", i, r)
		}
	}
}

// Contract 3: snapshots and single variables, with a fraction or none, with null.
func TestContract3(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	client := publisher(t, s.BrokerURL, "contract-3")
	const all, single = "opc_data/all_variables", "opc_data/my_variable"
	finished(t, client.Publish(all, 1, false, `{"timestamp":"2025-11-03 06:45:23.966780","variables":{"MyStoredVariable":29,"MySynchronousVariable":10,"MyAsynchronousVariable":null}}`))
	finished(t, client.Publish(all, 0, false, `{"timestamp":"2025-11-03 06:45:24","variables":{"MyStoredVariable":29,"MySynchronousVariable":11,"MyAsynchronousVariable":null}}`))
	finished(t, client.Publish(single, 1, false, `{"node_id":"ns=1;s=Objects/MyFolder/MyStoredVariable","value":30,"timestamp":"2025-11-03 06:45:25.5"}`))

	got := recordsOf(t, s.Client, "OPC-BRIDGE", 3)
	second := time.Date(2025, 11, 3, 6, 45, 23, 0, time.UTC)
	for i, want := range []struct {
		at           time.Time
		stored, null string
	}{
		{second.Add(966780 * time.Microsecond), "29", "null"}, {second.Add(time.Second), "29", "null"}, {second.Add(2500 * time.Millisecond), "30", ""},
	} {
		r := got[i]
		if !r.Timestamp.Equal(want.at) || string(r.Signals["MyStoredVariable"]) != want.stored || string(r.Signals["MyAsynchronousVariable"]) != want.null || r.Source.Door != "mqtt" {
			t.Errorf("message %d became %+v", i, r)
		}
	}
	latest := latestOf(s.Client, "OPC-BRIDGE")
	if got := latest["MyStoredVariable"]; string(got.Value) != "30" || !got.Timestamp.Equal(second.Add(2500*time.Millisecond)) {
		t.Errorf("MyStoredVariable is %+v", got)
	}
	// What did not change keeps the time of its change.
	if got := latest["MyAsynchronousVariable"]; string(got.Value) != "null" || !got.Timestamp.Equal(second.Add(966780*time.Microsecond)) {
		t.Errorf("MyAsynchronousVariable is %+v", got)
	}
}

func latestOf(c *apptest.Client, machine string) map[string]apptest.Latest {
	values := map[string]apptest.Latest{}
	for _, l := range apptest.Get[apptest.Page[apptest.Latest]](c, "/api/v1/equipment/"+url.PathEscape(machine)+"/latest").Items {
		values[l.Signal] = l
	}
	return values
}

// subscribed connects the server to the simulated OPC UA server.
func subscribed(endpoint string) func(*config.Config) {
	machine := config.OPCUAMachine{MachineID: "OPC-1"}
	for _, id := range []string{sim.StoredVariable, sim.SynchronousVariable, sim.AsynchronousVariable} {
		machine.Nodes = append(machine.Nodes, config.OPCUANode{NodeID: id})
	}
	return func(c *config.Config) {
		c.OPCUA.Connections = []config.OPCUAConnection{{Name: "plc", Endpoint: endpoint, Machines: []config.OPCUAMachine{machine}}}
	}
}

func simulated(t *testing.T) *sim.Server {
	t.Helper()
	plc, err := sim.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plc.Close(); err != nil {
			t.Error(err)
		}
	})
	return plc
}

// Contract 4: a value that a server writes arrives with both times and its status
// code, once, also across a restart.
func TestContract4(t *testing.T) {
	t.Parallel()
	plc := simulated(t)
	s := apptest.Start(t, subscribed(plc.URL()))
	stored := func() []apptest.Record {
		var list []apptest.Record
		for _, r := range apptest.Get[apptest.Page[apptest.Record]](s.Client, "/data?machine_id=OPC-1&source=opcua&order=asc&limit=1000").Items {
			if r.Signals["MyStoredVariable"] != nil {
				list = append(list, r)
			}
		}
		return list
	}
	apptest.Eventually(t, "the first value of MyStoredVariable", func() bool { return len(stored()) == 1 })
	written := time.Now().Add(-time.Millisecond)
	plc.Write(30)
	apptest.Eventually(t, "the written value", func() bool { return len(stored()) == 2 })
	r := stored()[1]
	if string(r.Signals["MyStoredVariable"]) != "30" || r.TimestampOrigin != "source" || r.Timestamp.Before(written) || r.Timestamp.After(r.ReceivedAt) ||
		r.ServerTimestamp.Before(r.Timestamp) || r.StatusCode != 0 || r.Quality != "good" || r.Source.Address != sim.StoredVariable || r.Source.Connection != "plc" {
		t.Errorf("the written value became %+v", r)
	}
	s.Restart()
	plc.Write(31)
	apptest.Eventually(t, "the value written after the restart", func() bool { return len(stored()) == 3 })
	if l := latestOf(s.Client, "OPC-1")["MyStoredVariable"]; string(l.Value) != "31" || l.Source != "opcua" {
		t.Errorf("latest is %+v", l)
	}
	if n := len(stored()); n != 3 {
		t.Errorf("%d records of three values: one was stored again after the restart", n)
	}
}

// Machines of every door stand in one list, and all of it is there after a restart.
func TestEveryDoor(t *testing.T) {
	t.Parallel()
	plc := simulated(t)
	s := apptest.Start(t, subscribed(plc.URL()))
	s.Post(`{"machine_id":"M001","x":1,"status":"Running"}`).Want(http.StatusCreated)
	client := publisher(t, s.BrokerURL, "every-door")
	finished(t, client.Publish("plant/line-1/M3/data", 1, false, `{"x":1}`))
	finished(t, client.Publish("plant/line-1/M001/data", 1, false, `{"x":2}`))
	client.Disconnect(100)

	list := func() map[string][]string {
		doors := map[string][]string{}
		for _, e := range apptest.Get[apptest.Page[apptest.Equipment]](s.Client, "/api/v1/equipment?level=work_unit").Items {
			slices.Sort(e.Sources)
			doors[e.ID] = e.Sources
		}
		return doors
	}
	want := fmt.Sprint(map[string][]string{"M001": {"mqtt", "rest"}, "M3": {"mqtt"}, "OPC-1": {"opcua"}})
	apptest.Eventually(t, "machines of all three doors", func() bool { return fmt.Sprint(list()) == want })
	latest := fmt.Sprint(latestOf(s.Client, "M001"))
	s.Restart()
	if got := fmt.Sprint(list()); got != want {
		t.Errorf("after a restart: %s, want %s", got, want)
	}
	if got := fmt.Sprint(latestOf(s.Client, "M001")); got != latest {
		t.Errorf("after a restart: %s, want %s", got, latest)
	}
}
