package mes

// Ownership is the right by which a server receives from a connection that only one of
// several servers has at a time.
type Ownership struct {
	// Lease names the right, Server who has it.
	Lease, Server string
	// Epoch counts those who had it.
	Epoch int64
}
