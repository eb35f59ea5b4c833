package config

import (
	"strings"
	"testing"
)

// What is published must not come back as data: the fault names both keys.
func TestOwnPublicationsAreNotTakenIn(t *testing.T) {
	t.Parallel()
	plant := func(url, presence string, topics ...string) MQTTConnection {
		c := validConnection()
		c.URL, c.Subscriptions = url, nil
		c.Presence = Presence{presence, "online", "offline"}
		for _, name := range topics {
			c.Subscriptions = append(c.Subscriptions, Subscription{Topic: name, Format: FormatAuto})
		}
		return c
	}
	own := Broker{
		Enabled: true, Listen: ":1883", MaxPacket: 1 << 20, MaxClients: 1, Users: []BrokerUser{{Username: "u", Password: "p"}},
		Subscriptions: []Subscription{{Topic: "plant/{machine}/#", Format: FormatAuto}},
	}
	tests := map[string]struct {
		mqtt MQTT
		want []string
	}{
		"apart":                     {MQTT{Connections: []MQTTConnection{plant("ssl://a:1", "gate/state", "plant/#")}}, nil},
		"the same connection":       {MQTT{Connections: []MQTTConnection{plant("ssl://a:1", "plant/state", "x", "plant/#")}}, []string{"connections[0].subscriptions[1].topic"}},
		"a capture":                 {MQTT{Connections: []MQTTConnection{plant("ssl://a:1", "plant/gate", "plant/{machine}")}}, []string{"connections[0].subscriptions[0].topic"}},
		"two of them":               {MQTT{Connections: []MQTTConnection{plant("ssl://a:1", "plant/gate", "plant/+", "#")}}, []string{"subscriptions[0]", "subscriptions[1]"}},
		"another broker":            {MQTT{Connections: []MQTTConnection{plant("ssl://a:1", "plant/state", "x"), plant("ssl://b:1", "", "plant/#")}}, nil},
		"another of the broker":     {MQTT{Connections: []MQTTConnection{plant("ssl://A:1", "plant/state", "x"), plant("ssl://a:1", "", "plant/#")}}, []string{"connections[1].subscriptions[0].topic"}},
		"the own broker":            {MQTT{Broker: own, Connections: []MQTTConnection{plant("mqtt://127.0.0.1:1883", "plant/state", "x")}}, []string{"mqtt.broker.subscriptions[0].topic"}},
		"not the own broker":        {MQTT{Broker: own, Connections: []MQTTConnection{plant("mqtt://127.0.0.1:1884", "plant/state", "x")}}, nil},
		"the broker of a neighbour": {MQTT{Broker: own, Connections: []MQTTConnection{plant("mqtt://10.0.0.9:1883", "plant/state", "x")}}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faults := tt.mqtt.ownPublications()
			if len(faults) != len(tt.want) {
				t.Fatalf("got %v, want %d faults", faults, len(tt.want))
			}
			for i, f := range faults {
				if f.Key != "mqtt.connections[0].presence.topic" || !strings.Contains(f.Detail, tt.want[i]) {
					t.Errorf("got %v, want %s named", f, tt.want[i])
				}
			}
		})
	}
	checked := MQTT{Connections: []MQTTConnection{plant("ssl://a:1", "plant/state", "plant/#")}}
	checked.Connections[0].Username = "u"
	if faults := checked.validate(); len(faults) != 1 || faults[0].Key != "mqtt.connections[0].presence.topic" {
		t.Errorf("the check of the configuration says %v", faults)
	}
}
