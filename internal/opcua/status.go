package opcua

import (
	"sync"
	"time"

	"plantgate/internal/flow"
	"plantgate/internal/mes"
)

// status is the adapter's condition as others may read it.
type status struct {
	mu  sync.Mutex
	now func() time.Time
	s   mes.AdapterStatus
	// flow counts values.
	flow *flow.Meter
}

func newStatus(name string, now func() time.Time) *status {
	return &status{now: now, flow: flow.NewMeter(now()), s: mes.AdapterStatus{
		Door: mes.DoorOPCUA, Name: name, State: mes.AdapterStopped, Since: now(),
	}}
}

// set changes the state and reports whether it, or its detail, is new.
func (s *status) set(state mes.AdapterState, detail string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.s.State == state && s.s.Detail == detail {
		return false
	}
	if s.s.State != state {
		s.s.Since = s.now()
	}
	s.s.State, s.s.Detail = state, detail
	return true
}

func (s *status) reconnected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Reconnects++
}

func (s *status) read() mes.AdapterStatus {
	s.mu.Lock()
	status := s.s
	s.mu.Unlock()
	status.Flow = s.flow.Flow(s.now())
	return status
}
