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
	t.Parallel()
	p := openPaced(t)
	p.commit(pacedRecords)
	began := time.Now()
	for p.journal.Pending() > 0 {
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(began); took < 700*time.Millisecond {
		t.Errorf("the step took %s", took)
	}
}

func TestReaderHurriesStep(t *testing.T) {
	t.Parallel()
	p := openPaced(t)
	p.commit(pacedRecords)
	time.Sleep(50 * time.Millisecond)
	began := time.Now()
	p.wait()
	if took := time.Since(began); took > 700*time.Millisecond {
		t.Errorf("a reader waited %s for a step that had 0.1 s of work", took)
	}
}
