package apply_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"plantgate/internal/apply"
	"plantgate/internal/mes"
)

// never is a delay that no test waits for.
const never = time.Hour

// TestWaitMissesNothing: who waits sees what was committed before, and hurries the
// runner.
func TestWaitMissesNothing(t *testing.T) {
	t.Parallel()
	p := open(t, apply.Options{MaxDelay: never})
	p.start()
	for range 20 {
		p.commit(3)
		p.commit(1)
		p.wait()
		p.wantApplied(len(p.sent))
	}
	p.wait() // nothing to wait for
}

// TestWaitWaits holds the store up: nobody is told before it is done.
func TestWaitWaits(t *testing.T) {
	t.Parallel()
	p := open(t, apply.Options{MaxDelay: never, ReadWait: never})
	p.store.gate = make(chan struct{})
	p.start()
	defer close(p.store.gate)
	p.commit(2)
	waited := make(chan error, 1)
	go func() { waited <- p.runner.Wait(t.Context()) }()
	select {
	case err := <-waited:
		t.Fatalf("the wait ended before the step: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	p.store.gate <- struct{}{}
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	p.wantApplied(2)
}

// TestWaitGivesUp looks at the ends of a wait that takes too long.
func TestWaitGivesUp(t *testing.T) {
	t.Parallel()
	p := open(t, apply.Options{MaxDelay: never, ReadWait: 20 * time.Millisecond, StopTime: time.Nanosecond})
	p.commit(1)
	err := p.runner.Wait(t.Context()) // nothing runs
	var slow *mes.Error
	if !errors.As(err, &slow) || slow.Code != mes.CodeUnavailable || slow.RetryAfter <= 0 {
		t.Errorf("after the longest wait: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.runner.Wait(gone); mes.ErrorCode(err) != mes.CodeUnavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("after the reader went: %v", err)
	}
	p.store.fail = func(int, *tx) error { return busy() }
	p.start()
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	if err := p.runner.Wait(t.Context()); mes.ErrorCode(err) != mes.CodeUnavailable {
		t.Errorf("after the runner stopped: %v", err)
	}
}

// TestStepsComeByThemselves: nobody has to read.
func TestStepsComeByThemselves(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]apply.Options{
		"after the delay":         {MaxDelay: time.Millisecond},
		"when there is enough":    {MaxDelay: never, FullStep: 4},
		"after the start":         {MaxDelay: never},
		"after the start, little": {MaxDelay: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, o)
			if o.MaxDelay == never && o.FullStep == 0 || name == "after the start, little" {
				p.commit(4)
				p.reopen(o) // nothing comes any more
				p.start()
			} else {
				p.start()
				p.commit(4)
			}
			for deadline := time.Now().Add(10 * time.Second); p.journal.Pending() > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("nothing is applied while nobody reads")
				}
			}
			p.wantApplied(4)
		})
	}
}

// TestBatchesAreBounded: no step takes more than it may, but for a large group.
func TestBatchesAreBounded(t *testing.T) {
	t.Parallel()
	p := open(t, apply.Options{MaxDelay: never, MaxRecords: 10})
	largest := 0
	p.store.fail = func(_ int, t *tx) error {
		largest = max(largest, len(t.records))
		return nil
	}
	for range 30 {
		p.commit(4)
	}
	p.start()
	p.wait()
	p.wantApplied(120)
	if largest != 12 || p.runner.Stats().Steps < 10 || p.runner.Stats().Records != 120 {
		t.Errorf("the largest step had %d records; %+v", largest, p.runner.Stats())
	}
}

