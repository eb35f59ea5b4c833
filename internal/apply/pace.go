package apply

import (
	"sync/atomic"
	"time"
)

// pacer spreads the work of a step over the time in which the next one gathers, so
// that it takes its share of the processors and of the disk all the time, rather than
// all of them at times, which whoever sends records would feel. The more has gathered
// the less it rests: it costs no throughput.
type pacer struct {
	// span is how long a step may take, full how many records the next one gathers.
	span time.Duration
	full int
	// pending is how many records are not applied, with those of the step.
	pending func() int64
	// waiting counts who waits for the step; hurry has a token when somebody begins
	// to, and stop is closed when the process ends.
	waiting     *atomic.Int32
	hurry, stop <-chan struct{}

	records        int64 // of the step
	began, resumed time.Time
	worked         time.Duration
	work           time.Duration // what the step should take, of work alone
	// cost is what a record took lately.
	cost time.Duration
}

// Work goes on for a quantum before it may rest, and rests at most so long at once.
const (
	quantum = 300 * time.Microsecond
	rest    = 10 * time.Millisecond
)

// share is how much of the time until the next step this one is spread over.
const share = 0.7

// minSample is how many records tell what one costs.
const minSample = 256

// begin is called as a step of about so many records begins.
func (p *pacer) begin(records int64) {
	p.records, p.worked, p.work = records, 0, p.cost*time.Duration(records)
	p.began = time.Now()
	p.resumed = p.began
}

// end is called when it is done, and learns from it.
func (p *pacer) end(records int) {
	p.worked += time.Since(p.resumed)
	if records < minSample {
		return
	}
	cost := p.worked / time.Duration(records)
	if p.cost > 0 {
		cost = (3*p.cost + cost) / 4
	}
	p.cost = cost
}

// pause is called all along the work of a step, and rests where that is ahead of time.
func (p *pacer) pause() {
	now := time.Now()
	if now.Sub(p.resumed) < quantum {
		return
	}
	p.worked += now.Sub(p.resumed)
	if ahead := p.ahead(now); ahead > 0 && p.waiting.Load() == 0 {
		timer := time.NewTimer(min(ahead, rest))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.hurry:
		case <-p.stop:
		}
	}
	p.resumed = time.Now()
}

// ahead is by how much the step is earlier than it need be.
func (p *pacer) ahead(now time.Time) time.Duration {
	if p.worked >= p.work {
		return 0 // nothing is known, or it takes longer than was thought
	}
	progress := share * float64(p.worked) / float64(p.work)
	elapsed := float64(now.Sub(p.began)) / float64(p.span)
	gathered := float64(p.pending()-p.records) / float64(p.full)
	return time.Duration((progress - max(elapsed, gathered)) * float64(p.span))
}
