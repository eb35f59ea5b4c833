package apply

import "time"

// pacer spreads the work of a step over the time in which the next one gathers, so
// that it takes its share of the processors and of the disk all the time, rather than
// all of them at times, which whoever sends records would feel. The more has gathered
// the less it rests, and not at all when the next step is full, when the log is, or when
// somebody waits.
type pacer struct {
	// span is how long a step may take.
	span time.Duration
	// gathered is how much of the next step is there: 1 is all of it.
	gathered func() float64
	// urgent tells whether the step must not rest; hurry has a token when that may
	// have changed, and stop is closed when the process ends.
	urgent      func() bool
	hurry, stop <-chan struct{}

	began, resumed time.Time
	worked         time.Duration
	work           time.Duration // what the step should take, of work alone
	// cost is what a record took lately.
	cost time.Duration
}

// maxSpan bounds how long a step may take: it holds the database, for which other
// processes wait only so long.
const maxSpan = 2 * time.Second

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
func (p *pacer) begin(records int) {
	p.worked = 0
	p.began = time.Now()
	p.resumed = p.began
	p.expect(records)
}

// expect is called when it is known how many records the step has.
func (p *pacer) expect(records int) { p.work = p.cost * time.Duration(records) }

// resume is called when the step goes on after it waited for something.
func (p *pacer) resume() { p.resumed = time.Now() }

// end is called when the step is done, and learns from it. What came after its last
// pause, such as the commit, is not part of what can be spread.
func (p *pacer) end(records int) {
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
	if ahead := p.ahead(now); ahead > 0 && !p.urgent() {
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
	return time.Duration((progress - max(elapsed, p.gathered())) * float64(p.span))
}