// TestBusyStoreIsTriedAgain: nothing is lost or doubled by a store that is away.
func TestBusyStoreIsTriedAgain(t *testing.T) {
	t.Parallel()
	p := open(t, apply.Options{MaxDelay: never, MaxRecords: 2, ReadWait: never})
	p.store.fail = func(call int, _ *tx) error {
		if call%2 == 1 {
			return busy()
		}
		return nil
	}
	for range 3 {
		p.commit(2)
	}
	p.start()
	p.wait()
	p.wantApplied(6)
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

// TestWhatIsHeldIsTold: who looks sees that the store takes nothing, why, and how old what
// waits is; and nothing of that once it goes on.
func TestWhatIsHeldIsTold(t *testing.T) {
	t.Parallel()
	p := open(t, apply.Options{MaxDelay: never, ReadWait: never})
	var cause atomic.Pointer[error]
	p.store.fail = func(int, *tx) error {
		if err := cause.Load(); err != nil {
			return *err
		}
		return nil
	}
	for reason, err := range map[apply.Reason]error{
		apply.Busy:    busy(),
		apply.Away:    mes.Wrap(mes.CodeUnavailable, mes.ErrStoreAway, "the database can't be reached"),
		apply.Refused: mes.Wrap(mes.CodeUnavailable, mes.Wrap(mes.CodeInternal, errBroken, "the store failed"), "the database refuses it"),
	} {
		cause.Store(&err)
		p.commit(2)
		if held := p.runner.Stats().Held; held != (apply.Held{}) {
			t.Errorf("held before anything was tried: %+v", held)
		}
		if len(p.sent) == 2 {
			p.start()
		}
		waited := make(chan error, 1)
		go func() { waited <- p.runner.Wait(t.Context()) }()
		var s apply.Stats
		for deadline := time.Now().Add(10 * time.Second); s.Held.Attempts < 2 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			s = p.runner.Stats()
		}
		if s.Refused[reason] < 2 || !errors.Is(s.Held.Refused, err) || s.Held.Oldest.IsZero() || s.Held.Oldest.After(time.Now()) || s.Pending != 2 {
			t.Errorf("%s: %+v", reason, s)
		}
		cause.Store(nil)
		if err := <-waited; err != nil {
			t.Fatal(err)
		}
		if s := p.runner.Stats(); s.Held != (apply.Held{}) || s.Pending != 0 {
			t.Errorf("%s: it goes on, and %+v", reason, s)
		}
	}
}

// TestBrokenStoreEndsTheRun: what a person has to mend ends the process, and
// readers learn why.
func TestBrokenStoreEndsTheRun(t *testing.T) {
	t.Parallel()
	p := open(t, apply.Options{MaxDelay: never, ReadWait: never})
	broken := mes.Wrap(mes.CodeUnavailable, errors.Join(mes.ErrDurability, errBroken), "the disk failed")
	p.store.fail = func(int, *tx) error { return broken }
	p.commit(1)
	p.start()
	if err := p.runner.Wait(t.Context()); !errors.Is(err, errBroken) {
		t.Errorf("a reader is told %v", err)
	}
	if err := <-p.ended; !errors.Is(err, errBroken) {
		t.Errorf("Run returned %v", err)
	} else {
		p.ended <- err
	}
	p.wantApplied(0)
}

// TestStopLeavesTheRest stops while the store is away. What is left comes after the
// next start, in order and once.
func TestStopLeavesTheRest(t *testing.T) {
	t.Parallel()
	o := apply.Options{MaxDelay: never, MaxRecords: 2, StopTime: time.Millisecond}
	p := open(t, o)
	p.store.fail = func(call int, _ *tx) error {
		if call > 2 {
			return busy()
		}
		return nil
	}
	for range 6 {
		p.commit(2)
	}
	p.start()
	for p.runner.Stats().Steps < 2 {
		_ = p.runner.Wait(shortly(t))
	}
	if err := p.end(); err != nil {
		t.Fatalf("a store that is away ends a stop: %v", err)
	}
	p.wantApplied(4)
	p.store.fail = nil
	p.reopen(o)
	p.commit(2)
	p.start()
	p.wait()
	p.wantApplied(14)
}

// TestStopIsBounded stops while much waits and the store takes it slowly: a stop ends
// after its time and the step at work, and what is left comes after the next start.
func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	o := apply.Options{MaxDelay: never, MaxRecords: 2, StopTime: 100 * time.Millisecond}
	p := open(t, o)
	const commits = 100
	for range commits {
		p.commit(2)
	}
	p.store.fail = func(int, *tx) error {
		time.Sleep(50 * time.Millisecond)
		return nil
	}
	p.start()
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	if steps := p.runner.Stats().Steps; steps > 10 {
		t.Errorf("%d steps of 50 ms in a stop of 100 ms", steps)
	}
	p.store.fail = nil
	p.reopen(o)
	p.start()
	p.wait()
	p.wantApplied(2 * commits)
}

