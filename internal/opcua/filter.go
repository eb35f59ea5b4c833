package opcua

import (
	"cmp"
	"fmt"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/opcua/link"
)

// monitoring is what the server is asked for of a node.
type monitoring struct {
	sampling time.Duration
	queue    uint32
	// filter is nil where the server's own rule does: status or value.
	filter   *ua.DataChangeFilter
	deadband string // as configured
}

// newMonitoring takes a node that was checked.
func newMonitoring(c config.OPCUAConnection, n config.OPCUANode) monitoring {
	m := monitoring{
		sampling: cmp.Or(n.SamplingInterval, c.SamplingInterval),
		queue:    cmp.Or(n.QueueSize, c.QueueSize),
		deadband: n.Deadband,
	}
	value, percent, err := config.ParseDeadband(n.Deadband)
	trigger := ua.DataChangeTriggerStatusValue
	switch n.Trigger {
	case config.TriggerStatus:
		trigger = ua.DataChangeTriggerStatus
	case config.TriggerStatusValueTimestamp:
		trigger = ua.DataChangeTriggerStatusValueTimestamp
	}
	if err != nil || n.Deadband == "" && trigger == ua.DataChangeTriggerStatusValue {
		return m
	}
	m.filter = &ua.DataChangeFilter{Trigger: trigger}
	if n.Deadband != "" {
		m.filter.DeadbandType, m.filter.DeadbandValue = uint32(ua.DeadbandTypeAbsolute), value
	}
	if percent {
		m.filter.DeadbandType = uint32(ua.DeadbandTypePercent)
	}
	return m
}

// request asks for the node's item.
func (n *node) request(nodeID *ua.NodeID) *ua.MonitoredItemCreateRequest {
	r := createRequest(nodeID, n.handle, n.ask.sampling, n.ask.queue)
	if n.ask.filter != nil {
		r.RequestedParameters.Filter = ua.NewExtensionObject(n.ask.filter)
	}
	return r
}

// refusal says in words why the server does not monitor the node.
func (n *node) refusal(code ua.StatusCode) string {
	text := link.StatusText(code)
	if n.ask.filter == nil {
		return text
	}
	switch code {
	case ua.StatusBadDeadbandFilterInvalid, ua.StatusBadMonitoredItemFilterInvalid,
		ua.StatusBadMonitoredItemFilterUnsupported, ua.StatusBadFilterNotAllowed:
		return fmt.Sprintf("the server does not take %s: %s", n.ask.filterText(), text)
	}
	return text
}

// filterText says what is asked for, and what that needs.
func (m *monitoring) filterText() string {
	switch ua.DeadbandType(m.filter.DeadbandType) {
	case ua.DeadbandTypePercent:
		return fmt.Sprintf("the deadband %s, which needs a number with the property EURange", m.deadband)
	case ua.DeadbandTypeAbsolute:
		return fmt.Sprintf("the deadband %s, which needs a number", m.deadband)
	default:
		return "the trigger"
	}
}
