package store_test

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/store"
	"plantgate/internal/store/storetest"
)

// slowest rests in every pause until it is hurried.
type slowest struct {
	resting, hurried chan struct{}
	pauses           atomic.Int32
}

func (p *slowest) Pause() {
	if p.pauses.Add(1) == 1 {
		close(p.resting)
	}
	select {
	case <-p.hurried:
	case <-time.After(10 * time.Second):
	}
}

func (p *slowest) Hurry() {
	select {
	case p.hurried <- struct{}{}:
	default:
	}
}

// TestWriterHurriesStep: whoever begins to wait for the turn ends the rest of the step,
// and there is no other before its turn.
func TestWriterHurriesStep(t *testing.T) {
	t.Parallel()
	s := open(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"), store.Options{})
	if _, err := s.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := &slowest{resting: make(chan struct{}), hurried: make(chan struct{}, 1)}
	s.PaceBy(p)
	var g journal.Group
	for i := range 100 {
		g.Records = append(g.Records, storetest.NewRecord("s", "m", time.UnixMicro(int64(1_700_000_000_000_000+i)).UTC()))
	}
	applied := make(chan error, 1)
	go func() {
		_, err := put(t.Context(), s, journal.Applied{}, g, false)
		applied <- err
	}()
	select {
	case <-p.resting:
	case err := <-applied:
		t.Fatal("the step does not pause:", err)
	}
	began := time.Now()
	if err := s.PutSites(t.Context(), []mes.Equipment{{SiteID: "s", Name: "Site"}}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the write waited %s", took)
	}
	if err := <-applied; err != nil {
		t.Fatal(err)
	}
	if n := p.pauses.Load(); n != 1 {
		t.Errorf("%d pauses, want none after the first", n)
	}
}