func shortly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// TestStopGoesOn stops while the store is away, which comes back before the stop
// gives up: nothing of what was tried before is passed over.
func TestStopGoesOn(t *testing.T) {
	t.Parallel()
	p := open(t, apply.Options{MaxDelay: never, MaxRecords: 2, StopTime: never})
	var stopped bool
	tried := make(chan struct{}, 1)
	p.store.fail = func(int, *tx) error {
		if stopped {
			return nil
		}
		select {
		case tried <- struct{}{}:
		default:
		}
		return busy()
	}
	for range 6 {
		p.commit(2)
	}
	p.start()
	_ = p.runner.Wait(shortly(t)) // somebody reads
	<-tried
	p.stop()
	p.store.mu.Lock()
	stopped = true
	p.store.mu.Unlock()
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	p.wantApplied(12)
}

// TestLogIsGivenBackAfterDurableSteps: whatever the log still has begins before
// what a power cut would leave of the store.
func TestLogIsGivenBackAfterDurableSteps(t *testing.T) {
	t.Parallel()
	p := open(t, apply.Options{MaxDelay: never, MaxRecords: 4, ReleaseAfter: 8 << 10})
	p.store.fail = func(int, *tx) error {
		if first := p.log.First(); first > p.store.durable.Position {
			t.Errorf("the log begins at %d, the store is durable up to %d", first, p.store.durable.Position)
		}
		return nil
	}
	p.start()
	for range 100 {
		p.commit(4)
	}
	p.wait()
	if p.log.First() == 0 || p.store.durable.Position == 0 {
		t.Error("nothing was given back")
	}
	if lag := p.store.applied.Position - p.store.durable.Position; lag > 8<<10 {
		t.Errorf("%d bytes are applied and not durable", lag)
	}
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	if p.store.durable != p.store.applied || p.log.Size() != 0 {
		t.Errorf("after a stop the store is at %+v, %+v of it is durable, and the log keeps %d bytes",
			p.store.applied, p.store.durable, p.log.Size())
	}
}

// TestRefusedRecord: a record that the store can never take goes to quarantine, and
// holds up neither the others nor the next start.
func TestRefusedRecord(t *testing.T) {
	t.Parallel()
	o := apply.Options{MaxDelay: never, ReadWait: never}
	p := open(t, o)
	p.commit(3)
	p.commit(4)
	bad := p.sent[4]
	calls := 0
	p.store.fail = func(_ int, t *tx) error {
		for _, id := range t.records {
			if id == bad {
				return mes.Wrap(mes.CodeInternal, errBroken, "the store failed")
			}
		}
		// The store is away in the middle of it, too.
		if calls++; calls%3 == 2 {
			return busy()
		}
		return nil
	}
	p.start()
	p.wait()
	p.commit(2)
	p.wait()
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	p.reopen(o)
	p.start()
	p.commit(1)
	p.wait()
	p.sent = append(p.sent[:4:4], p.sent[5:]...)
	p.wantApplied(9)
	if len(p.store.items) != 1 || p.store.applied.Arrivals != 10 {
		t.Errorf("%d items in quarantine, %d records applied", len(p.store.items), p.store.applied.Arrivals)
	}
}

// TestStopInTheMiddleOfRefusal stops while a batch is taken over record by record:
// those that were taken do not come again after the next start.
func TestStopInTheMiddleOfRefusal(t *testing.T) {
	t.Parallel()
	o := apply.Options{MaxDelay: never, ReadWait: never, StopTime: time.Millisecond}
	p := open(t, o)
	p.commit(5)
	p.store.fail = func(_ int, t *tx) error {
		switch {
		case len(t.records) > 1:
			return mes.Wrap(mes.CodeInternal, errBroken, "the store failed")
		case len(p.store.records) == 2:
			return busy()
		}
		return nil
	}
	p.start()
	for p.journal.Pending() > 3 {
		_ = p.runner.Wait(shortly(t))
	}
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	p.wantApplied(2)
	p.store.fail = nil
	p.reopen(o)
	p.commit(2)
	p.start()
	p.wait()
	p.wantApplied(7)
}
