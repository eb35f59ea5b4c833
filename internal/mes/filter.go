package mes

import "time"

// RecordFilter selects records; a zero field means any.
type RecordFilter struct {
	Scope     Scope
	SiteID    string
	MachineID string
	DataType  DataType
	Door      Door
	Status    Status
	// From is inclusive, To exclusive, both of Record.Time.
	From, To time.Time
	// Descending gives newest first.
	Descending bool
	// After is the position after which the list goes on, in its order.
	After *Position
	Limit int
}
