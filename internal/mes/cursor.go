package mes

import "time"

// OPCUACursor tells how far the values of one node of an OPC UA connection are stored.
type OPCUACursor struct {
	// Node names the node within its connection.
	Node ID
	// At is the source time of the last value that was committed as it came. Everything up
	// to it is there, but for the gap.
	At time.Time
	// Gap is what may be missing before At; zero if nothing is.
	Gap OPCUAGap
}

// OPCUAGap is an interval of which values of a node may be missing.
type OPCUAGap struct {
	// From is the source time of the last value before it, To of the first after it: by the
	// clock of the source.
	From, To time.Time
	// Since is when the values stopped coming, by plantgate's clock.
	Since time.Time
}

// IsZero tells whether nothing is missing.
func (g OPCUAGap) IsZero() bool { return g == OPCUAGap{} }

// The signals of the Event that says of a machine that values may be lost. Times are RFC
// 3339 in UTC, by plantgate's clock.
const (
	SignalGapConnection = "gap.connection"
	SignalGapFrom       = "gap.from"
	SignalGapTo         = "gap.to"
	SignalGapReason     = "gap.reason"
	// SignalGapSignals is an array of names, SignalGapCount how many there are: a long list
	// is cut.
	SignalGapSignals = "gap.signals"
	SignalGapCount   = "gap.count"
)
