package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/apply"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/store"
	"plantgate/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, dsn string, options store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dsn, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func setup(t testing.TB) apptest.Plant {
	t.Helper()
	return apptest.OpenPlant(t, filepath.Join(t.TempDir(), "plant.db"), app.StorageOptions{Apply: apply.Options{ReadWait: time.Minute}})
}

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Store { return setup(t) })
}

func TestOpenMakesPrivateFiles(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "new", "data #1 50%?")
	path := filepath.Join(folder, "plant é.db")
	s := open(t, "sqlite:"+path, store.Options{})
	if _, err := s.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{folder: 0o700, path: 0o600, path + "-wal": 0o600} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
}

func TestOpenRefusesOtherSchemes(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"", "plant.db", "sqlite:", "mysql://x"} {
		if _, err := store.Open(t.Context(), dsn, store.Options{}); mes.ErrorCode(err) != mes.CodeInvalid {
			t.Errorf("Open(%q): %v", dsn, err)
		}
	}
}

func TestMigrations(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"), store.Options{})

	err := s.CheckSchema(ctx)
	if mes.ErrorCode(err) != mes.CodePrecondition || !strings.Contains(err.Error(), "plantgate migrate up") {
		t.Fatalf("an empty database passed for current: %v", err)
	}
	up, err := s.MigrateUp(ctx)
	made := up.Steps
	if err != nil || len(made) == 0 {
		t.Fatalf("up: %v, %v", made, err)
	}
	if err := s.CheckSchema(ctx); err != nil {
		t.Fatal(err)
	}
	if again, err := s.MigrateUp(ctx); err != nil || len(again.Steps) != 0 {
		t.Fatalf("up twice: %v, %v", again, err)
	}
	steps, err := s.MigrationStatus(ctx)
	if err != nil || len(steps) != len(made) || steps[0].AppliedAt.IsZero() {
		t.Fatalf("status: %v, %v", steps, err)
	}
	for range made {
		if _, err := s.MigrateDown(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if database, _, err := s.SchemaVersion(ctx); err != nil || database != 0 {
		t.Fatalf("version after down: %d, %v", database, err)
	}
	if _, err := s.MigrateDown(ctx); mes.ErrorCode(err) != mes.CodeConflict {
		t.Fatalf("down on nothing: %v", err)
	}
	if _, err := s.MigrateUp(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckSchema(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestBackup(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := setup(t)
	record := storetest.NewRecord("s1", "m1", time.Now())
	storetest.Append(t, s, record)
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := app.Backup(ctx, s.Store, path, app.StorageOptions{}); err != nil {
		t.Fatal(err)
	}
	storetest.Append(t, s, storetest.NewRecord("s1", "m2", time.Now()))
	if err := app.Backup(ctx, s.Store, path, app.StorageOptions{}); mes.ErrorCode(err) != mes.CodeConflict {
		t.Fatalf("a copy was overwritten: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode of the copy: %v, %v", info.Mode(), err)
	}
	restored := open(t, "sqlite:"+path, store.Options{})
	if err := restored.CheckSchema(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := restored.Records(ctx, mes.RecordFilter{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]mes.Record{record}, got, storetest.CompareRecords()); diff != "" {
		t.Fatalf("records of the copy (-want +got):\n%s", diff)
	}
}

func TestWritesGiveUpTheirTurnWithTheContext(t *testing.T) {
	t.Parallel()
	s := setup(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		applied, err := s.Applied(t.Context())
		done <- errors.Join(err, s.Apply(t.Context(), applied, true, func(*store.Tx) error { close(entered); <-leave; return nil }))
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.PutSites(ctx, []mes.Equipment{{SiteID: "s", ID: "s"}})
	if mes.ErrorCode(err) != mes.CodeUnavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("a write without its turn: %v", err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestClosedStoreTakesNothing(t *testing.T) {
	t.Parallel()
	s := open(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"), store.Options{})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	err := s.PutSites(t.Context(), []mes.Equipment{{SiteID: "s", ID: "s"}})
	if mes.ErrorCode(err) != mes.CodeUnavailable {
		t.Errorf("a write: %v", err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("a closed store answers")
	}
}

// TestBusyDatabase has another process's writer hold the database for longer
// than the store waits.
func TestBusyDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "plant.db")
	first := open(t, "sqlite:"+path, store.Options{BusyTimeout: time.Millisecond})
	second := open(t, "sqlite:"+path, store.Options{BusyTimeout: time.Millisecond})
	if _, err := first.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := first.Apply(t.Context(), journal.Applied{Arrivals: 1}, true, func(*store.Tx) error {
		err := second.Apply(t.Context(), journal.Applied{Arrivals: 2}, true, func(*store.Tx) error { return nil })
		if mes.ErrorCode(err) != mes.CodeUnavailable || errors.Is(err, mes.ErrDurability) {
			t.Errorf("a busy database: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.PutSites(t.Context(), []mes.Equipment{{SiteID: "s", ID: "s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Equipment(t.Context(), "s", "s"); err != nil {
		t.Error(err)
	}
}

// TestErrorsHideStatements fails a statement, and looks at what a user may read.
func TestErrorsHideStatements(t *testing.T) {
	t.Parallel()
	s := open(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"), store.Options{}) // no schema
	_, readErr := s.Records(t.Context(), mes.RecordFilter{})
	writeErr := s.PutSites(t.Context(), []mes.Equipment{{SiteID: "s", ID: "s"}})
	for _, err := range []error{readErr, writeErr} {
		if mes.ErrorCode(err) != mes.CodeUnavailable || strings.Contains(err.Error(), "table") {
			t.Errorf("%v", err)
		}
		if cause := errors.Unwrap(err); cause == nil || !strings.Contains(cause.Error(), "no such table") {
			t.Errorf("the cause is lost: %v", cause)
		}
	}
}
