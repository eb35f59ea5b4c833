package store_test

import (
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "github.com/microsoft/go-mssqldb"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/mes"
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

// sqlServerDSN names a SQL Server where tests may make databases.
const sqlServerDSN = "PLANTGATE_TEST_SQLSERVER"

// oneDatabaseAtATime: not every server makes several at once.
var oneDatabaseAtATime sync.Mutex

// openSQLServer opens a database of the test's own, and returns its DSN.
func openSQLServer(t testing.TB) (s *store.Store, own string) {
	t.Helper()
	dsn := os.Getenv(sqlServerDSN)
	if dsn == "" {
		t.Skip(sqlServerDSN + " names no server")
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := "plantgate_" + strings.ReplaceAll(mes.NewID().String(), "-", "")
	db, err := sql.Open("sqlserver", dsn)
	if err != nil {
		t.Fatal(err)
	}
	change := func(what string) error {
		oneDatabaseAtATime.Lock()
		defer oneDatabaseAtATime.Unlock()
		_, err := db.Exec(what + " DATABASE " + name)
		return err
	}
	if err := change("CREATE"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := change("DROP"); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	q := u.Query()
	q.Set("database", name)
	u.RawQuery = q.Encode()
	if s, err = store.Open(t.Context(), u.String(), store.Options{}); err != nil {
		t.Fatal(err)
	}
	return s, u.String()
}

// TestSQLServerContract holds SQL Server to the contract.
func TestSQLServerContract(t *testing.T) {
	if os.Getenv(sqlServerDSN) == "" {
		t.Skip(sqlServerDSN + " names no server")
	}
	storetest.Run(t, func(t *testing.T) storetest.Store {
		s, _ := openSQLServer(t)
		return apptest.OpenShared(t, s, app.SharedOptions{})
	})
}
