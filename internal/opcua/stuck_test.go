package opcua

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

var errStuck = errors.New("the disk is full")

// stuck takes so many late records (of before it was made) and then nothing more.
type stuck struct {
	next ingest.Ingester

	mu   sync.Mutex
	room int
	at   chan struct{}
}

func (s *stuck) full() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = make(chan struct{})
		if s.room <= 0 {
			close(s.at)
		}
	}
	return s.at
}

func (s *stuck) Ingest(ctx context.Context, batch []mes.Record) ([]mes.Receipt, error) {
	s.full()
	s.mu.Lock()
	room := s.room
	if s.room -= len(batch); room > 0 && s.room <= 0 {
		close(s.at)
	}
	s.mu.Unlock()
	if room <= 0 {
		return nil, errStuck
	}
	return s.next.Ingest(ctx, batch)
}

// stoppable starts an adapter on cursors that outlive it.
func stoppable(t *testing.T, cfg config.OPCUAConnection, to ingest.Ingester, kept Cursors, tm timing) (a *Adapter, stop func()) {
	t.Helper()
	a, err := newAdapter(cfg, Deps{Ingester: to, Cursors: kept, Logger: slog.New(slog.DiscardHandler), SiteID: "main", Folder: t.TempDir()}, tm)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case <-done:
		case <-time.After(limit):
			t.Error("Run did not end")
		}
	}
	t.Cleanup(stop)
	return a, stop
}

func historyTiming() timing {
	tm := defaultTiming()
	tm.cursors, tm.look, tm.overflows = time.Second, 100*time.Millisecond, time.Second
	return tm
}
