package main

import (
	"testing"
	"time"
)

func TestScheduleHasTheRate(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, rate := range []float64{0.5, 3, 1000, 1999.7, 333_333} {
		s := newSchedule(start, rate, 10*time.Second)
		if want := int(rate * 10); s.count != want {
			t.Errorf("%g a second for 10 s are %d, want %d", rate, s.count, want)
		}
		if n := s.due(start.Add(-time.Nanosecond)); n != 0 {
			t.Errorf("%d are due before the start", n)
		}
		for i := range min(s.count, 2000) {
			if n := s.due(s.at(i)); n != i+1 {
				t.Errorf("at %g a second %d are due at the time of number %d", rate, n, i)
			}
			if n := s.due(s.at(i).Add(-time.Nanosecond)); n != i {
				t.Errorf("at %g a second %d are due just before number %d", rate, n, i)
			}
		}
		if n := s.due(start.Add(time.Hour)); n != s.count {
			t.Errorf("%d are due in the end, want %d", n, s.count)
		}
		if last := s.at(s.count - 1).Sub(start); s.count > 0 && last >= 10*time.Second {
			t.Errorf("the last is due after %s", last)
		}
	}
}

func TestScheduleNeverSendsEarly(t *testing.T) {
	t.Parallel()
	s := newSchedule(time.Now().Add(20*time.Millisecond), 2000, 100*time.Millisecond)
	due := make(chan int, s.count)
	failed := make(chan error, 1)
	go func() { failed <- s.run(due) }()
	want := 0
	for i := range due {
		if early := time.Until(s.at(i)); i != want || early > 0 {
			t.Fatalf("number %d, want %d, %s too early", i, want, early)
		}
		want++
	}
	if err := <-failed; err != nil || want != s.count {
		t.Errorf("%d were sent of %d: %v", want, s.count, err)
	}
}
