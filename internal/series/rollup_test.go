package series

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"plantgate/internal/mes"
)

// Late records and any order of passes lead to the same bytes.
func TestRollupsConverge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		d := newDraw(rt)
		base := day("2026-11-21T22:00:00Z")
		var samples []Sample
		for n := range 1 + d.IntN(60) {
			samples = append(samples, drawSample(d, n, base, 4*time.Hour))
		}
		straight, crooked := newMemory(), newMemory()
		straight.append(samples...)
		for _, i := range d.Perm(len(samples)) {
			crooked.append(samples[i])
			if d.IntN(5) == 0 {
				before := base.Add(time.Duration(d.IntN(250)) * time.Minute)
				if _, err := NewRollup(crooked, RollupOptions{}).Pass(t.Context(), before); err != nil {
					rt.Fatal(err)
				}
			}
		}
		for _, m := range []*memory{straight, crooked} {
			if _, err := NewRollup(m, RollupOptions{}).Pass(t.Context(), base.Add(24*time.Hour)); err != nil {
				rt.Fatal(err)
			}
			if len(m.marks) > 0 {
				rt.Fatalf("%d minutes are still due", len(m.marks))
			}
		}
		if !reflect.DeepEqual(straight.blocks, crooked.blocks) {
			rt.Fatal("the blocks differ")
		}
	})
}

// A record that comes while its minute is rolled up leaves it due.
func TestMinuteThatChangesMeanwhileStaysDue(t *testing.T) {
	t.Parallel()
	m := newMemory()
	at := day("2026-11-22T10:15:00Z")
	m.append(sampleAt(1, "a", at, mes.Int(1)), sampleAt(2, "a", at.Add(time.Minute), mes.Int(2)))
	m.appended = func(m *memory) {
		m.appended = nil
		m.append(sampleAt(3, "a", at.Add(time.Second), mes.Int(3)))
	}
	r := NewRollup(m, RollupOptions{})
	if n, err := r.Pass(t.Context(), at.Add(time.Hour)); n != 1 || err != nil {
		t.Fatalf("%d minutes, %v", n, err)
	}
	if _, due := m.marks[minuteOf(at)]; !due || len(m.marks) != 1 {
		t.Fatalf("due: %v", m.marks)
	}
	if n, err := r.Pass(t.Context(), at.Add(time.Hour)); n != 1 || err != nil || len(m.marks) != 0 {
		t.Fatalf("%d minutes, %v", n, err)
	}
	block := BlockOf(Hour, at)
	stored := m.blocks[blockKey{"a", block}]
	hours, err := block.Decode(stored[0], stored[1])
	if err != nil || len(hours) != 1 || hours[0].Count != 3 || hours[0].Sum() != 6 || hours[0].Sketch.Count() != 3 {
		t.Errorf("hour %+v, %v", hours, err)
	}
}

func TestPassLeavesMinutesThatAreTooYoung(t *testing.T) {
	t.Parallel()
	m := newMemory()
	at := day("2026-11-22T10:15:00Z")
	for i := range 3 {
		m.append(sampleAt(i, "a", at.Add(time.Duration(i)*time.Minute), mes.Int(1)))
	}
	if n, err := NewRollup(m, RollupOptions{}).Pass(t.Context(), at.Add(2*time.Minute)); n != 2 || err != nil || len(m.marks) != 1 {
		t.Errorf("%d minutes, %v, still due %v", n, err, m.marks)
	}
}

// One damaged block does not keep the others from being made.
func TestDamagedBlockHoldsUpItsHourOnly(t *testing.T) {
	t.Parallel()
	m := newMemory()
	at := day("2026-11-22T10:15:00Z")
	m.append(sampleAt(1, "a", at, mes.Int(1)), sampleAt(2, "a", at.Add(24*time.Hour), mes.Int(1)))
	m.blocks[blockKey{"a", BlockOf(Minute, at)}] = [2][]byte{{9}, {9}}
	n, err := NewRollup(m, RollupOptions{}).Pass(t.Context(), at.Add(48*time.Hour))
	if n != 1 || mes.ErrorCode(err) != mes.CodeInternal {
		t.Errorf("%d minutes, %v", n, err)
	}
}

func TestRunPassesUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &shared{memory: newMemory()}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- NewRollup(m, RollupOptions{}).Run(ctx) }()
		synctest.Wait()
		m.with(func() { m.append(sampleAt(1, "a", time.Now(), mes.Int(1))) })
		due := func() (n int) {
			synctest.Wait()
			m.with(func() { n = len(m.marks) })
			return n
		}
		time.Sleep(2 * time.Minute)
		if due() != 1 {
			t.Error("a minute was rolled up before its time")
		}
		time.Sleep(90 * time.Second)
		if due() != 0 {
			t.Error("a minute was not rolled up in its time")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// shared is a memory that is looked at while it is worked on.
type shared struct {
	*memory
	mu sync.Mutex
}

func (s *shared) with(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

func (s *shared) DueMarks(ctx context.Context, after Mark, before time.Time, limit int) (marks []Mark, err error) {
	s.with(func() { marks, err = s.memory.DueMarks(ctx, after, before, limit) })
	return marks, err
}

func (s *shared) Samples(ctx context.Context, unit Unit, signals []string, from, to time.Time, yield func(Sample) error) (err error) {
	s.with(func() { err = s.memory.Samples(ctx, unit, signals, from, to, yield) })
	return err
}

func (s *shared) UpdateRollups(ctx context.Context, fn func(RollupTx) error) (err error) {
	s.with(func() { err = s.memory.UpdateRollups(ctx, fn) })
	return err
}

type broken struct {
	*memory
	err error
}

func (b broken) DueMarks(context.Context, Mark, time.Time, int) ([]Mark, error) { return nil, b.err }

func TestRunEndsWithTheDisk(t *testing.T) {
	t.Parallel()
	lost := mes.Wrap(mes.CodeUnavailable, mes.ErrDurability, "the disk failed")
	if err := NewRollup(broken{newMemory(), lost}, RollupOptions{}).Run(t.Context()); !errors.Is(err, mes.ErrDurability) {
		t.Error(err)
	}
}

// What rounding loses within a minute is not lost to its hour.
func TestStoredSumsAreRoundedOnce(t *testing.T) {
	t.Parallel()
	m := newMemory()
	at := day("2026-11-22T10:15:00Z")
	for i, v := range []float64{1, 1e100, 1, -1e100} {
		m.append(sampleAt(i, "a", at.Add(time.Duration(i)*time.Second), mes.Float(v, 64)))
	}
	if _, err := NewRollup(m, RollupOptions{}).Pass(t.Context(), at.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	block := BlockOf(Day, at)
	stored := m.blocks[blockKey{"a", block}]
	if days, err := block.Decode(stored[0], stored[1]); err != nil || days[0].Sum() != 2 {
		t.Errorf("%+v, %v", days, err)
	}
}
