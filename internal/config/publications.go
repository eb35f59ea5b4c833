package config

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"plantgate/internal/mqtt/topic"
)

// publication is what plantgate publishes to a broker, by the key that says so. The topic
// may be a template.
type publication struct{ key, topic, broker string }

// taken is a subscription of a broker, by its key.
type taken struct{ key, topic, broker string }

// ownPublications names every subscription that would bring plantgate its own
// publications: they would be data again, without end.
func (m MQTT) ownPublications() []Fault { return m.takenIn(m.publications()) }

// takenIn names the publications that a subscription would bring back.
func (m MQTT) takenIn(list []publication) []Fault {
	var faults []Fault
	subscriptions := m.taken()
	for _, p := range list {
		for _, s := range subscriptions {
			if p.broker == s.broker && topic.Overlap(p.topic, s.topic) {
				faults = append(faults, Fault{p.key, fmt.Sprintf(
					"%q overlaps with %s (%q): plantgate would take in what it publishes itself", p.topic, s.key, s.topic)})
			}
		}
	}
	return faults
}

// publications lists everything that is published.
func (m MQTT) publications() []publication {
	var list []publication
	for i, c := range m.Connections {
		if topic.CheckName(c.Presence.Topic) == nil {
			list = append(list, publication{fmt.Sprintf("mqtt.connections[%d].presence.topic", i), c.Presence.Topic, m.brokerOf(c)})
		}
		list = append(list, published(fmt.Sprintf("mqtt.connections[%d]", i), m.brokerOf(c), c.Publish)...)
		if c.Sparkplug.Enabled && checkSparkplugID(c.Sparkplug.HostID) == nil {
			key := fmt.Sprintf("mqtt.connections[%d].sparkplug.", i)
			list = append(list, publication{key + "host_id", "spBv1.0/STATE/" + c.Sparkplug.HostID, m.brokerOf(c)},
				publication{key + "enabled", "spBv1.0/+/NCMD/+", m.brokerOf(c)})
		}
	}
	if m.Broker.Enabled {
		list = append(list, published("mqtt.broker", ownBroker, m.Broker.Publish)...)
	}
	return list
}

// taken lists every subscription that can be read.
func (m MQTT) taken() []taken {
	var list []taken
	add := func(key, broker string, subscriptions []Subscription) {
		for i, s := range subscriptions {
			if _, err := topic.Parse(s.Topic); err == nil {
				list = append(list, taken{fmt.Sprintf("%s.subscriptions[%d].topic", key, i), s.Topic, broker})
			}
		}
	}
	if m.Broker.Enabled {
		add("mqtt.broker", ownBroker, m.Broker.Subscriptions)
	}
	for i, c := range m.Connections {
		add(fmt.Sprintf("mqtt.connections[%d]", i), m.brokerOf(c), c.Subscriptions)
	}
	return list
}

// ownBroker names the own broker among brokers.
const ownBroker = "own"

// brokerOf names the broker of a connection: its host and port, so that connections to
// one broker are known as such, or the own one where that is what the connection is to.
func (m MQTT) brokerOf(c MQTTConnection) string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return c.URL
	}
	host := strings.ToLower(u.Hostname())
	if isLoopback(host) {
		host = "localhost"
	}
	own, port, err := net.SplitHostPort(m.Broker.Listen)
	reached := own == "" || isLoopback(own) || net.ParseIP(own).IsUnspecified()
	if m.Broker.Enabled && err == nil && port == u.Port() && port != "0" && (host == "localhost" && reached || strings.EqualFold(host, own)) {
		return ownBroker
	}
	return net.JoinHostPort(host, u.Port())
}
