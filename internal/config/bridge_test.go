package config

import "testing"

func TestBridgeFaults(t *testing.T) {
	t.Parallel()
	bridged := func(b OPCUABridge) *Config {
		c := Config{MQTT: MQTT{Connections: []MQTTConnection{validConnection()}}, OPCUA: OPCUA{Connections: []OPCUAConnection{goodOPCUA()}}}
		c.MQTT.Connections[0].Name = "hall"
		c.MQTT.Connections[0].Subscriptions = []Subscription{{Topic: "plant/{machine}"}}
		c.OPCUA.Connections[0].Bridge = b
		c.OPCUA.Connections[0].Bridge.fill()
		return &c
	}
	two, zero := 2, 0
	for name, tc := range map[string]struct {
		bridge OPCUABridge
		change func(*Config)
		want   []string
	}{
		"none":              {OPCUABridge{}, nil, nil},
		"usual":             {OPCUABridge{Connection: "hall"}, nil, nil},
		"of each machine":   {OPCUABridge{Connection: "hall", SnapshotTopic: "opc/{site}/{machine}", QoS: &two}, nil, nil},
		"topic only":        {OPCUABridge{SnapshotTopic: "opc"}, nil, []string{"bridge.connection must name"}},
		"unknown":           {OPCUABridge{Connection: "elsewhere"}, nil, []string{`bridge.connection "elsewhere"`}},
		"no own broker":     {OPCUABridge{Connection: BridgeByBroker}, nil, []string{"bridge.connection not enabled"}},
		"of several":        {OPCUABridge{Connection: BridgeByBroker}, func(c *Config) { c.MQTT.Broker.Enabled = true; c.Store.DSN = "sqlserver://a" }, []string{"bridge.connection share"}},
		"no acknowledgment": {OPCUABridge{Connection: "hall", QoS: &zero}, nil, []string{"bridge.qos must be 1 or 2"}},
		"negative":          {OPCUABridge{Connection: "hall", MaxAge: -1, MaxWaiting: -1}, nil, []string{"bridge.max_age negative", "bridge.max_waiting at least 1"}},
		"wildcard":          {OPCUABridge{Connection: "hall", SnapshotTopic: "opc/#", VariableTopic: "opc/{command}"}, nil, []string{"bridge.variable_topic {command}", "bridge.snapshot_topic wildcard"}},
		"equal signals": {OPCUABridge{Connection: "hall"}, func(c *Config) {
			o := &c.OPCUA.Connections[0]
			o.Machines = append(o.Machines, OPCUAMachine{MachineID: "M002", Nodes: o.Machines[0].Nodes[:1]})
		}, []string{"bridge.snapshot_topic two machines"}},
		"equal signals apart": {OPCUABridge{Connection: "hall", SnapshotTopic: "opc/{machine}"}, func(c *Config) {
			o := &c.OPCUA.Connections[0]
			o.Machines = append(o.Machines, OPCUAMachine{MachineID: "M002", Nodes: o.Machines[0].Nodes[:1]})
		}, nil},
		"taken in": {OPCUABridge{Connection: "hall"}, func(c *Config) {
			c.MQTT.Connections[0].Subscriptions = []Subscription{{Topic: "opc_data/+"}}
		}, []string{"bridge.snapshot_topic take in", "bridge.variable_topic take in"}},
		"large": {OPCUABridge{Connection: "hall"}, func(c *Config) {
			m := &c.OPCUA.Connections[0].Machines[0]
			for len(m.Nodes) <= maxBridged {
				m.Nodes = append(m.Nodes, OPCUANode{NodeID: "ns=1;s=" + string(rune('a'+len(m.Nodes)))})
			}
		}, []string{"bridge.snapshot_topic at most 1000"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := bridged(tc.bridge)
			if tc.change != nil {
				tc.change(c)
			}
			faults := append(c.OPCUA.validate(), c.validateBridges()...)
			checkFaults(t, faults, "opcua.connections[0].", tc.want)
		})
	}
}
