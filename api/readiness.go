package api

import "plantgate/internal/mes"

// The values of readinessBody.Status.
const (
	ready    = "ready"
	degraded = "degraded"
	unready  = "unready"
)

// ReadinessPolicy says what a connection to the floor means for the readiness of the
// server that is down. The zero value makes it degraded.
type ReadinessPolicy struct {
	// Ignore leaves connections out of account; Fail makes the server unready if any is
	// down.
	Ignore, Fail bool
	// Required are connections without which the server is unready, whatever is said above.
	Required map[AdapterKey]bool
}

// AdapterKey names a connection.
type AdapterKey struct {
	Door mes.Door
	Name string
}

func (p ReadinessPolicy) isRequired(s mes.AdapterStatus) bool {
	return p.Fail || p.Required[AdapterKey{s.Door, s.Name}]
}

// judge tells what the server is because of one connection. One that another server has is
// no fault of this one; one that is up and degraded fails nothing.
func (p ReadinessPolicy) judge(s mes.AdapterStatus) string {
	switch {
	case s.State == mes.AdapterRunning || s.State == mes.AdapterStandby:
		return ready
	case s.State != mes.AdapterDegraded && p.isRequired(s):
		return unready
	case p.Ignore:
		return ready
	}
	return degraded
}
