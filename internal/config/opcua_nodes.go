package config

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/browsepath"
)

// OPCUANode is one node, or the nodes of a pattern, and the signals that they become.
type OPCUANode struct {
	// Signal is the name; by default that of the role of a counter, else the last part of
	// the node id or path. Of a pattern it may have captures, such as {signal}.
	Signal string `koanf:"signal"`
	// NodeID names a node, or where Path begins.
	NodeID string `koanf:"node_id"`
	// Path is a browse path, or a pattern of browse paths (package browsepath).
	Path string `koanf:"path"`
	Unit string `koanf:"unit"`
	// Map turns values into statuses (e.g. "1": Running), by their text or by the name of
	// an enumeration's value: the node is then the machine's state.
	Map map[string]string `koanf:"map"`
	// Enum is what becomes of an enumeration: both (its number, and its text as the
	// signal name.text beside it; the default), number or text.
	Enum string `koanf:"enum"`
	// Role is one of mes.Roles; "" is a measurement, or the state with a map.
	Role string `koanf:"role"`
	// Scale and Offset make value × scale + offset of a number, in exact decimals.
	Scale  string `koanf:"scale"`
	Offset string `koanf:"offset"`
	// Deadband is a change that is too small to be told: a number, or a percentage of the
	// node's EURange such as 2%.
	Deadband string `koanf:"deadband"`
	// Trigger says what is a change: one of the constants Trigger…; "" is TriggerStatusValue.
	Trigger string `koanf:"trigger"`
	// SamplingInterval and QueueSize are the connection's where they are 0.
	SamplingInterval time.Duration `koanf:"sampling_interval"`
	QueueSize        uint32        `koanf:"queue_size"`
	// History is auto or off; "" is as the connection has it.
	History string `koanf:"history"`
}

// The forms of an enumeration.
const (
	EnumBoth   = "both"
	EnumNumber = "number"
	EnumText   = "text"
)

// The triggers of a data change (OPC 10000-4, 7.22.2).
const (
	TriggerStatus               = "status"
	TriggerStatusValue          = "status_value"
	TriggerStatusValueTimestamp = "status_value_timestamp"
)

// The companion specifications of discover.
const (
	DiscoverMachinery = "machinery"
	DiscoverPackML    = "packml"
)

// Bounds of patterns.
const (
	maxOPCUANodes         = 100_000
	minBrowseInterval     = 10 * time.Second
	defaultOPCUANodes     = 10_000
	defaultBrowseInterval = 5 * time.Minute
)

// NodeLimit is MaxNodes, or its default.
func (o OPCUAConnection) NodeLimit() int { return cmp.Or(o.MaxNodes, defaultOPCUANodes) }

// Rebrowse is BrowseInterval, or its default.
func (o OPCUAConnection) Rebrowse() time.Duration {
	return cmp.Or(o.BrowseInterval, defaultBrowseInterval)
}

// SignalName returns the signal that the node becomes: the configured one, else that of a
// counter's role, else the last part of the path, or of the node's identifier after its
// last "/" or ".". Of a pattern it may have captures.
func (n OPCUANode) SignalName() string {
	switch {
	case n.Signal != "":
		return n.Signal
	case mes.Role(n.Role).IsCounter():
		return n.Role
	case n.Path != "":
		p, err := browsepath.Parse(n.Path)
		switch {
		case err != nil:
			return ""
		case slices.Contains(p.Captures(), "signal"):
			return "{signal}"
		}
		return p.LastName()
	case !nodeIDForm.MatchString(n.NodeID):
		return ""
	}
	return mes.NodeName(n.NodeID)
}

// Address is how the node is named: its node id, its path, or both.
func (n OPCUANode) Address() string {
	switch {
	case n.Path == "":
		return n.NodeID
	case n.NodeID == "":
		return n.Path
	default:
		return n.NodeID + " " + n.Path
	}
}

// ParseDeadband reads a deadband: a number, or with % a share of the EURange. "" is 0.
func ParseDeadband(text string) (value float64, percent bool, err error) {
	if text == "" {
		return 0, false, nil
	}
	number, percent := strings.CutSuffix(text, "%")
	value, err = strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch {
	case err != nil || math.IsNaN(value) || math.IsInf(value, 0) || value <= 0:
		return 0, percent, fmt.Errorf("must be a number above 0, or a percentage such as 2%%, not %q", text)
	case percent && value > 100:
		return 0, percent, fmt.Errorf("must be at most 100%%, not %q", text)
	}
	return value, percent, nil
}

