package config

import (
	"strings"
	"testing"
	"time"
)

func TestSparkplugFaults(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(c *MQTTConnection)
		want   []string // key below mqtt.connections[0], a blank, part of the detail
	}{
		"valid":            {func(*MQTTConnection) {}, nil},
		"no subscriptions": {func(c *MQTTConnection) { c.Subscriptions = nil }, nil},
		"off":              {func(c *MQTTConnection) { c.Sparkplug = Sparkplug{HostID: "/"} }, nil},
		"host":             {func(c *MQTTConnection) { c.Sparkplug.HostID = "a/b" }, []string{"sparkplug.host_id '/'"}},
		"groups": {func(c *MQTTConnection) { c.Sparkplug.Groups = []string{"a", "+", "a", "STATE", ""} },
			[]string{"sparkplug.groups[1] '+'", "sparkplug.groups[2] twice", "sparkplug.groups[3] not a group", "sparkplug.groups[4] 1 to"}},
		"sites": {func(c *MQTTConnection) {
			c.Sparkplug.Groups, c.Sparkplug.SiteID = []string{"a"}, "x/y"
			c.Sparkplug.Sites = map[string]string{"a": "s", "b": "~"}
		}, []string{"sparkplug.site_id '~'", "sparkplug.sites.b '~'", "sparkplug.sites.b not one of"}},
		"machines": {func(c *MQTTConnection) { c.Sparkplug.NodeMachine, c.Sparkplug.DeviceMachine = "n", "{device}/{line}" },
			[]string{"sparkplug.node_machine {node}", "sparkplug.device_machine knows only {group}, {node} and {device}"}},
		"slash":      {func(c *MQTTConnection) { c.Sparkplug.DeviceMachine = "{node}/{device}" }, []string{"sparkplug.device_machine '/'"}},
		"interval":   {func(c *MQTTConnection) { c.Sparkplug.RebirthInterval = time.Millisecond }, []string{"sparkplug.rebirth_interval 1s"}},
		"one will":   {func(c *MQTTConnection) { c.Presence = Presence{"a", "b", "c"} }, []string{"presence.topic one will"}},
		"shared":     {func(c *MQTTConnection) { c.SharedGroup = "g" }, []string{"shared_group order"}},
		"everything": {func(c *MQTTConnection) { c.Subscriptions[0].Topic = "#" }, []string{"subscriptions[0].topic twice", "sparkplug.host_id publishes itself", "sparkplug.enabled publishes itself"}},
		"own topics": {func(c *MQTTConnection) { c.Subscriptions[0].Topic = "spBv1.0/+/+/+" }, []string{"subscriptions[0].topic twice", "sparkplug.enabled publishes itself"}},
		"four levels": {func(c *MQTTConnection) { c.Subscriptions[0].Topic = "{site}/{line}/{machine}/+" },
			[]string{"subscriptions[0].topic twice", "sparkplug.enabled publishes itself"}},
		"own state":    {func(c *MQTTConnection) { c.Subscriptions[0].Topic = "{site}/STATE/{machine}" }, []string{"sparkplug.host_id publishes itself"}},
		"other levels": {func(c *MQTTConnection) { c.Subscriptions[0].Topic = "{site}/{machine}" }, nil},
		"other data":   {func(c *MQTTConnection) { c.Subscriptions[0].Topic = "{site}/{machine}/data" }, nil},
	}
	for name, test := range tests {
		c := validConnection()
		c.Sparkplug = Sparkplug{Enabled: true, HostID: "plantgate", NodeMachine: "{node}", DeviceMachine: "{node}.{device}", RebirthInterval: 10 * time.Second}
		test.change(&c)
		faults := MQTT{Connections: []MQTTConnection{c}}.validate()
		ok := len(faults) == len(test.want)
		for i := 0; ok && i < len(faults); i++ {
			key, detail, _ := strings.Cut(test.want[i], " ")
			ok = faults[i].Key == "mqtt.connections[0]."+key && strings.Contains(faults[i].Detail, detail)
		}
		if !ok {
			t.Errorf("%s: faults %v, want %q", name, faults, test.want)
		}
	}
}
