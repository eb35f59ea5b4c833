package outbox_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"plantgate/internal/outbox"
)

// TestWithdrawn: what is taken back, or replaced, while another of its key is on its way
// is not sent.
func TestWithdrawn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, g := &memory{}, &target{}
		g.before = func(outbox.Message) error { time.Sleep(time.Second); return nil }
		s.put("a", 0, nil)
		cancelled := s.put("a", 1, nil)
		s.put("a", 2, nil)
		old := s.put("a", 3, func(m *outbox.Message) { m.Retained = true })
		_, stop := start(t, s, g, outbox.Options{})
		time.Sleep(500 * time.Millisecond)
		s.withdraw(cancelled.Position)
		time.Sleep(time.Second) // the third is on its way
		s.withdraw(old.Position)
		s.put("a", 4, func(m *outbox.Message) { m.Retained = true })
		time.Sleep(time.Minute)
		if got := g.all(); !slices.Equal(got, []string{"a-0", "a-2", "a-4"}) {
			t.Errorf("taken %q", got)
		}
		if n := s.waiting(); n != 0 {
			t.Errorf("%d wait still", n)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestTurns: a key with many messages lets others have their turn.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, g := &memory{}, &target{}
		for n := range 100 {
			s.put("a", n, nil)
		}
		s.put("b", 0, nil)
		q, stop := start(t, s, g, outbox.Options{Parallel: 1, Poll: time.Hour})
		q.Wake()
		synctest.Wait()
		got := g.all()
		if len(got) != 101 || slices.Index(got, "b-0") > 16 {
			t.Errorf("%d taken, the other as number %d", len(got), slices.Index(got, "b-0"))
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func (s *memory) withdraw(position int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(m outbox.Message) bool { return m.Position == position })
}
