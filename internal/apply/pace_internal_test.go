package apply

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const (
	testStep = 1000 // records of a step
	testWork = 100 * time.Millisecond
	testSpan = 2 * time.Second
)

// pacedStep does the work of a step and returns how long it took with its rests.
func pacedStep(p *pacer) time.Duration {
	began := time.Now()
	p.begin(testStep)
	for done := time.Duration(0); done < testWork; done += quantum {
		time.Sleep(quantum) // works
		p.pause()
	}
	p.end(testStep)
	return time.Since(began).Round(10 * time.Millisecond)
}

func newTestPacer() *pacer {
	return &pacer{
		span:     testSpan,
		gathered: func() float64 { return 0 },
		urgent:   func() bool { return false },
		hurry:    make(chan struct{}), stop: make(chan struct{}),
	}
}

// TestPace tells how long a step takes: the first one, of which nothing is known, and
// the next ones by what waits for them. Time is that of the test.
func TestPace(t *testing.T) {
	t.Parallel()
	spread := time.Duration(share * float64(testSpan))
	began := time.Time{}
	for _, c := range []struct {
		name string
		set  func(p *pacer)
		want time.Duration
	}{
		{"nothing else gathers", func(*pacer) {}, spread},
		{"the next step is full already", func(p *pacer) { p.gathered = func() float64 { return 1 } }, testWork},
		{"the next step is full in half a second", func(p *pacer) {
			p.gathered = func() float64 { return float64(time.Since(began)) / float64(testSpan/4) }
		}, spread / 4},
		{"somebody waits", func(p *pacer) { p.urgent = func() bool { return true } }, testWork},
		{"it takes twice as long as was thought", func(p *pacer) { p.cost /= 2 }, spread + testWork/2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newTestPacer()
				if took := pacedStep(p); took != testWork {
					t.Fatalf("a step of which nothing is known took %s, not %s", took, testWork)
				}
				c.set(p)
				began = time.Now()
				if took := pacedStep(p); took < c.want-20*time.Millisecond || took > c.want+20*time.Millisecond {
					t.Errorf("took %s, want about %s", took, c.want)
				}
			})
		})
	}
}

// TestPaceHurries: whoever begins to wait ends the rest and all that would follow.
func TestPaceHurries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newTestPacer()
		hurry := make(chan struct{}, 1)
		p.hurry = hurry
		var waiting atomic.Bool
		p.urgent = waiting.Load
		pacedStep(p)
		go func() {
			time.Sleep(testSpan / 4)
			waiting.Store(true)
			hurry <- struct{}{}
		}()
		took := pacedStep(p)
		if want := testSpan/4 + testWork; took >= want || took < testSpan/4 {
			t.Errorf("took %s, want between %s and %s", took, testSpan/4, want)
		}
	})
}

// TestPaceStops: the end of the process ends all rests.
func TestPaceStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newTestPacer()
		pacedStep(p)
		stop := make(chan struct{})
		close(stop)
		p.stop = stop
		if took := pacedStep(p); took != testWork {
			t.Errorf("took %s, want %s", took, testWork)
		}
	})
}
