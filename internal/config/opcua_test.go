package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// goodOPCUA returns a connection without faults.
func goodOPCUA() OPCUAConnection {
	c := Config{OPCUA: OPCUA{Connections: []OPCUAConnection{{
		Name:     "line1",
		Endpoint: "opc.tcp://plc.example:4840/path",
		Machines: []OPCUAMachine{{MachineID: "M001", Nodes: []OPCUANode{
			{NodeID: "ns=1;s=Objects/MyFolder/MyStoredVariable"},
			{NodeID: "nsu=urn:example:line;i=1001", Signal: "state", Map: map[string]string{"1": "Running"}},
		}}},
	}}}}
	c.ApplyElementDefaults()
	return c.OPCUA.Connections[0]
}

func TestOPCUAFaults(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*OPCUAConnection)
		key    string
	}{
		"no name":              {func(c *OPCUAConnection) { c.Name = "" }, "name"},
		"http endpoint":        {func(c *OPCUAConnection) { c.Endpoint = "http://plc" }, "endpoint"},
		"password in endpoint": {func(c *OPCUAConnection) { c.Endpoint = "opc.tcp://u:p@plc" }, "endpoint"},
		"unknown policy":       {func(c *OPCUAConnection) { c.SecurityPolicy = "Basic256" }, "security_policy"},
		"mode without policy":  {func(c *OPCUAConnection) { c.SecurityMode = ModeSign }, "security_mode"},
		"security without trust": {func(c *OPCUAConnection) {
			c.SecurityPolicy, c.SecurityMode = PolicyBasic256Sha256, ModeSign
		}, "server_thumbprint"},
		"short thumbprint":       {func(c *OPCUAConnection) { c.ServerThumbprint = "00:11" }, "server_thumbprint"},
		"certificate alone":      {func(c *OPCUAConnection) { c.CertFile = "a.pem" }, "cert_file"},
		"two passwords":          {func(c *OPCUAConnection) { c.Username, c.Password, c.PasswordFile = "u", "p", "f" }, "password_file"},
		"password without user":  {func(c *OPCUAConnection) { c.Password = "p" }, "username"},
		"no publishing interval": {func(c *OPCUAConnection) { c.PublishingInterval = 0 }, "publishing_interval"},
		"no queue":               {func(c *OPCUAConnection) { c.QueueSize = 0 }, "queue_size"},
		"history":                {func(c *OPCUAConnection) { c.History.Mode = "on" }, "history.mode"},
		"future history":         {func(c *OPCUAConnection) { c.History.MaxAge = -1 }, "history.max_age"},
		"sessions without nodes": {func(c *OPCUAConnection) { c.MaxNodesPerSubscription = -1 }, "max_nodes_per_subscription"},
		"watchdog too short":     {func(c *OPCUAConnection) { c.Watchdog = time.Second }, "watchdog"},
		"no machine":             {func(c *OPCUAConnection) { c.Machines = nil }, "machines"},
		"machine id":             {func(c *OPCUAConnection) { c.Machines[0].MachineID = "a/b" }, "machines[0].machine_id"},
		"no node":                {func(c *OPCUAConnection) { c.Machines[0].Nodes = nil }, "machines[0].nodes"},
		"node id":                {func(c *OPCUAConnection) { c.Machines[0].Nodes[1].NodeID = "Temperature" }, "machines[0].nodes[1].node_id"},
		"same signal twice":      {func(c *OPCUAConnection) { c.Machines[0].Nodes[1].Signal = "MyStoredVariable" }, "machines[0].nodes[1].signal"},
		"reserved signal":        {func(c *OPCUAConnection) { c.Machines[0].Nodes[1].Signal = "status" }, "machines[0].nodes[1].signal"},
		"unknown status":         {func(c *OPCUAConnection) { c.Machines[0].Nodes[1].Map["2"] = "Broken" }, "machines[0].nodes[1].map"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := goodOPCUA()
			if f := c.Validate(); len(f) != 0 {
				t.Fatalf("the good connection has faults: %v", f)
			}
			tc.change(&c)
			got := OPCUA{Connections: []OPCUAConnection{c}}.validate()
			want := "opcua.connections[0]." + tc.key
			if !slices.ContainsFunc(got, func(f Fault) bool { return f.Key == want }) {
				t.Errorf("no fault at %s in %v", want, got)
			}
			for _, f := range got {
				if strings.Contains(f.Detail, "u:p@") {
					t.Errorf("the fault tells a password: %v", f)
				}
			}
		})
	}
}

func TestOPCUANamesAreUnique(t *testing.T) {
	t.Parallel()
	got := OPCUA{Connections: []OPCUAConnection{goodOPCUA(), goodOPCUA()}}.validate()
	if len(got) != 1 || got[0].Key != "opcua.connections[1].name" {
		t.Errorf("got %v, want one fault at opcua.connections[1].name", got)
	}
}

func TestSignalName(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"ns=1;s=Objects/MyFolder/MyStoredVariable": "MyStoredVariable",
		"ns=2;s=Line1.Press.Temperature":           "Temperature",
		"nsu=http://example.org/UA/;s=Speed":       "Speed",
		"ns=3;i=1001":                              "1001",
		"s=ends with/":                             "ends with/",
		"nonsense":                                 "",
	} {
		if got := (OPCUANode{NodeID: id}).SignalName(); got != want {
			t.Errorf("SignalName(%q) = %q, want %q", id, got, want)
		}
	}
	if got := (OPCUANode{Signal: "speed", NodeID: "i=1"}).SignalName(); got != "speed" {
		t.Errorf("the configured name is not kept: %q", got)
	}
}

func FuzzCheckNodeID(f *testing.F) {
	for _, s := range []string{"ns=1;s=a/b", "i=2258", "ns=70000;i=1", "g=72962B91-FA75-4AE6-8D28-B404DC7DAF63", "b=AAE=", "nsu=urn:x;s=é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if CheckNodeID(id) == nil && (OPCUANode{NodeID: id}).SignalName() == "" {
			t.Errorf("%q is accepted but names no signal", id)
		}
	})
}
