package mes

import "time"

// AuditState is how an action of a person on the floor ended.
type AuditState string

// The states of an audit entry. One that stays pending is of an action whose end was not
// noted, since the server or the database went away: it may have been carried out.
const (
	AuditPending AuditState = "pending"
	// AuditDone: all of it was carried out.
	AuditDone AuditState = "done"
	// AuditPartial: some of it was not carried out, or nothing is known of some.
	AuditPartial AuditState = "partial"
	// AuditRefused: plantgate or the device did not allow it; nothing was changed.
	AuditRefused AuditState = "refused"
	// AuditFailed: it could not be tried; nothing was changed.
	AuditFailed AuditState = "failed"
)

// AuditStates lists every state.
func AuditStates() []AuditState {
	return []AuditState{AuditPending, AuditDone, AuditPartial, AuditRefused, AuditFailed}
}

// The actions that are audited.
const (
	AuditOPCUAWrite = "opcua.write"
	AuditOPCUACall  = "opcua.call"
	// auditAlarmPrefix begins those on alarms; an AlarmAction follows.
	auditAlarmPrefix = "opcua.alarm."
)

// AuditActions lists every action.
func AuditActions() []string {
	all := []string{AuditOPCUAWrite, AuditOPCUACall}
	for _, a := range AlarmActions() {
		all = append(all, a.Audited())
	}
	return all
}

// MaxAuditReason bounds what a person may give as the reason of an action, in bytes.
const MaxAuditReason = 1 << 10

// AuditEntry is one action of a person on the floor: who, when, what, why, and what came of
// it. It is on disk before the action is tried.
type AuditEntry struct {
	ID     ID
	Action string
	// Connection is the name of the connection that the action went to.
	Connection string
	State      AuditState
	CreatedAt  time.Time
	// FinishedAt is zero while the state is pending.
	FinishedAt time.Time
	// CreatedBy is the id of the API key.
	CreatedBy string
	// Reason is what the caller gave as such; it may be empty.
	Reason string
	// Detail says why it was refused or failed.
	Detail string
	// Request is what was asked for, Result what came of it, both JSON; nil if there is
	// none.
	Request, Result []byte
}

// AuditFilter selects entries, the newest first; a zero field means any.
type AuditFilter struct {
	Action, Connection, CreatedBy string
	State                         AuditState
	// Before is the id after which the list goes on.
	Before ID
	Limit  int
}