// validateMachines names every fault of machines and nodes, and of what is discovered.
func (o OPCUAConnection) validateMachines(f *faults) {
	if o.SiteID != "" {
		f.check("site_id", mes.CheckID(o.SiteID))
	}
	for i, d := range o.Discover {
		key := fmt.Sprintf("discover[%d]", i)
		if d != DiscoverMachinery && d != DiscoverPackML {
			f.add(key, "must be %s or %s, not %q", DiscoverMachinery, DiscoverPackML, d)
		} else if slices.Contains(o.Discover[:i], d) {
			f.add(key, "%q is named twice", d)
		}
	}
	if o.MaxNodes < 0 || o.MaxNodes > maxOPCUANodes {
		f.add("max_nodes", "must be 1 to %d, not %d", maxOPCUANodes, o.MaxNodes)
	}
	if o.BrowseInterval != 0 && o.BrowseInterval < minBrowseInterval {
		f.add("browse_interval", "must be at least %s, not %s", minBrowseInterval, o.BrowseInterval)
	}
	if len(o.Machines) == 0 && len(o.Discover) == 0 {
		f.add("machines", "needs at least one machine, or discover")
	}
	if o.Acknowledge && !o.HasEvents() {
		f.add("acknowledge", "needs events of a machine: alarms that are not known can't be acknowledged")
	}
	taken := takenNodes{signals: map[[3]string]string{}, nodes: map[[3]string]string{}, roles: map[[3]string]string{}}
	for i, m := range o.Machines {
		key := fmt.Sprintf("machines[%d]", i)
		if !strings.Contains(m.MachineID, "{") {
			f.check(key+".machine_id", mes.CheckID(m.MachineID))
		}
		if m.SiteID != "" {
			f.check(key+".site_id", mes.CheckID(m.SiteID))
		}
		if len(m.Nodes) == 0 && len(m.Events) == 0 {
			f.add(key+".nodes", "needs at least one node, or events")
		}
		m.validateEvents(key, f)
		site := cmp.Or(m.SiteID, o.SiteID)
		for j, n := range m.Nodes {
			nodeKey := fmt.Sprintf("%s.nodes[%d]", key, j)
			n.validate(nodeKey, m.MachineID, f)
			taken.check(nodeKey, site, m.MachineID, n, f)
		}
	}
}

// takenNodes are the keys of nodes by what there must be once. What a pattern leads to is
// known only at the server, where the first has it.
type takenNodes struct{ signals, nodes, roles map[[3]string]string }

func (t takenNodes) check(key, site, machine string, n OPCUANode, f *faults) {
	name := n.SignalName()
	if !strings.Contains(name, "{") && name != "" {
		once(t.signals, [3]string{site, machine, name}, key, f, key+".signal", "%q of this machine is taken by %s", name)
	}
	if address := n.Address(); address != "" {
		once(t.nodes, [3]string{site, machine, address}, key, f, key, "%s of this machine is configured by %s already", address)
	}
	if mes.Role(n.Role).IsCounter() {
		once(t.roles, [3]string{site, machine, n.Role}, key, f, key+".role", "%s of this machine is that of %s already", n.Role)
	}
}

func once(taken map[[3]string]string, what [3]string, key string, f *faults, at, format, text string) {
	if other, ok := taken[what]; ok {
		f.add(at, format, text, other)
		return
	}
	taken[what] = key
}

