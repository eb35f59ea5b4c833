package main

import "time"

// schedule says when the requests of an open loop are due: at a steady rate,
// whether or not the server keeps up. Latencies count from these times, so that
// what waits behind a slow answer is measured as slow too.
type schedule struct {
	start time.Time
	rate  float64 // requests a second
	count int
}

func newSchedule(start time.Time, rate float64, length time.Duration) schedule {
	return schedule{start: start, rate: rate, count: int(rate * length.Seconds())}
}

// at is when the i-th request, from 0, is due.
func (s schedule) at(i int) time.Time {
	return s.start.Add(time.Duration(float64(i) / s.rate * float64(time.Second)))
}

// due is how many requests are due by now.
func (s schedule) due(now time.Time) int {
	since := now.Sub(s.start)
	if since < 0 {
		return 0
	}
	n := min(int(since.Seconds()*s.rate)+1, s.count)
	// Fractions of nanoseconds are cut off, so that it may be one on either side.
	for n > 0 && s.at(n-1).After(now) {
		n--
	}
	for n < s.count && !s.at(n).After(now) {
		n++
	}
	return n
}

// minWake is the shortest time between two looks at the clock.
const minWake = 50 * time.Microsecond

// run sends the number of each request when it is due, and closes out at the end.
// out must have room for all, so that a slow receiver does not shift the rest.
func (s schedule) run(out chan<- int) error {
	defer close(out)
	wake, err := newWaker(s.start, max(time.Duration(float64(time.Second)/s.rate), minWake))
	if err != nil {
		return err
	}
	defer wake.stop()
	for sent := 0; sent < s.count; {
		if err := wake.wait(); err != nil {
			return err
		}
		for n := s.due(time.Now()); sent < n; sent++ {
			out <- sent
		}
	}
	return nil
}
