package storetest

import (
	"database/sql"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/microsoft/go-mssqldb" // the driver "sqlserver"

	"plantgate/internal/mes"
)

// sqlServerDSN names a SQL Server where tests may make databases.
const sqlServerDSN = "PLANTGATE_TEST_SQLSERVER"

// oneDatabaseAtATime: not every server makes several at once.
var oneDatabaseAtATime sync.Mutex

// dropPatience is how long sessions of a killed process may keep a database in use.
const dropPatience = 20 * time.Second

// NeedSQLServer skips a test where no SQL Server is named.
func NeedSQLServer(t testing.TB) {
	t.Helper()
	if os.Getenv(sqlServerDSN) == "" {
		t.Skip(sqlServerDSN + " names no server")
	}
}

// SQLServer makes a database of the test's own, without a schema, and returns its DSN.
// The database goes with the test; where no server is named the test is skipped.
func SQLServer(t testing.TB) string {
	t.Helper()
	NeedSQLServer(t)
	dsn := os.Getenv(sqlServerDSN)
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
		err := change("DROP")
		for deadline := time.Now().Add(dropPatience); err != nil && time.Now().Before(deadline); time.Sleep(time.Second / 2) {
			err = change("DROP")
		}
		if err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	readersDontWait(t, db, name)
	q := u.Query()
	q.Set("database", name)
	u.RawQuery = q.Encode()
	return u.String()
}

// readersDontWait sets the database up as docs/sqlserver.md says.
func readersDontWait(t testing.TB, db *sql.DB, name string) {
	t.Helper()
	var on bool
	err := db.QueryRow("SELECT CAST(is_read_committed_snapshot_on AS BIT) FROM sys.databases WHERE name = @p1", name).Scan(&on)
	if err == nil && !on {
		_, err = db.Exec("ALTER DATABASE " + name + " SET READ_COMMITTED_SNAPSHOT ON")
	}
	if err != nil {
		t.Fatal(err)
	}
}
