package mqtt

import (
	"sync"
	"time"

	"plantgate/internal/flow"
	"plantgate/internal/mes"
)

// Meters measure what comes by a connection and by each of its bindings. Their methods may
// be called side by side.
type Meters struct {
	now      func() time.Time
	bindings Bindings
	all      *flow.Meter
	each     []*flow.Meter

	mu     sync.Mutex
	states []mes.BindingStatus
}

// NewMeters returns meters that begin now.
func NewMeters(bindings Bindings, now func() time.Time) *Meters {
	m := &Meters{now: now, bindings: bindings, all: flow.NewMeter(now())}
	for _, b := range bindings.list {
		m.each = append(m.each, flow.NewMeter(now()))
		m.states = append(m.states, mes.BindingStatus{Name: b.pattern.String(), State: mes.BindingWaiting, Since: now()})
	}
	return m
}

// Snapshot returns what was measured and where each binding stands.
func (m *Meters) Snapshot() (mes.Flow, []mes.BindingStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	list := make([]mes.BindingStatus, len(m.states))
	for i, s := range m.states {
		s.Flow = m.each[i].Flow(now)
		list[i] = s
	}
	return m.all.Flow(now), list
}

// Received counts a message, which is in hand until done is called.
func (m *Meters) Received(name string, at time.Time) (done func()) {
	binding := m.bindings.index(name)
	m.received(binding, at)
	return func() { m.settled(binding) }
}

// Stored takes note of the commit of what a message brought.
func (m *Meters) Stored(name string, records []mes.Record, receipts []mes.Receipt) {
	m.stored(m.bindings.index(name), records, receipts)
}

// Granted takes note that every binding takes messages.
func (m *Meters) Granted() { m.set(func(int) bool { return true }, mes.BindingGranted) }

// wait takes note that no binding does: there is no connection.
func (m *Meters) wait() { m.set(func(int) bool { return true }, mes.BindingWaiting) }

// answered takes note of what the broker says of a filter.
func (m *Meters) answered(filter string, state mes.BindingState) {
	m.set(func(i int) bool { return m.bindings.list[i].pattern.Filter() == filter }, state)
}

func (m *Meters) set(of func(i int) bool, state mes.BindingState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.states {
		if s := &m.states[i]; s.State != state && of(i) {
			s.State, s.Since = state, m.now()
		}
	}
}

// of are the meters that count the messages of a binding: the connection's and its own.
// A message of no binding, -1, counts for the connection.
func (m *Meters) of(binding int) []*flow.Meter {
	if binding < 0 {
		return []*flow.Meter{m.all}
	}
	return []*flow.Meter{m.all, m.each[binding]}
}

func (m *Meters) received(binding int, at time.Time) {
	for _, f := range m.of(binding) {
		f.Received(1, at)
	}
}

// settled counts a message that is in hand no more.
func (m *Meters) settled(binding int) {
	for _, f := range m.of(binding) {
		f.Settled(1)
	}
}

func (m *Meters) stored(binding int, records []mes.Record, receipts []mes.Receipt) {
	now, poison := m.now(), countQuarantined(receipts)
	for _, f := range m.of(binding) {
		f.Stored(records, now)
		f.Quarantined(poison)
	}
}
