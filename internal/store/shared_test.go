package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/store"
	"plantgate/internal/store/storetest"
)

// TestSharedContract holds an embedded database that is committed to without a log to
// the contract: the way of SQL Server, as far as it is not SQL.
func TestSharedContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Store {
		s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "plant.db"), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return apptest.OpenShared(t, s, app.SharedOptions{})
	})
}

// openSQLServer opens a database of the test's own, and returns its DSN. Intake waits for
// long: a server for tests may be slow, and what happens when it is too slow has tests of
// its own.
func openSQLServer(t testing.TB) (s *store.Store, own string) {
	t.Helper()
	own = storetest.SQLServer(t)
	s, err := store.Open(t.Context(), own, store.Options{SQLServer: store.SQLServerOptions{IntakeTimeout: 2 * time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	return s, own
}

// TestSQLServerContract holds SQL Server to the contract.
func TestSQLServerContract(t *testing.T) {
	storetest.NeedSQLServer(t)
	storetest.Run(t, func(t *testing.T) storetest.Store {
		s, _ := openSQLServer(t)
		return apptest.OpenShared(t, s, app.SharedOptions{})
	})
}
