package config

import (
	"fmt"
	"slices"
	"time"

	"plantgate/internal/mqtt/topic"
)

// OPCUABridge says where what an OPC UA connection stores is published.
type OPCUABridge struct {
	// Connection is the name of the MQTT connection that it goes by, or BridgeByBroker;
	// "" publishes nothing.
	Connection string `koanf:"connection"`
	// SnapshotTopic is of all variables, VariableTopic of the one that changed; {site} and
	// {machine} fill their level. "" leaves one of them out.
	SnapshotTopic string `koanf:"snapshot_topic"`
	VariableTopic string `koanf:"variable_topic"`
	// QoS is 1 unless given.
	QoS      *int `koanf:"qos"`
	Retained bool `koanf:"retained"`
	// MaxAge is how long a message may wait for the broker, MaxWaiting how many may.
	MaxAge     time.Duration `koanf:"max_age"`
	MaxWaiting int64         `koanf:"max_waiting"`
}

// BridgeByBroker names the own broker as the way of a bridge.
const BridgeByBroker = "broker"

// The topics of a bridge where none is given, as subscribers know them.
const (
	bridgeSnapshotTopic = "opc_data/all_variables"
	bridgeVariableTopic = "opc_data/my_variable"
)

// Bounds of a bridge.
const (
	bridgeMaxAge     = 24 * time.Hour
	bridgeMaxWaiting = 100_000
	// maxBridged bounds the variables of one snapshot, which is published at each change.
	maxBridged = 1000
)

// Enabled tells whether anything is published.
func (b OPCUABridge) Enabled() bool { return b.Connection != "" }

func (b *OPCUABridge) fill() {
	if !b.Enabled() {
		return
	}
	if b.SnapshotTopic == "" && b.VariableTopic == "" {
		b.SnapshotTopic, b.VariableTopic = bridgeSnapshotTopic, bridgeVariableTopic
	}
	if b.QoS == nil {
		one := 1
		b.QoS = &one
	}
	orDefault(&b.MaxAge, bridgeMaxAge)
	orDefault(&b.MaxWaiting, bridgeMaxWaiting)
}

// validateBridge checks what a connection publishes against what it reads.
func (o OPCUAConnection) validateBridge(f *faults) {
	b := o.Bridge
	if !b.Enabled() {
		if b.SnapshotTopic != "" || b.VariableTopic != "" {
			f.add("bridge.connection", "must name the MQTT connection by which it is published, or be %s", BridgeByBroker)
		}
		return
	}
	if b.QoS != nil && *b.QoS != 1 && *b.QoS != 2 {
		f.add("bridge.qos", "must be 1 or 2")
	}
	if b.MaxAge < 0 {
		f.add("bridge.max_age", "must not be negative")
	}
	if b.MaxWaiting < 1 {
		f.add("bridge.max_waiting", "must be at least 1")
	}
	checkBridgeTopic("bridge.variable_topic", b.VariableTopic, f)
	if template, ok := checkBridgeTopic("bridge.snapshot_topic", b.SnapshotTopic, f); ok {
		o.validateSnapshot(template, f)
	}
}

func checkBridgeTopic(key, text string, f *faults) (topic.Template, bool) {
	if text == "" {
		return topic.Template{}, false
	}
	template, err := topic.ParseTemplate(text)
	switch {
	case err != nil:
		f.add(key, "%s", err)
	case template.Has(topic.CaptureCommand):
		f.add(key, "{command} has no meaning here; {site} and {machine} fill their level")
	default:
		return template, true
	}
	return topic.Template{}, false
}

// validateSnapshot refuses a snapshot in which two machines would have one name for their
// values, or that is too large.
func (o OPCUAConnection) validateSnapshot(template topic.Template, f *faults) {
	type name struct{ topic, signal string }
	machines := map[name]string{}
	sizes := map[string]int{}
	for _, m := range o.Machines {
		at := m.SiteID + "~" + m.MachineID
		of := ""
		if template.Has(topic.CaptureMachine) {
			of = at
		} else if template.Has(topic.CaptureSite) {
			of = m.SiteID
		}
		for _, n := range m.Nodes {
			key := name{of, n.SignalName()}
			if other, taken := machines[key]; taken && other != at {
				f.add("bridge.snapshot_topic", "%q is a signal of two machines: have {machine} in the topic, or name the signals apart", n.SignalName())
				return
			}
			machines[key] = at
			if sizes[of]++; sizes[of] == maxBridged+1 {
				f.add("bridge.snapshot_topic", "a snapshot has at most %d variables: have {machine} in the topic, or publish variables only", maxBridged)
			}
		}
	}
}

// validateBridges checks that the ways of bridges exist, and lead away.
func (c *Config) validateBridges() []Fault {
	faults := c.MQTT.takenIn(c.bridged())
	for i, o := range c.OPCUA.Connections {
		key := fmt.Sprintf("opcua.connections[%d].bridge.connection", i)
		switch name := o.Bridge.Connection; {
		case name == "":
		case name == BridgeByBroker:
			if !c.MQTT.Broker.Enabled {
				faults = append(faults, Fault{key, "the own broker is not enabled"})
			} else if c.Store.IsSQLServer() {
				faults = append(faults, Fault{key, "must be a connection to a broker that the servers of a shared database share"})
			}
		case !slices.ContainsFunc(c.MQTT.Connections, func(m MQTTConnection) bool { return m.Name == name }):
			faults = append(faults, Fault{key, fmt.Sprintf("no MQTT connection is named %q", name)})
		}
	}
	return faults
}

// bridged lists what bridges publish.
func (c *Config) bridged() []publication {
	var list []publication
	for i, o := range c.OPCUA.Connections {
		var broker string
		switch name := o.Bridge.Connection; name {
		case "":
			continue
		case BridgeByBroker:
			broker = ownBroker
		default:
			at := slices.IndexFunc(c.MQTT.Connections, func(m MQTTConnection) bool { return m.Name == name })
			if at < 0 {
				continue
			}
			broker = c.MQTT.brokerOf(c.MQTT.Connections[at])
		}
		for _, p := range []struct{ member, topic string }{{"snapshot_topic", o.Bridge.SnapshotTopic}, {"variable_topic", o.Bridge.VariableTopic}} {
			if _, err := topic.ParseTemplate(p.topic); err == nil {
				list = append(list, publication{fmt.Sprintf("opcua.connections[%d].bridge.%s", i, p.member), p.topic, broker})
			}
		}
	}
	return list
}
