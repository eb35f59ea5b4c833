package mes

import "time"

// Alarm is a condition of an OPC UA server that is of interest now (OPC 10000-9, 5.5.2,
// Retain): one branch of it. What the server does not tell is empty, or nil.
type Alarm struct {
	SiteID, MachineID string
	// ConditionID names the condition, BranchID the branch; "" is the current state. Node
	// ids name the namespace by its URI.
	ConditionID, BranchID string
	// EventID names the state, in base64: who acknowledges says by it which one was seen.
	EventID string
	// EventType is a node id, TypeName its browse name.
	EventType, TypeName    string
	ConditionName          string
	SourceNode, SourceName string
	Message, Comment       string
	// ClientUserID is who commented on it or acknowledged it last, as the server knows them.
	ClientUserID string
	// Severity is 1 to 1000, 0 where the server does not tell it.
	Severity uint16
	// Time is that of the event which told the state.
	Time time.Time
	// The states of the condition (OPC 10000-9, 5.5.2, 5.7.2 and 5.8.2).
	Enabled, Active, Acked, Confirmed *bool
	Quality                           *StatusCode
}

// Alarms are the present ones of a connection.
type Alarms struct {
	// Complete tells that the server was asked for all of them in this session and has told
	// them; otherwise there may be more.
	Complete bool
	// RefreshedAt is when it had; zero if it has not.
	RefreshedAt time.Time
	Items       []Alarm
}

// AlarmAction is what a person does to an alarm.
type AlarmAction string

// The actions (OPC 10000-9, 5.7.3, 5.7.4 and 5.5.6).
const (
	AlarmAcknowledge AlarmAction = "acknowledge"
	AlarmConfirm     AlarmAction = "confirm"
	AlarmComment     AlarmAction = "comment"
)

// AlarmActions lists every action.
func AlarmActions() []AlarmAction {
	return []AlarmAction{AlarmAcknowledge, AlarmConfirm, AlarmComment}
}

// Audited is the action's name in the audit.
func (a AlarmAction) Audited() string { return auditAlarmPrefix + string(a) }

// MaxAlarmComment bounds a comment, in bytes.
const MaxAlarmComment = 1 << 10

// AlarmRequest is an action of a person on an alarm.
type AlarmRequest struct {
	Action      AlarmAction
	ConditionID string
	EventID     string
	Comment     string
	// By is the id of the API key, Scope what it is bound to.
	By    string
	Scope Scope
}
