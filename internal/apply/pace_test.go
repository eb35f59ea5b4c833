package apply_test

import (
	"testing"
	"time"

	"plantgate/internal/apply"
)

// The steps of these tests work for 0.1 s and would be spread over 1.4 s.
const pacedRecords = 1024

func openPaced(t *testing.T) *plant {
	t.Helper()
	p := open(t, apply.Options{MaxDelay: 10 * time.Second, FullStep: pacedRecords, MaxRecords: pacedRecords, ReadWait: time.Minute})
	p.store.work = func() {
		for range 200 {
			time.Sleep(500 * time.Microsecond)
			p.runner.Pause()
		}
	}
	p.start()
	p.commit(pacedRecords) // of which the runner learns what a record costs
	p.wait()
	return p
}

func TestStepsAreSpread(t *testing.T) {
	p := openPaced(t)
	var longest time.Duration
	// A busy machine may have taught that records cost more than they do.
	for round := 0; round < 10 && longest < 700*time.Millisecond; round++ {
		p.commit(pacedRecords)
		began := time.Now()
		for p.journal.Pending() > 0 {
			time.Sleep(time.Millisecond)
		}
		longest = max(longest, time.Since(began))
	}
	if longest < 700*time.Millisecond {
		t.Errorf("no step took longer than %s", longest)
	}
}

func TestReaderHurriesStep(t *testing.T) {
	p := openPaced(t)
	shortest := time.Hour
	for round := 0; round < 10 && shortest > 700*time.Millisecond; round++ {
		p.commit(pacedRecords)
		time.Sleep(20 * time.Millisecond)
		began := time.Now()
		p.wait()
		shortest = min(shortest, time.Since(began))
	}
	if shortest > 700*time.Millisecond {
		t.Errorf("a reader waited %s for a step that had 0.1 s of work", shortest)
	}
}
