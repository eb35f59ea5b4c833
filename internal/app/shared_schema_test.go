package app_test

import (
	"context"
	"path/filepath"
	"testing"

	"plantgate/internal/app"
	"plantgate/internal/mes"
	"plantgate/internal/store"
)

// TestAnImpatientReaderDecidesNothing: the first to look at the schema has no time, which
// says nothing of the database to those who come after.
func TestAnImpatientReaderDecidesNothing(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "plant.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	shared, err := app.NewShared(t.Context(), s, app.SharedOptions{Server: "one"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := shared.Close(); err != nil {
			t.Error(err)
		}
	}()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := shared.Records(gone, mes.RecordFilter{}); mes.ErrorCode(err) != mes.CodeUnavailable {
		t.Errorf("the reader that is gone: %v", err)
	}
	if _, err := shared.Records(t.Context(), mes.RecordFilter{}); err != nil {
		t.Errorf("the next: %s", mes.WithCauses(err))
	}
}
