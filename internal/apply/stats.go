package apply

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"plantgate/internal/journal"
	"plantgate/internal/mes"
)

// Stats are counts since the runner was made.
type Stats struct {
	// Steps and Records count what was applied, Time is what it took.
	Steps, Records int64
	Time           time.Duration
	// Pending is how many records are durable and not applied yet.
	Pending int64
	// Refused counts attempts that the store did not take, by the reason.
	Refused map[Reason]int64
	// Held is what is tried again and again; zero where the last attempt went well.
	Held Held
}

// Reason is why the store took nothing.
type Reason string

// The reasons. Busy may pass by itself; Refused needs a person.
const (
	Away    Reason = "away"
	Busy    Reason = "busy"
	Refused Reason = "refused"
)

var reasons = [...]Reason{Away, Busy, Refused}

func reasonOf(err error) Reason {
	var fault *mes.Error
	switch {
	case errors.Is(err, mes.ErrStoreAway):
		return Away
	case errors.As(errors.Unwrap(err), &fault) && fault.Code != mes.CodeUnavailable:
		return Refused // and tried again all the same
	default:
		return Busy
	}
}

// Held says what the store does not take.
type Held struct {
	// Oldest is when the oldest of it was received.
	Oldest time.Time
	// Refused is why it was refused last.
	Refused error
	// Attempts counts how often in succession.
	Attempts int64
}

type counters struct {
	steps, records, nanos atomic.Int64

	mu      sync.Mutex
	refused map[Reason]int64
	held    Held
}

func (c *counters) observe(records int, took time.Duration) {
	c.steps.Add(1)
	c.records.Add(int64(records))
	c.nanos.Add(int64(took))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = Held{}
}

// observeRefusal counts an attempt that the store did not take.
func (c *counters) observeRefusal(b *journal.Batch, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == nil {
		c.refused = map[Reason]int64{}
	}
	c.refused[reasonOf(err)]++
	c.held = Held{Oldest: oldest(b), Refused: err, Attempts: c.held.Attempts + 1}
}

// oldest is when the first of a batch was received.
func oldest(b *journal.Batch) (first time.Time) {
	note := func(t time.Time) {
		if first.IsZero() || t.Before(first) {
			first = t
		}
	}
	for i := range b.Records {
		note(b.Records[i].ReceivedAt)
	}
	for i := range b.Items {
		note(b.Items[i].ReceivedAt)
	}
	return first
}

// Stats returns the counts of this moment.
func (r *Runner[T]) Stats() Stats {
	s := Stats{
		Steps: r.stats.steps.Load(), Records: r.stats.records.Load(),
		Time: time.Duration(r.stats.nanos.Load()), Pending: r.journal.Pending(),
		Refused: map[Reason]int64{},
	}
	r.stats.mu.Lock()
	defer r.stats.mu.Unlock()
	for _, reason := range reasons {
		s.Refused[reason] = r.stats.refused[reason]
	}
	s.Held = r.stats.held
	return s
}
