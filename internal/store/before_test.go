package store_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"plantgate/internal/mes"
	"plantgate/internal/store"
)

// older is a database that reports read before plantgate, and a way to it that is not
// plantgate's.
func older(t *testing.T) (*store.Store, *sql.DB) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plant.db")
	return open(t, "sqlite:"+path, store.Options{}), openFile(t, path)
}

// olderSQLServer is the same on SQL Server.
func olderSQLServer(t *testing.T) (*store.Store, *sql.DB) {
	t.Helper()
	s, dsn := openSQLServer(t)
	db, err := sql.Open("sqlserver", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, db
}

func execute(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func count(t *testing.T, db *sql.DB, from string) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+from).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func up(t *testing.T, s *store.Store) store.Upgrade {
	t.Helper()
	done, err := s.MigrateUp(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func down(t *testing.T, s *store.Store, steps int) {
	t.Helper()
	for range steps {
		if _, err := s.MigrateDown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTableOfReportsIsSetAside(t *testing.T) {
	t.Parallel()
	s, db := older(t)
	testSetAside(t, s, db)
}

func TestSQLServerTableOfReportsIsSetAside(t *testing.T) {
	s, db := olderSQLServer(t)
	testSetAside(t, s, db)
}

// testSetAside makes the schema where there is a table with the name of its view, once and
// again after the schema was taken back.
func testSetAside(t *testing.T, s *store.Store, db *sql.DB) {
	execute(t, db, "CREATE TABLE mes_data (DataType VARCHAR(20), Payload VARCHAR(200))", `INSERT INTO mes_data VALUES ('Production', '{}')`)
	done := up(t, s)
	if !done.SetAside || len(done.Steps) == 0 {
		t.Fatalf("%+v", done)
	}
	if rows, view := count(t, db, store.NameBefore), count(t, db, "MES_Data"); rows != 1 || view != 0 {
		t.Errorf("the table has %d rows, the view %d", rows, view)
	}
	if err := s.CheckSchema(t.Context()); err != nil {
		t.Error(err)
	}
	if again := up(t, s); again.SetAside || len(again.Steps) > 0 {
		t.Errorf("once more: %+v", again)
	}
	down(t, s, len(done.Steps))
	if n := count(t, db, store.NameBefore); n != 1 {
		t.Errorf("after the steps were taken back the table has %d rows", n)
	}
	if done := up(t, s); done.SetAside {
		t.Error("set aside twice")
	}
}

func TestTableOfReportsCannotBeSetAside(t *testing.T) {
	t.Parallel()
	s, db := older(t)
	testNotSetAside(t, s, db)
}

func TestSQLServerTableOfReportsCannotBeSetAside(t *testing.T) {
	s, db := olderSQLServer(t)
	testNotSetAside(t, s, db)
}

// testNotSetAside leaves two tables as they are, and says what to do.
func testNotSetAside(t *testing.T, s *store.Store, db *sql.DB) {
	execute(t, db, "CREATE TABLE MES_Data (DataType VARCHAR(20), Payload VARCHAR(200))", "CREATE TABLE mes_data_BEFORE_plantgate (a INT)")
	done, err := s.MigrateUp(t.Context())
	if mes.ErrorCode(err) != mes.CodeConflict || done.SetAside || len(done.Steps) > 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	for _, part := range []string{"table MES_Data ", "mes_data_BEFORE_plantgate", "rename", "plantgate migrate up"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	execute(t, db, "DROP TABLE mes_data_BEFORE_plantgate")
	if done := up(t, s); !done.SetAside {
		t.Error("not set aside once the name was free")
	}
}

// TestSQLServerSetAsideHalfWay: an attempt that failed at the view has made the steps
// before it.
func TestSQLServerSetAsideHalfWay(t *testing.T) {
	s, db := olderSQLServer(t)
	down(t, s, len(up(t, s).Steps)-1)
	execute(t, db, "CREATE TABLE MES_Data (DataType VARCHAR(20), Payload VARCHAR(200))")
	if done := up(t, s); !done.SetAside {
		t.Errorf("%+v", done)
	}
}

// TestTableInPlaceOfTheView was made by somebody after plantgate's view: no step would make
// the view again, and so it stays.
func TestTableInPlaceOfTheView(t *testing.T) {
	t.Parallel()
	s, db := older(t)
	up(t, s)
	execute(t, db, "DROP VIEW MES_Data", "CREATE TABLE MES_Data (DataType TEXT, Payload TEXT)")
	if done := up(t, s); done.SetAside {
		t.Error("set aside")
	}
}

// TestSQLServerCompression: large tables are compressed where the server can, or it is said
// why not.
func TestSQLServerCompression(t *testing.T) {
	s, _ := olderSQLServer(t)
	done := up(t, s).Compression
	if (len(done.Indexes) == 0) == (done.Left == "") {
		t.Errorf("%+v", done)
	}
	t.Logf("%+v", done)
	if again := up(t, s).Compression; len(again.Indexes) > 0 || again.Left != done.Left {
		t.Errorf("the second time: %+v", again)
	}
}
