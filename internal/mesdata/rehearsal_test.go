package mesdata_test

import (
	"context"
	"errors"
	"testing"

	"plantgate/internal/ingest"
	"plantgate/internal/mesdata"
)

// stage is a store that notes how its transactions ended, and whether one was told that it
// may commit by itself.
type stage struct {
	ingest.Store
	ingest.Tx
	committed, last bool
}

func (s *stage) Update(_ context.Context, fn func(ingest.Tx) error) error {
	err := fn(s)
	s.committed = err == nil
	return err
}

func (s *stage) Last() { s.last = true }

func TestRehearsalKeepsNothing(t *testing.T) {
	t.Parallel()
	s := &stage{}
	err := mesdata.Rehearsal{Store: s}.Update(t.Context(), func(tx ingest.Tx) error {
		tx.Last()
		return nil
	})
	if err != nil || s.committed || s.last {
		t.Errorf("%v; committed: %t, by itself: %t", err, s.committed, s.last)
	}
	if err := (mesdata.Rehearsal{Store: s}).Update(t.Context(), func(ingest.Tx) error { return errRefused }); !errors.Is(err, errRefused) {
		t.Error(err)
	}
}
