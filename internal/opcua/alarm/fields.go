package alarm

import (
	"strings"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// Prefix begins the names of an event's signals.
const Prefix = "event."

// place is the place of a field among those that are asked for.
type place int

// The fields, in the order in which they are asked for: first those that every event has.
const (
	eventID place = iota
	eventType
	sourceNode
	sourceName
	eventTime
	receiveTime
	message
	severity
	baseFields // how many every event has
)

const (
	conditionID place = baseFields + iota
	conditionName
	branchID
	retain
	enabled
	quality
	comment
	clientUserID
	acked
	confirmed
	active
	allFields
)

// field is one field of an event type.
type field struct {
	of uint32
	// path are browse names from the type; none is the node itself.
	path      []string
	attribute ua.AttributeID
}

// name is the field in the words of the standard, with dots.
func (p place) name() string {
	if p == conditionID {
		return "ConditionId"
	}
	return strings.Join(fields[p].path, ".")
}

// signal is the name of the signal that the field becomes.
func (p place) signal() string { return Prefix + p.name() }

// fields are those of OPC 10000-5, 6.4.2 and OPC 10000-9, 5.5.2, 5.7.2 and 5.8.2. What a
// server does not have is null.
var fields = [allFields]field{
	eventID:       property(id.BaseEventType, "EventId"),
	eventType:     property(id.BaseEventType, "EventType"),
	sourceNode:    property(id.BaseEventType, "SourceNode"),
	sourceName:    property(id.BaseEventType, "SourceName"),
	eventTime:     property(id.BaseEventType, "Time"),
	receiveTime:   property(id.BaseEventType, "ReceiveTime"),
	message:       property(id.BaseEventType, "Message"),
	severity:      property(id.BaseEventType, "Severity"),
	conditionID:   {id.ConditionType, nil, ua.AttributeIDNodeID}, // OPC 10000-9, 5.5.2.13
	conditionName: property(id.ConditionType, "ConditionName"),
	branchID:      property(id.ConditionType, "BranchId"),
	retain:        property(id.ConditionType, "Retain"),
	enabled:       property(id.ConditionType, "EnabledState", "Id"),
	quality:       property(id.ConditionType, "Quality"),
	comment:       property(id.ConditionType, "Comment"),
	clientUserID:  property(id.ConditionType, "ClientUserId"),
	acked:         property(id.AcknowledgeableConditionType, "AckedState", "Id"),
	confirmed:     property(id.AcknowledgeableConditionType, "ConfirmedState", "Id"),
	active:        property(id.AlarmConditionType, "ActiveState", "Id"),
}

func property(of uint32, path ...string) field { return field{of, path, ua.AttributeIDValue} }

func (f field) operand() *ua.SimpleAttributeOperand {
	// An empty path is an empty array: not every server takes null for one.
	o := &ua.SimpleAttributeOperand{TypeDefinitionID: ua.NewNumericNodeID(0, f.of), BrowsePath: []*ua.QualifiedName{}, AttributeID: f.attribute}
	for _, name := range f.path {
		o.BrowsePath = append(o.BrowsePath, &ua.QualifiedName{Name: name})
	}
	return o
}
