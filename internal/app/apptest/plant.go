package apptest

import (
	"context"
	"errors"
	"testing"

	"plantgate/internal/app"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// Plant is a database with its log, without the doors of a server: what ingest
// writes to, and everybody reads.
type Plant struct {
	*app.Storage
	// Stop ends applying and says why it ended.
	Stop func() error
}

// Ensure that a plant is what ingest needs.
var _ ingest.Store = Plant{}

// Update implements ingest.Store.
func (p Plant) Update(ctx context.Context, fn func(ingest.Tx) error) error {
	return p.Journal.Update(ctx, fn)
}

// Room implements ingest.Store.
func (p Plant) Room() <-chan struct{} { return p.Journal.Room() }

// OpenPlant opens a plant and applies what comes in until the end of the test.
func OpenPlant(t testing.TB, path string, o app.StorageOptions) Plant {
	t.Helper()
	s, err := app.OpenStorage(t.Context(), "sqlite:"+path, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Runner.Run(ctx) }()
	p := Plant{Storage: s, Stop: func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil && !errors.Is(err, mes.ErrDurability) {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}
