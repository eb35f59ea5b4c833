package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/outbox"
)

// memory is an outbox that fails now and then.
type memory struct {
	mu      sync.Mutex
	list    []outbox.Message
	last    int64
	expired []mes.ID
	// fail is asked before a settlement.
	fail func() error
}

func (s *memory) put(key string, n int, change func(*outbox.Message)) outbox.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	m := outbox.Message{Position: s.last, ID: mes.NewID(), Target: "t", Key: key, Payload: fmt.Appendf(nil, "%s-%d", key, n)}
	if change != nil {
		change(&m)
	}
	s.list = append(s.list, m)
	return m
}

func (s *memory) WaitingKeys(_ context.Context, target string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for _, m := range s.list {
		if m.Target == target && !slices.Contains(keys, m.Key) {
			keys = append(keys, m.Key)
		}
	}
	return keys, nil
}

func (s *memory) NextMessages(_ context.Context, target, key string, limit int) ([]outbox.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []outbox.Message
	for _, m := range s.list {
		if m.Target == target && m.Key == key && len(list) < limit {
			list = append(list, m)
		}
	}
	return list, nil
}

func (s *memory) MessageSent(_ context.Context, m outbox.Message, _ time.Time, _ *mes.Ownership) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(); err != nil {
			return err
		}
	}
	s.list = slices.DeleteFunc(s.list, func(other outbox.Message) bool { return other.Position == m.Position })
	return nil
}

func (s *memory) MessageExpired(ctx context.Context, m outbox.Message, at time.Time, owner *mes.Ownership) error {
	err := s.MessageSent(ctx, m, at, owner)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.expired = append(s.expired, m.ID)
	}
	return err
}

func (s *memory) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.list)
}

// target takes messages, unless it is told otherwise.
type target struct {
	mu    sync.Mutex
	taken []string
	// before is asked before a message is taken.
	before func(outbox.Message) error
	// busy are the keys of which one is on its way.
	busy map[string]bool
	most int
	t    *testing.T
}

func (g *target) deliver(_ context.Context, m outbox.Message) error {
	g.mu.Lock()
	if g.busy[m.Key] {
		g.t.Errorf("two messages of %s are on their way", m.Key)
	}
	g.busy[m.Key] = true
	g.most = max(g.most, len(g.busy))
	before := g.before
	g.mu.Unlock()
	var err error
	if before != nil {
		err = before(m)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.busy, m.Key)
	// One that fails may have been taken all the same.
	if err == nil || !errors.Is(err, outbox.ErrAway) && rand.N(2) == 0 {
		g.taken = append(g.taken, string(m.Payload))
	}
	return err
}

func (g *target) all() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.taken)
}

func (g *target) set(before func(outbox.Message) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.before = before
}

// start serves a queue until the returned function is called.
func start(t *testing.T, s *memory, g *target, opts outbox.Options) (*outbox.Queue, func() error) {
	t.Helper()
	g.busy, g.t = map[string]bool{}, t
	q := outbox.New(s, "t", opts)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx, g.deliver, nil) }()
	return q, func() error {
		cancel()
		return <-done
	}
}

var errRefused = errors.New("refused")

// TestInOrderDespiteFaults has target and store fail by chance: everything arrives, and a
// repetition comes right after the first time.
func TestInOrderDespiteFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const keys, each = 7, 60
		s, g := &memory{}, &target{}
		chance := func(err error) error {
			time.Sleep(rand.N(10 * time.Millisecond))
			if rand.N(4) == 0 {
				return err
			}
			return nil
		}
		s.fail = func() error {
			if rand.N(4) == 0 {
				return mes.Errorf(mes.CodeUnavailable, "busy")
			}
			return nil
		}
		g.before = func(outbox.Message) error { return chance(errRefused) }
		q, stop := start(t, s, g, outbox.Options{Parallel: 3})
		for n := range each {
			for k := range keys {
				s.put(fmt.Sprint(k), n, nil)
			}
			q.Wake()
			time.Sleep(rand.N(time.Second))
		}
		for s.waiting() > 0 {
			time.Sleep(time.Second)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		checkOrder(t, g.all(), keys, each)
		if st := q.Stats(); st.Sent != keys*each || st.Failures == 0 {
			t.Errorf("stats %+v", st)
		}
		if g.most != 3 {
			t.Errorf("%d keys at once, want 3", g.most)
		}
	})
}

// checkOrder wants every message of every key in order, repeated at most in place.
func checkOrder(t *testing.T, taken []string, keys, each int) {
	t.Helper()
	next, last := map[string]int{}, map[string]string{}
	for _, text := range taken {
		var key string
		var n int
		if _, err := fmt.Sscanf(text, "%1s-%d", &key, &n); err != nil {
			t.Fatal(err)
		}
		switch {
		case n == next[key]:
			next[key]++
		case text != last[key]:
			t.Fatalf("%s came after %s", text, last[key])
		}
		last[key] = text
	}
	for k := range keys {
		if next[fmt.Sprint(k)] != each {
			t.Errorf("of %d came %d, want %d", k, next[fmt.Sprint(k)], each)
		}
	}
}

