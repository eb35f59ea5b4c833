package store_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	_ "github.com/microsoft/go-mssqldb"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/store"
	"plantgate/internal/store/storetest"
)

// TestSQLServerLockIsNotWaitedFor: another server that was stopped in the middle of a
// transaction keeps what it has locked. To who meets that the database is away, long
// before the time of a transaction is over; and there again when the other goes on.
func TestSQLServerLockIsNotWaitedFor(t *testing.T) {
	storetest.NeedSQLServer(t)
	operator, own := openSQLServer(t)
	defer operator.Close()
	if _, err := operator.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), own, store.Options{SQLServer: store.SQLServerOptions{IntakeTimeout: 8 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	take := func(machine string) error {
		return s.Intake().Update(t.Context(), func(tx ingest.Tx) error {
			_, err := tx.AppendRecords(t.Context(), []mes.Record{storetest.NewRecord("s", machine, now)}, storetest.Window(now))
			return err
		})
	}
	if err := take("known"); err != nil {
		t.Fatal(err)
	}

	other, err := sql.Open("sqlserver", own)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	stopped, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stopped.Rollback() }()
	if _, err := stopped.ExecContext(t.Context(), `INSERT INTO equipment
		(site_id, id, level, name, time_zone, auto_registered, created_at, doors, number)
		SELECT site_id, N'new', level, name, time_zone, auto_registered, created_at, doors, number + 1
		FROM equipment WHERE id = N'known'`); err != nil {
		t.Fatal(err)
	}
	if err := take("new"); !errors.Is(err, mes.ErrStoreAway) || !strings.Contains(err.Error(), "locked") {
		t.Errorf("what is locked: %s", mes.WithCauses(err))
	}
	if err := take("known"); err != nil {
		t.Errorf("what is not locked: %s", mes.WithCauses(err))
	}
	if err := stopped.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := take("new"); err != nil {
		t.Errorf("after the lock: %s", mes.WithCauses(err))
	}
}
