package config

import (
	"fmt"
	"path"
	"strings"

	"plantgate/internal/mes"
	"plantgate/internal/mqtt/topic"
)

// Publish says where something for machines is published.
type Publish struct {
	// Kind is what: command.
	Kind string `koanf:"kind"`
	// Topic may have the places {site}, {machine} and {command}.
	Topic string `koanf:"topic"`
	// QoS is 1 unless given.
	QoS *int `koanf:"qos"`
	// SiteID and MachineIDs bound whom it is for; without them it is for all. An id may
	// have * and ?, as in names of files.
	SiteID     string   `koanf:"site_id"`
	MachineIDs []string `koanf:"machine_ids"`
}

// PublishCommand is the kind of commands to machines.
const PublishCommand = "command"

// FormatReply is the format of replies to commands.
const FormatReply = "reply"

func fillPublish(list []Publish) {
	for i := range list {
		orDefault(&list[i].Kind, PublishCommand)
		if list[i].QoS == nil {
			one := 1
			list[i].QoS = &one
		}
	}
}

// validatePublish checks the sections of a connection.
func validatePublish(key string, list []Publish) []Fault {
	var faults []Fault
	for i, p := range list {
		faults = append(faults, p.validate(fmt.Sprintf("%s.publish[%d]", key, i))...)
	}
	return faults
}

func (p Publish) validate(key string) []Fault {
	var faults []Fault
	add := func(member, format string, args ...any) {
		faults = append(faults, Fault{key + "." + member, fmt.Sprintf(format, args...)})
	}
	if p.Kind != PublishCommand {
		add("kind", "must be command, not %q", p.Kind)
	}
	// Nothing acknowledges QoS 0.
	if p.QoS != nil && *p.QoS != 1 && *p.QoS != 2 {
		add("qos", "must be 1 or 2")
	}
	if p.SiteID != "" && mes.CheckID(p.SiteID) != nil {
		add("site_id", "%s", mes.CheckID(p.SiteID))
	}
	for i, id := range p.MachineIDs {
		member := fmt.Sprintf("machine_ids[%d]", i)
		if _, err := path.Match(id, ""); err != nil {
			add(member, "%q is not a pattern: it may have *, ? and [a-z]", id)
		} else if err := mes.CheckID(id); err != nil {
			add(member, "%s", err)
		}
	}
	template, err := topic.ParseTemplate(p.Topic)
	if err != nil {
		add("topic", "%s", err)
		return faults
	}
	if !template.Has(topic.CaptureMachine) && !p.isForOne() {
		add("topic", "must have {machine}, or be for one machine: every machine would take the commands of all")
	}
	return faults
}

// isForOne tells whether there is one machine that the section is for.
func (p Publish) isForOne() bool {
	return len(p.MachineIDs) == 1 && !strings.ContainsAny(p.MachineIDs[0], `*?[\`)
}

// published are the publications of a connection whose topics can be read.
func published(key, broker string, list []Publish) []publication {
	var all []publication
	for i, p := range list {
		if _, err := topic.ParseTemplate(p.Topic); err == nil {
			all = append(all, publication{fmt.Sprintf("%s.publish[%d].topic", key, i), p.Topic, broker})
		}
	}
	return all
}

// validatePublishing checks what is published against the rest of the configuration.
func (c *Config) validatePublishing() []Fault {
	var faults []Fault
	// Of several servers with one database each has a broker of its own.
	if b := c.MQTT.Broker; b.Enabled && len(b.Publish) > 0 && c.Store.IsSQLServer() {
		faults = append(faults, Fault{"mqtt.broker.publish", "needs an embedded store: with a shared database it is not known at which server's broker a machine is; use a connection to a broker that the servers share"})
	}
	for i, p := range c.MQTT.Broker.Publish {
		faults = append(faults, c.tellsSites(fmt.Sprintf("mqtt.broker.publish[%d]", i), p)...)
	}
	for i, connection := range c.MQTT.Connections {
		for j, p := range connection.Publish {
			faults = append(faults, c.tellsSites(fmt.Sprintf("mqtt.connections[%d].publish[%d]", i, j), p)...)
		}
	}
	return faults
}

// tellsSites refuses one topic for machines of several sites, which may have equal ids.
func (c *Config) tellsSites(key string, p Publish) []Fault {
	template, err := topic.ParseTemplate(p.Topic)
	if err != nil || len(c.Sites) == 0 || p.SiteID != "" || template.Has(topic.CaptureSite) {
		return nil
	}
	return []Fault{{key + ".topic", "must have {site}, or site_id be given: machines of different sites may have the same id"}}
}