func (n OPCUANode) validate(key, machineID string, f *faults) {
	captures, ok := n.validateAddress(key, f)
	if !ok {
		return
	}
	for _, t := range []struct{ key, text string }{{key + ".machine_id", machineID}, {key + ".signal", n.Signal}} {
		if name := unknownCapture(t.text, captures); name != "" {
			f.add(t.key, "{%s} is no capture of this node's path", name)
		}
	}
	switch name := n.SignalName(); {
	case name == "":
		f.add(key+".signal", "is required: the path ends with a wildcard and has no {signal}")
	case len(name) > mes.MaxSignalNameLength:
		f.add(key+".signal", "must have at most %d bytes", mes.MaxSignalNameLength)
	case name == mes.SignalStatus:
		f.add(key+".signal", "%q is reserved for the machine's status; name it otherwise and give a map", name)
	}
	if len(n.Unit) > mes.MaxUnitLength {
		f.add(key+".unit", "must have at most %d bytes", mes.MaxUnitLength)
	}
	n.validateValues(key, f)
	n.validateMonitoring(key, f)
}

// validateAddress checks how the node is named, and returns the captures of its path.
func (n OPCUANode) validateAddress(key string, f *faults) (captures []string, ok bool) {
	if n.NodeID == "" && n.Path == "" {
		f.add(key+".node_id", "node_id or path is required")
		return nil, false
	}
	ok = true
	if n.NodeID != "" {
		if err := CheckNodeID(n.NodeID); err != nil {
			f.check(key+".node_id", err)
			ok = false
		}
	}
	if n.Path != "" {
		p, err := browsepath.Parse(n.Path)
		if err != nil {
			f.add(key+".path", "%s", err)
			return nil, false
		}
		captures = p.Captures()
	}
	return captures, ok
}

// unknownCapture returns a name in braces that is not among the captures.
func unknownCapture(text string, captures []string) string {
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			return ""
		}
		name, next, _ := strings.Cut(after, "}")
		if !slices.Contains(captures, name) {
			return name
		}
		rest = next
	}
}

// validateValues checks what becomes of values.
func (n OPCUANode) validateValues(key string, f *faults) {
	if !slices.Contains([]string{"", EnumBoth, EnumNumber, EnumText}, n.Enum) {
		f.add(key+".enum", "must be %s, %s or %s, not %q", EnumBoth, EnumNumber, EnumText, n.Enum)
	}
	for _, value := range slices.Sorted(maps.Keys(n.Map)) {
		if !slices.Contains(mes.Statuses(), mes.Status(n.Map[value])) {
			f.add(key+".map", "%q must become Running, Idle, Stopped or Maintenance, not %q", value, n.Map[value])
		}
	}
	role := mes.Role(n.Role)
	switch {
	case n.Role != "" && !role.IsKnown():
		f.add(key+".role", "must be one of %v, not %q", mes.Roles(), n.Role)
	case role == mes.RoleState && len(n.Map) == 0:
		f.add(key+".role", "state needs a map, which says what values mean")
	case role != "" && role != mes.RoleState && len(n.Map) > 0:
		f.add(key+".role", "a node with a map is the state, not %s", n.Role)
	case role.IsCounter() && n.Deadband != "":
		f.add(key+".deadband", "a counter needs every change")
	}
	if n.Scale != "" {
		if d, err := mes.ParseDecimal(n.Scale); err != nil {
			f.add(key+".scale", "%s", err)
		} else if d.Sign() == 0 {
			f.add(key+".scale", "must not be 0")
		}
	}
	if n.Offset != "" {
		if _, err := mes.ParseDecimal(n.Offset); err != nil {
			f.add(key+".offset", "%s", err)
		}
	}
}

// validateMonitoring checks what the server is asked for.
func (n OPCUANode) validateMonitoring(key string, f *faults) {
	if _, _, err := ParseDeadband(n.Deadband); err != nil {
		f.check(key+".deadband", err)
	}
	switch n.Trigger {
	case "", TriggerStatusValue, TriggerStatusValueTimestamp:
	case TriggerStatus:
		if n.Deadband != "" {
			f.add(key+".trigger", "status goes without a deadband: no value is compared")
		}
	default:
		f.add(key+".trigger", "must be %s, %s or %s, not %q", TriggerStatus, TriggerStatusValue, TriggerStatusValueTimestamp, n.Trigger)
	}
	if n.SamplingInterval < 0 {
		f.add(key+".sampling_interval", "must not be negative")
	}
	checkHistoryMode(f, key+".history", n.History)
	if n.QueueSize > maxOPCUAQueueSize {
		f.add(key+".queue_size", "must be at most %d, not %d", maxOPCUAQueueSize, n.QueueSize)
	}
}
