package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/mqtt/topic"
)

// Sparkplug makes a connection a host application of Sparkplug B.
type Sparkplug struct {
	Enabled bool `koanf:"enabled"`
	// HostID is the id by which edge nodes know the host: they wait for it if it is their
	// primary one.
	HostID string `koanf:"host_id"`
	// Groups are those to listen to; none is every.
	Groups []string `koanf:"groups"`
	// SiteID is the site of groups that Sites, a map of groups to sites, does not name.
	SiteID string            `koanf:"site_id"`
	Sites  map[string]string `koanf:"sites"`
	// NodeMachine and DeviceMachine are the ids of machines, with {group}, {node} and
	// {device}.
	NodeMachine   string `koanf:"node_machine"`
	DeviceMachine string `koanf:"device_machine"`
	// RebirthInterval is the least time between two requests to a node for its births.
	RebirthInterval time.Duration `koanf:"rebirth_interval"`
}

// minRebirthInterval is the shortest pause between two requests to an edge node for its
// births: each makes it send everything it has.
const minRebirthInterval = time.Second

// validateSparkplug returns every fault of a connection that is a host application.
func (c MQTTConnection) validateSparkplug(key string) []Fault {
	var faults []Fault
	s := c.Sparkplug
	add := func(member, format string, args ...any) {
		faults = append(faults, Fault{key + "." + member, fmt.Sprintf(format, args...)})
	}
	if err := checkSparkplugID(s.HostID); err != nil {
		add("sparkplug.host_id", "%s", err)
	}
	for i, g := range s.Groups {
		member := fmt.Sprintf("sparkplug.groups[%d]", i)
		switch err := checkSparkplugID(g); {
		case err != nil:
			add(member, "%s", err)
		case g == "STATE":
			add(member, "STATE is the level of host applications, not a group (Sparkplug 3.0, 4.1.2)")
		case slices.Contains(s.Groups[:i], g):
			add(member, "%q is given twice", g)
		}
	}
	if s.SiteID != "" && mes.CheckID(s.SiteID) != nil {
		add("sparkplug.site_id", "%s", mes.CheckID(s.SiteID))
	}
	for _, group := range slices.Sorted(maps.Keys(s.Sites)) {
		if err := mes.CheckID(s.Sites[group]); err != nil {
			add("sparkplug.sites."+group, "%s", err)
		}
		if len(s.Groups) > 0 && !slices.Contains(s.Groups, group) {
			add("sparkplug.sites."+group, "is not one of sparkplug.groups")
		}
	}
	if err := checkMachineText(s.NodeMachine, "{node}", "{group}"); err != nil {
		add("sparkplug.node_machine", "%s", err)
	}
	if err := checkMachineText(s.DeviceMachine, "{device}", "{group}", "{node}"); err != nil {
		add("sparkplug.device_machine", "%s", err)
	}
	if s.RebirthInterval < minRebirthInterval {
		add("sparkplug.rebirth_interval", "must be at least %s", minRebirthInterval)
	}
	if c.Presence.Topic != "" {
		add("presence.topic", "a connection has one will, and sparkplug needs it for the state of the host")
	}
	if c.SharedGroup != "" {
		add("shared_group", "a host application must have every message of an edge node, in order: not with sparkplug")
	}
	own := []string{"spBv1.0/+/+/+", "spBv1.0/+/+/+/+"}
	for i, sub := range c.Subscriptions {
		if _, err := topic.Parse(sub.Topic); err == nil && slices.ContainsFunc(own, func(t string) bool { return topic.Overlap(sub.Topic, t) }) {
			add(fmt.Sprintf("subscriptions[%d].topic", i), "takes topics of Sparkplug B too, of which the connection would get each message twice")
		}
	}
	return faults
}

// checkSparkplugID tells what is wrong with a level of a topic of Sparkplug B.
func checkSparkplugID(id string) error {
	if id == "" || len(id) > mes.MaxIDLength || strings.ContainsAny(id, "/+#\x00") {
		return fmt.Errorf("must have 1 to %d bytes and no '/', '+' or '#' (Sparkplug 3.0, 4.1)", mes.MaxIDLength)
	}
	return nil
}

// checkMachineText tells what is wrong with the text of a machine's id: it has to name
// what is the machine.
func checkMachineText(text, needed string, others ...string) error {
	if !strings.Contains(text, needed) {
		return fmt.Errorf("must have %s, or all would be one machine", needed)
	}
	rest := text
	for _, known := range append(others, needed) {
		rest = strings.ReplaceAll(rest, known, "x")
	}
	if strings.ContainsAny(rest, "{}") {
		return fmt.Errorf("knows only %s and %s", strings.Join(others, ", "), needed)
	}
	return mes.CheckID(rest)
}
