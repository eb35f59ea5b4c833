package mes

import "time"

// QuarantineState is where a quarantined item stands.
type QuarantineState string

// The states of a quarantined item.
const (
	QuarantineOpen      QuarantineState = "open"
	QuarantineReplayed  QuarantineState = "replayed"
	QuarantineDiscarded QuarantineState = "discarded"
)

// QuarantineItem is a message that could not be accepted: its bytes as they
// came, where from, and why.
type QuarantineItem struct {
	ID         ID
	State      QuarantineState
	ReceivedAt time.Time
	Origin     Origin
	// SiteID, MachineID and DataType are what is known of the message: what it
	// says where that can be read, else what the door knew (the topic binding,
	// the key); "" where nothing is known.
	SiteID    string
	MachineID string
	DataType  DataType
	Reason    Error
	// Raw is the message as it came. Lists leave it out and give only RawSize,
	// its length in bytes.
	Raw     []byte
	RawSize int64
	// ResolvedAt and ResolvedBy (the API key's id) are set once replayed or discarded.
	ResolvedAt time.Time
	ResolvedBy string
	// RecordID is the record that a replay made, of the first if several.
	RecordID ID
}

// QuarantineFilter selects quarantined items, oldest first; a zero field means any.
type QuarantineFilter struct {
	Scope  Scope
	State  QuarantineState
	Door   Door
	SiteID string
	// After is the id after which the list goes on.
	After ID
	Limit int
}