// TestOneKeyHoldsNoOther has a message that is never taken.
func TestOneKeyHoldsNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, g := &memory{}, &target{}
		g.before = func(m outbox.Message) error {
			if m.Key == "a" {
				return errNotTaken
			}
			return nil
		}
		q, stop := start(t, s, g, outbox.Options{Parallel: 1})
		s.put("a", 0, nil)
		for n := range 100 {
			s.put("b", n, nil)
		}
		began := time.Now()
		q.Wake()
		for s.waiting() > 1 {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the others took %s", took)
		}
		// The pauses between attempts grow to their bound.
		time.Sleep(10 * time.Minute)
		if n := q.Stats().Failures; n < 20 || n > 60 {
			t.Errorf("%d attempts in ten minutes", n)
		}
		g.set(nil)
		time.Sleep(time.Minute)
		if n := s.waiting(); n != 0 {
			t.Errorf("%d wait still", n)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

var errNotTaken = fmt.Errorf("not taken: %w", errRefused)

// TestAway rests while the target is away, and goes on at once when it is back.
func TestAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, g := &memory{}, &target{}
		attempts := 0
		g.before = func(outbox.Message) error {
			attempts++
			return fmt.Errorf("%w: nobody there", outbox.ErrAway)
		}
		q, stop := start(t, s, g, outbox.Options{Parallel: 1})
		for n := range 10 {
			s.put(fmt.Sprint(n), 0, nil)
			q.Wake()
			time.Sleep(time.Second)
		}
		if attempts != 1 {
			t.Errorf("%d attempts while the target is away", attempts)
		}
		if n := q.Stats().Failures; n != 0 {
			t.Errorf("%d failures of a target that is away", n)
		}
		g.set(nil)
		q.Connected()
		synctest.Wait()
		if n := len(g.all()); n != 10 {
			t.Errorf("%d taken at once after it is back", n)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestBackWhileFailing: the target comes back between a failure and the note of it.
func TestBackWhileFailing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, g := &memory{}, &target{}
		queues := make(chan *outbox.Queue, 1)
		g.before = func(outbox.Message) error {
			g.set(nil)
			(<-queues).Connected()
			time.Sleep(time.Millisecond)
			return outbox.ErrAway
		}
		s.put("a", 0, nil)
		q, stop := start(t, s, g, outbox.Options{})
		queues <- q
		time.Sleep(100 * time.Millisecond)
		if n := s.waiting(); n != 0 {
			t.Errorf("%d wait after the target is back", n)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestFoundWithoutWake: another server put it.
func TestFoundWithoutWake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, g := &memory{}, &target{}
		_, stop := start(t, s, g, outbox.Options{})
		time.Sleep(time.Minute)
		s.put("a", 0, nil)
		time.Sleep(1100 * time.Millisecond)
		if n := len(g.all()); n != 1 {
			t.Errorf("%d taken", n)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestWokenWhileBusy: a message that comes while its key is served goes right after.
func TestWokenWhileBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, g := &memory{}, &target{}
		g.before = func(outbox.Message) error { time.Sleep(50 * time.Millisecond); return nil }
		q, stop := start(t, s, g, outbox.Options{Poll: time.Hour})
		s.put("a", 0, nil)
		q.Wake()
		time.Sleep(10 * time.Millisecond)
		s.put("a", 1, nil)
		q.Wake()
		time.Sleep(200 * time.Millisecond)
		if n := len(g.all()); n != 2 {
			t.Errorf("%d taken", n)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestExpired is not sent, and holds nothing up.
func TestExpired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, g := &memory{}, &target{}
		g.before = func(outbox.Message) error { return outbox.ErrAway }
		q, stop := start(t, s, g, outbox.Options{})
		old := s.put("a", 0, func(m *outbox.Message) { m.ExpiresAt = time.Now().Add(time.Minute) })
		s.put("a", 1, func(m *outbox.Message) { m.ExpiresAt = time.Now().Add(time.Hour) })
		time.Sleep(2 * time.Minute)
		g.set(nil)
		q.Connected()
		time.Sleep(time.Second)
		if got := g.all(); !slices.Equal(got, []string{"a-1"}) || !slices.Equal(s.expired, []mes.ID{old.ID}) {
			t.Errorf("taken %q, expired %s", got, s.expired)
		}
		if st := q.Stats(); st.Sent != 1 || st.Expired != 1 {
			t.Errorf("stats %+v", st)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestEnds: who lost the target sends nothing more, and a disk that failed ends the run.
func TestEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, g := &memory{fail: func() error { return mes.Wrap(mes.CodeUnavailable, mes.ErrLeaseLost, "taken over") }}, &target{}
		s.put("a", 0, nil)
		s.put("b", 0, nil)
		q, stop := start(t, s, g, outbox.Options{Parallel: 1})
		time.Sleep(time.Minute)
		q.Wake()
		time.Sleep(time.Hour)
		if n := len(g.all()); n != 1 {
			t.Errorf("%d taken after the lease was lost", n)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s, g := &memory{fail: func() error { return mes.ErrDurability }}, &target{}
		s.put("a", 0, nil)
		g.busy, g.t = map[string]bool{}, t
		if err := outbox.New(s, "t", outbox.Options{}).Run(t.Context(), g.deliver, nil); !errors.Is(err, mes.ErrDurability) {
			t.Errorf("ended with %v", err)
		}
	})
}

// TestStopWaitsForWhatIsOnItsWay, and for no longer than the time of grace.
func TestStopWaitsForWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, g := &memory{}, &target{}
		g.before = func(outbox.Message) error { time.Sleep(time.Second); return nil }
		s.put("a", 0, nil)
		s.put("a", 1, nil)
		_, stop := start(t, s, g, outbox.Options{})
		time.Sleep(500 * time.Millisecond)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if got := g.all(); !slices.Equal(got, []string{"a-0"}) || s.waiting() != 1 {
			t.Errorf("taken %q, %d wait", got, s.waiting())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := &memory{}
		s.put("a", 0, nil)
		q := outbox.New(s, "t", outbox.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		err := q.Run(ctx, func(ctx context.Context, _ outbox.Message) error {
			<-ctx.Done() // the target says nothing
			return ctx.Err()
		}, nil)
		if took := time.Since(began); err != nil || took != 6*time.Second || s.waiting() != 1 {
			t.Errorf("ended after %s with %v", took, err)
		}
	})
}
