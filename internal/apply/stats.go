package apply

import (
	"sync/atomic"
	"time"
)

// Stats are counts since the runner was made.
type Stats struct {
	// Steps and Records count what was applied, Time is what it took.
	Steps, Records int64
	Time           time.Duration
	// Pending is how many records are durable and not applied yet.
	Pending int64
}

type counters struct{ steps, records, nanos atomic.Int64 }

func (c *counters) observe(records int, took time.Duration) {
	c.steps.Add(1)
	c.records.Add(int64(records))
	c.nanos.Add(int64(took))
}

// Stats returns the counts of this moment.
func (r *Runner[T]) Stats() Stats {
	return Stats{
		Steps: r.stats.steps.Load(), Records: r.stats.records.Load(),
		Time: time.Duration(r.stats.nanos.Load()), Pending: r.journal.Pending(),
	}
}
