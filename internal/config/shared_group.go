package config

import (
	"fmt"
	"strings"
)

// validateSharedGroup returns what is wrong with shared_group, and with what can't be had
// together with it.
func (c MQTTConnection) validateSharedGroup(key string) []Fault {
	if c.SharedGroup == "" {
		return nil
	}
	var faults []Fault
	if strings.ContainsAny(c.SharedGroup, "/+#\x00") {
		faults = append(faults, Fault{key + ".shared_group", "must have no '/', '+' or '#' (MQTT 5.0, 4.8.2)"})
	}
	for i, s := range c.Subscriptions {
		if strings.HasPrefix(s.Topic, "$share/") {
			faults = append(faults, Fault{
				fmt.Sprintf("%s.subscriptions[%d].topic", key, i),
				"is shared by itself, and shared_group shares every one: write the filter alone, or leave shared_group away",
			})
		}
	}
	if c.Presence.Topic != "" {
		faults = append(faults, Fault{
			key + ".presence.topic",
			"every server has this connection with shared_group: the will of one that goes would say that all are offline",
		})
	}
	return faults
}
