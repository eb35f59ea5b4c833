package mes

import "time"

// UAStatus is an OPC UA StatusCode with its name as in OPC 10000-6, A.2, such as
// BadNodeIdUnknown.
type UAStatus struct {
	Code StatusCode `json:"status_code"`
	Name string     `json:"status"`
}

// UANode is a node of a server's address space, as it is seen from its parent.
type UANode struct {
	// NodeID names the namespace by its URI (nsu=): it is good for the configuration.
	NodeID string
	// BrowseName is without its namespace, which is that of NodeID mostly.
	BrowseName, DisplayName string
	// Class is Object, Variable, Method, View, ObjectType, VariableType, ReferenceType or
	// DataType.
	Class string
	// ReferenceType is how the parent refers to it, such as HasComponent.
	ReferenceType string
	// TypeDefinition is of objects and variables.
	TypeDefinition string
	// DataType, ValueRank and access are of variables. A rank of -1 is a scalar, 1 an array
	// (OPC 10000-3, 5.6.2).
	DataType           string
	ValueRank          int32
	Readable, Writable bool
	// Place is where a list goes on after it.
	Place UAPlace
}

// UAPlace is a place in the list of a node's children.
type UAPlace struct {
	// Index is the child's own, from 0; Node is a hash of its node id.
	Index int    `json:"i"`
	Node  []byte `json:"n"`
}

// UARead asks for an attribute of a node; "" is Value.
type UARead struct{ Node, Attribute string }

// UAValue is what a server says of an attribute.
type UAValue struct {
	Node, Attribute string
	Status          UAStatus
	// Value is null where there is none. DataType is that of the value, such as Int32 or
	// Int32[].
	Value    Value
	DataType string
	// SourceTime and ServerTime are zero where the server gives none.
	SourceTime, ServerTime time.Time
	// Detail says why there is no value, where the status does not.
	Detail string
}

// UAOutcome is what became of one write or call.
type UAOutcome string

// The outcomes.
const (
	UADone UAOutcome = "done"
	// UARefused: the server did not carry it out.
	UARefused UAOutcome = "refused"
	// UAUnknown: the server did not answer; it may have carried it out.
	UAUnknown UAOutcome = "unknown"
)

// UACaller is who acts on the floor.
type UACaller struct {
	// KeyID is the id of the API key, Scope what it is bound to.
	KeyID string
	Scope Scope
	// Reason is what the caller says for the audit.
	Reason string
	// Key is nil for a request without an Idempotency-Key.
	Key *Idempotency
}

// UAWrite is a value for a variable.
type UAWrite struct {
	Node string `json:"node"`
	// Value is JSON. It is converted to the data type that the server tells.
	Value RawJSON `json:"value"`
	// DataType names a built-in type where the variable takes several; it may be empty.
	DataType string `json:"data_type,omitempty"`
}

// UAWritten is what became of a write.
type UAWritten struct {
	Node    string    `json:"node"`
	Outcome UAOutcome `json:"outcome"`
	UAStatus
	// DataType is what was written, such as Int32.
	DataType string `json:"data_type,omitempty"`
	// OldValue is what was read right before; nil where it could not be.
	OldValue *Value `json:"old_value,omitempty"`
	Detail   string `json:"detail,omitempty"`
}

// UACall is a call of a method of an object.
type UACall struct {
	Object string `json:"object"`
	Method string `json:"method"`
	// Arguments are JSON, converted to the types that the server tells.
	Arguments []RawJSON `json:"arguments"`
}

// UACalled is what became of a call.
type UACalled struct {
	Object  string    `json:"object"`
	Method  string    `json:"method"`
	Outcome UAOutcome `json:"outcome"`
	UAStatus
	// ArgumentStatus are of the arguments where the server found fault with some.
	ArgumentStatus []UAStatus   `json:"argument_status,omitempty"`
	Outputs        []UAArgument `json:"outputs"`
	Detail         string       `json:"detail,omitempty"`
}

// UAArgument is a value that a method gave back.
type UAArgument struct {
	Name     string `json:"name"`
	DataType string `json:"data_type"`
	Value    Value  `json:"value"`
	// Detail says why the value can't be shown.
	Detail string `json:"detail,omitempty"`
}

// UAAction is what became of an action, with the id of its audit entry.
type UAAction[T any] struct {
	AuditID ID
	Items   []T
	// Complete tells that all of it was done.
	Complete bool
}

// RawJSON is a JSON value as it was written.
type RawJSON []byte

// MarshalJSON returns the value, null if there is none.
func (r RawJSON) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("null"), nil
	}
	return r, nil
}

// UnmarshalJSON keeps the value.
func (r *RawJSON) UnmarshalJSON(b []byte) error {
	*r = append((*r)[:0], b...)
	return nil
}
