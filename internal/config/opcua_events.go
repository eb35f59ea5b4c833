package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/browsepath"
)

// OPCUAEvents is a notifier of a server, whose events become records of a machine.
type OPCUAEvents struct {
	// NodeID and Path name the notifier as they name a node; without both it is the Server
	// object, which tells all events of the server.
	NodeID string `koanf:"node_id"`
	Path   string `koanf:"path"`
	// Types are event types, subtypes included: names of the standard, or node ids. None is
	// all.
	Types []string `koanf:"types"`
	// MinSeverity is the least severity that counts, 1 to 1000; 0 is all.
	MinSeverity int `koanf:"min_severity"`
	// QueueSize is how many events the server keeps between two answers.
	QueueSize uint32 `koanf:"queue_size"`
	// Sources give events of some sources to other machines.
	Sources []OPCUAEventSource `koanf:"sources"`
}

// OPCUAEventSource says whose the events of a source are.
type OPCUAEventSource struct {
	// Source is the SourceName of an event, or its SourceNode as a node id.
	Source    string `koanf:"source"`
	MachineID string `koanf:"machine_id"`
	SiteID    string `koanf:"site_id"`
}

const (
	// serverObject is the notifier unless configured (OPC 10000-5, 8.3.2).
	serverObject = "i=2253"
	// eventQueueSize is what the server keeps of events unless configured.
	eventQueueSize = 1000
	maxSeverity    = 1000
	maxEventTypes  = 20
)

// Notifier is how the notifier is named: its node id, its path, or both.
func (e OPCUAEvents) Notifier() string {
	return cmp.Or(OPCUANode{NodeID: e.NodeID, Path: e.Path}.Address(), serverObject)
}

// Queue is QueueSize, or its default.
func (e OPCUAEvents) Queue() uint32 { return cmp.Or(e.QueueSize, eventQueueSize) }

// TypeIDs are the node ids of Types.
func (e OPCUAEvents) TypeIDs() []string {
	var ids []string
	for _, t := range e.Types {
		ids = append(ids, cmp.Or(standardEventTypes[t], t))
	}
	return ids
}

// HasEvents tells whether events of the connection are wanted.
func (o OPCUAConnection) HasEvents() bool {
	return slices.ContainsFunc(o.Machines, func(m OPCUAMachine) bool { return len(m.Events) > 0 })
}

// validateEvents checks the notifiers of a machine.
func (m OPCUAMachine) validateEvents(key string, f *faults) {
	if len(m.Events) > 0 && strings.Contains(m.MachineID, "{") {
		f.add(key+".events", "need a machine_id without captures")
	}
	taken := map[string]string{}
	for i, e := range m.Events {
		at := fmt.Sprintf("%s.events[%d]", key, i)
		if other, ok := taken[e.Notifier()]; ok {
			f.add(at, "the events of %s are those of %s already", e.Notifier(), other)
		}
		taken[e.Notifier()] = at
		e.validate(at, f)
	}
}

func (e OPCUAEvents) validate(key string, f *faults) {
	if e.NodeID != "" {
		f.check(key+".node_id", CheckNodeID(e.NodeID))
	}
	if e.Path != "" {
		switch p, err := browsepath.Parse(e.Path); {
		case err != nil:
			f.add(key+".path", "%s", err)
		case p.IsPattern():
			f.add(key+".path", "must lead to one notifier: it has a wildcard")
		}
	}
	if len(e.Types) > maxEventTypes {
		f.add(key+".types", "must be at most %d, not %d: name a type that they have in common", maxEventTypes, len(e.Types))
	}
	for i, t := range e.Types {
		if standardEventTypes[t] == "" && CheckNodeID(t) != nil {
			f.add(fmt.Sprintf("%s.types[%d]", key, i), "%q is no event type of the standard (such as %s), nor a node id",
				t, strings.Join([]string{"AlarmConditionType", "LimitAlarmType", "SystemEventType"}, ", "))
		}
	}
	if e.MinSeverity < 0 || e.MinSeverity > maxSeverity {
		f.add(key+".min_severity", "must be 1 to %d, or 0 for all, not %d", maxSeverity, e.MinSeverity)
	}
	if e.QueueSize > maxOPCUAQueueSize {
		f.add(key+".queue_size", "must be 1 to %d, not %d", maxOPCUAQueueSize, e.QueueSize)
	}
	e.validateSources(key, f)
}

func (e OPCUAEvents) validateSources(key string, f *faults) {
	taken := map[string]string{}
	for i, s := range e.Sources {
		at := fmt.Sprintf("%s.sources[%d]", key, i)
		switch other, ok := taken[s.Source]; {
		case s.Source == "":
			f.add(at+".source", "is required: the SourceName of events, or their SourceNode")
		case ok:
			f.add(at+".source", "%q is that of %s already", s.Source, other)
		}
		taken[s.Source] = at
		f.check(at+".machine_id", mes.CheckID(s.MachineID))
		if s.SiteID != "" {
			f.check(at+".site_id", mes.CheckID(s.SiteID))
		}
	}
}

// EventTypeNames are the event types that can be named without a node id.
func EventTypeNames() []string { return slices.Sorted(maps.Keys(standardEventTypes)) }

// standardEventTypes are the event types of OPC 10000-5 and OPC 10000-9 that are of use
// for machines.
var standardEventTypes = map[string]string{
	"BaseEventType":                     "i=2041",
	"SystemEventType":                   "i=2130",
	"DeviceFailureEventType":            "i=2131",
	"SystemStatusChangeEventType":       "i=11446",
	"ProgressEventType":                 "i=11436",
	"TransitionEventType":               "i=2311",
	"ProgramTransitionEventType":        "i=2378",
	"BaseModelChangeEventType":          "i=2132",
	"GeneralModelChangeEventType":       "i=2133",
	"SemanticChangeEventType":           "i=2738",
	"AuditEventType":                    "i=2052",
	"AuditSecurityEventType":            "i=2058",
	"AuditUpdateEventType":              "i=2099",
	"AuditWriteUpdateEventType":         "i=2100",
	"AuditUpdateMethodEventType":        "i=2127",
	"AuditConditionEventType":           "i=2790",
	"ConditionType":                     "i=2782",
	"DialogConditionType":               "i=2830",
	"AcknowledgeableConditionType":      "i=2881",
	"AlarmConditionType":                "i=2915",
	"LimitAlarmType":                    "i=2955",
	"ExclusiveLimitAlarmType":           "i=9341",
	"NonExclusiveLimitAlarmType":        "i=9906",
	"ExclusiveLevelAlarmType":           "i=9482",
	"NonExclusiveLevelAlarmType":        "i=10060",
	"ExclusiveDeviationAlarmType":       "i=9764",
	"NonExclusiveDeviationAlarmType":    "i=10368",
	"ExclusiveRateOfChangeAlarmType":    "i=9623",
	"NonExclusiveRateOfChangeAlarmType": "i=10214",
	"DiscreteAlarmType":                 "i=10523",
	"OffNormalAlarmType":                "i=10637",
	"SystemOffNormalAlarmType":          "i=11753",
	"TripAlarmType":                     "i=10751",
	"DiscrepancyAlarmType":              "i=17080",
	"InstrumentDiagnosticAlarmType":     "i=18347",
	"SystemDiagnosticAlarmType":         "i=18496",
	"CertificateExpirationAlarmType":    "i=13225",
}
