package mes

import "time"

// LagBounds are the upper bounds of the buckets of Lag, in seconds.
func LagBounds() []float64 {
	return []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600}
}

// Lag is how long records were on the way from the time of their source to their commit.
// It is known of those that bear a time of the source or of its server; a time ahead of
// the commit counts as no lag.
type Lag struct {
	// Last is that of the newest commit, P99 what 99 of 100 of the last 256 do not exceed.
	Last, P99 time.Duration
	// Count and Sum, in seconds, are of all since the start.
	Count int64
	Sum   float64
	// Buckets counts those up to each of LagBounds; nil means none.
	Buckets []int64
}

// Flow is what comes by a connection, or by one of its bindings.
type Flow struct {
	// Received and Quarantined count since start.
	Received    int64 `json:"received"`
	Quarantined int64 `json:"quarantined"`
	// InHand are messages that are received and neither stored nor given up: those of QoS
	// 1 and 2 are not acknowledged.
	InHand int64 `json:"in_hand,omitempty"`
	// LastMessage is when the newest message came; zero if none yet.
	LastMessage time.Time `json:"last_message,omitzero"`
	// Rate is messages a second over the last minute, or since the start.
	Rate float64 `json:"rate,omitempty"`
	Lag  Lag     `json:"-"`
}

// After is the flow with what was counted before it, by a connection of the same name.
func (f Flow) After(before Flow) Flow {
	f.Received += before.Received
	f.Quarantined += before.Quarantined
	if f.LastMessage.IsZero() {
		f.LastMessage = before.LastMessage
	}
	if f.Lag.Count == 0 {
		f.Lag.Last, f.Lag.P99 = before.Lag.Last, before.Lag.P99
	}
	f.Lag.Count += before.Lag.Count
	f.Lag.Sum += before.Lag.Sum
	f.Lag.Buckets = sumOf(f.Lag.Buckets, before.Lag.Buckets)
	return f
}

func sumOf(a, b []int64) []int64 {
	if len(a) != len(b) {
		if len(a) < len(b) {
			return b
		}
		return a
	}
	sum := make([]int64, len(a))
	for i := range a {
		sum[i] = a[i] + b[i]
	}
	return sum
}

// BindingState is where a subscription stands.
type BindingState string

// The states of a subscription.
const (
	// BindingWaiting: there is no connection, or no answer yet.
	BindingWaiting BindingState = "waiting"
	// BindingGranted as it was asked for.
	BindingGranted BindingState = "granted"
	// BindingLimited: granted with QoS 0, so that messages may be lost.
	BindingLimited BindingState = "limited"
	// BindingRefused: the broker refuses it; it is asked again.
	BindingRefused BindingState = "refused"
)

// BindingStatus is what is known of one subscription of a connection.
type BindingStatus struct {
	// Name is the configured topic filter, with its captures; of OPC UA the machine.
	Name  string       `json:"name"`
	State BindingState `json:"state"`
	// Since is when the state began.
	Since time.Time `json:"since"`
	Flow
}

// After is the status with what was counted before, while this server had the connection.
func (s AdapterStatus) After(before AdapterStatus) AdapterStatus {
	s.Flow = s.Flow.After(before.Flow)
	s.Reconnects += before.Reconnects
	s.Repeated += before.Repeated
	s.Doubtful += before.Doubtful
	s.SessionsLost += before.SessionsLost
	s.Backfilled += before.Backfilled
	s.Gaps += before.Gaps
	if s.Bindings == nil {
		s.Bindings = before.Bindings
		return s
	}
	flows := make(map[string]Flow, len(before.Bindings))
	for _, b := range before.Bindings {
		flows[b.Name] = b.Flow
	}
	list := make([]BindingStatus, len(s.Bindings))
	for i, b := range s.Bindings {
		b.Flow = b.Flow.After(flows[b.Name])
		list[i] = b
	}
	s.Bindings = list
	return s
}

// AtRest is the status of a connection that is not this server's now: nothing comes, and
// nothing is in hand.
func (s AdapterStatus) AtRest() AdapterStatus {
	s.InHand, s.Rate, s.GapsOpen = 0, 0, 0
	list := make([]BindingStatus, len(s.Bindings))
	for i, b := range s.Bindings {
		b.State, b.InHand, b.Rate = BindingWaiting, 0, 0
		list[i] = b
	}
	s.Bindings = list
	return s
}
