package mes

import (
	"fmt"
	"strings"
	"time"
)

// CommandState is where a command to a machine stands. Acknowledged, rejected, completed
// and failed are what the machine says itself; the others are what this side knows.
type CommandState string

// The states of a command. It is pending until the broker has it, and sent from then on.
const (
	CommandPending      CommandState = "pending"
	CommandSent         CommandState = "sent"
	CommandAcknowledged CommandState = "acknowledged"
	CommandRejected     CommandState = "rejected"
	CommandCompleted    CommandState = "completed"
	CommandFailed       CommandState = "failed"
	// CommandExpired and CommandCancelled were not sent, as far as is known: a reply
	// shows that one was all the same, and counts.
	CommandExpired   CommandState = "expired"
	CommandCancelled CommandState = "cancelled"
)

// CommandStates lists every state.
func CommandStates() []CommandState {
	return []CommandState{
		CommandPending, CommandSent, CommandAcknowledged, CommandRejected, CommandCompleted, CommandFailed,
		CommandExpired, CommandCancelled,
	}
}

// Bounds of a command, in bytes and levels.
const (
	MaxCommandName       = 64
	MaxCommandParameters = 256 << 10
	// MaxCommandDepth is how deep objects and arrays may be nested in the parameters, which
	// are the first level, in the data of a reply, and in what is written to OPC UA servers:
	// as deep as data.max_depth lets records be unless it is set.
	MaxCommandDepth = 32
)

// Command is an instruction for one machine: a job order dispatch, a parameter set, a
// request. Its id goes with it, the same in every repetition, and comes back in replies.
type Command struct {
	ID                ID
	SiteID, MachineID string
	// Name says what is to be done, such as job_order.dispatch.
	Name string
	// Parameters is a JSON object, as it goes to the machine.
	Parameters []byte
	CreatedAt  time.Time
	// ExpiresAt is when the command is not sent any more; zero is never.
	ExpiresAt time.Time
	// CreatedBy is the id of the API key that gave it.
	CreatedBy string

	State CommandState
	// SentAt is when the broker acknowledged it, AcknowledgedAt when the machine did, and
	// FinishedAt when it was rejected, completed or failed, expired or was cancelled; zero
	// if that has not happened.
	SentAt, AcknowledgedAt, FinishedAt time.Time
	// ReplyMessage and ReplyData are of the reply that counted last; data is JSON, nil if
	// there is none.
	ReplyMessage string
	ReplyData    []byte
}

// Validate names every fault of a command that is to be given.
func (c *Command) Validate() *Error {
	var faults []FieldError
	add := func(pointer, format string, args ...any) {
		faults = append(faults, FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
	if err := CheckCommandName(c.Name); err != nil {
		add("/command", "%s", err)
	}
	if n := len(c.Parameters); n > MaxCommandParameters {
		add("/parameters", "must have at most %d bytes, not %d", MaxCommandParameters, n)
	}
	if n := JSONDepth(c.Parameters); n > MaxCommandDepth {
		add("/parameters", "must not be nested deeper than %d levels; it has %d", MaxCommandDepth, n)
	}
	if !c.ExpiresAt.IsZero() && !c.ExpiresAt.After(c.CreatedAt) {
		add("/expires_at", "must be ahead; it is now %s", c.CreatedAt.UTC().Format(time.RFC3339))
	}
	return Invalid(faults)
}

// CheckCommandName tells what is wrong with the name of a command, or nil. A name may be
// a level of a topic.
func CheckCommandName(name string) error {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.-", r)
	}
	switch {
	case name == "":
		return Errorf(CodeInvalid, "is required")
	case len(name) > MaxCommandName:
		return Errorf(CodeInvalid, "must have at most %d characters", MaxCommandName)
	case strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }):
		return Errorf(CodeInvalid, "must be of letters, digits, '_', '.' and '-', such as job_order.dispatch")
	}
	return nil
}

// CommandReply is what a machine says of a command.
type CommandReply struct {
	CommandID ID
	// SiteID and MachineID are whose reply it is, as far as the topic says; "" is unknown.
	SiteID, MachineID string
	// Status is acknowledged, rejected, completed or failed.
	Status  CommandState
	Message string
	// Data is JSON; nil if there is none.
	Data       []byte
	ReceivedAt time.Time
}

// ReplyStates lists what a machine may say of a command.
func ReplyStates() []CommandState {
	return []CommandState{CommandAcknowledged, CommandRejected, CommandCompleted, CommandFailed}
}

// Take moves the command on by a reply, and tells whether it did: the same reply again,
// and one that comes late, change nothing.
func (c *Command) Take(r CommandReply) bool {
	if progress(r.Status) <= progress(c.State) {
		return false
	}
	c.State, c.ReplyMessage, c.ReplyData = r.Status, r.Message, r.Data
	if r.Status == CommandAcknowledged {
		c.AcknowledgedAt, c.FinishedAt = r.ReceivedAt, time.Time{}
		return true
	}
	c.FinishedAt = r.ReceivedAt
	return true
}

// progress orders what machines say: a state never goes back.
func progress(s CommandState) int {
	switch s {
	case CommandAcknowledged:
		return 1
	case CommandRejected, CommandCompleted, CommandFailed:
		return 2
	default:
		return 0
	}
}

// CommandFilter selects commands, the newest first; a zero field means any.
type CommandFilter struct {
	SiteID, MachineID string
	State             CommandState
	// Before is the id after which the list goes on.
	Before ID
	Limit  int
}
