package config

import "testing"

func TestSharedGroupFaults(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(c *MQTTConnection)
		want   []string // key below mqtt.connections[0], a blank, part of the detail
	}{
		"valid":        {func(*MQTTConnection) {}, nil},
		"no group":     {func(c *MQTTConnection) { c.SharedGroup, c.Subscriptions[1].Topic = "", "$share/h/x/{machine}" }, nil},
		"twice shared": {func(c *MQTTConnection) { c.Subscriptions[1].Topic = "$share/h/x/{machine}" }, []string{"subscriptions[1].topic shared_group"}},
		"level":        {func(c *MQTTConnection) { c.SharedGroup = "a/b" }, []string{"shared_group '/'"}},
		"presence":     {func(c *MQTTConnection) { c.Presence = Presence{"a", "on", "off"} }, []string{"presence.topic every server"}},
	} {
		c := validConnection()
		c.SharedGroup = "g"
		tt.change(&c)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkFaults(t, MQTT{Connections: []MQTTConnection{c}}.validate(), "mqtt.connections[0].", tt.want)
		})
	}
}
