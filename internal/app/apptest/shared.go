package apptest

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/store"
)

// Shared is a database that several servers may commit to, as one of them sees it.
type Shared struct {
	*app.Shared
}

// Ensure that it is what ingest needs.
var _ ingest.Store = Shared{}

// OpenShared brings the schema of a database up to date, and follows what is committed
// to it until the end of the test, when it closes it.
func OpenShared(t testing.TB, s *store.Store, o app.SharedOptions) Shared {
	t.Helper()
	if _, err := s.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o.Server == "" {
		o.Server = mes.NewID().String()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	if o.Follow.ReadWait == 0 {
		o.Follow.ReadWait = time.Minute
	}
	made, err := app.NewShared(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	shared := Shared{made}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var parts sync.WaitGroup
	parts.Go(func() {
		if err := shared.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		parts.Wait()
		if err := shared.Close(); err != nil {
			t.Error(err)
		}
	})
	return shared
}
