package app_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/apply"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/store"
)

// TestDeliveriesOfASharedDatabase reads, the way that connections do, what was kept in a
// database that has a log for when it is away.
func TestDeliveriesOfASharedDatabase(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "plant.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db := apptest.OpenShared(t, s, app.SharedOptions{Spool: app.SpoolOptions{Folder: filepath.Join(t.TempDir(), "log.d")}})
	delivery := mes.Delivery{Connection: "plant", Name: "1", Number: 1, Content: mes.ContentOf([]byte("x"))}
	err = db.Intake().Update(t.Context(), func(tx ingest.Tx) error { return tx.AppendDeliveries(t.Context(), []mes.Delivery{delivery}) })
	if err != nil {
		t.Fatal(err)
	}
	got, err := db.Deliveries().ConnectionDeliveries(t.Context(), "plant")
	if err != nil || len(got) != 1 || got[0] != delivery {
		t.Errorf("the deliveries are %v, %v", got, err)
	}
}

// TestOldDeliveriesOfConnectionsGo: of topics that have a retained message, and of births,
// there may be ever more; those with the highest numbers stay.
func TestOldDeliveriesOfConnectionsGo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "plant.db")
	const retained, births = 2000, 1500
	s := apptest.OpenPlant(t, path, app.StorageOptions{
		ConnectionDeliveries: map[string]int{mes.DeliveryRetained: retained, mes.DeliveryBirth: births},
		Apply:                apply.Options{MaxDelay: time.Millisecond, ReadWait: time.Minute},
	})
	fill(t, path, "plant", mes.DeliveryRetained, retained+300)
	fill(t, path, "plant", mes.DeliveryBirth, births+200)
	fill(t, path, "other", mes.DeliveryRetained, 1000)
	newest := mes.Delivery{Connection: "plant", Name: mes.DeliveryRetained + "newest", Number: 1 << 40, Content: mes.ContentOf([]byte("x"))}
	if err := s.Update(t.Context(), func(tx ingest.Tx) error { return tx.AppendDeliveries(t.Context(), []mes.Delivery{newest}) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Runner.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	count, lowest := map[string]int{}, map[string]int64{}
	for _, d := range deliveries(t, s, "plant") {
		prefix, _, _ := strings.Cut(d.Name, " ")
		if count[prefix]++; count[prefix] == 1 {
			lowest[prefix] = d.Number
		}
	}
	if count["retained"] != retained || count["birth"] != births || lowest["retained"] != 302 || lowest["birth"] != 201 {
		t.Errorf("%v are left, the lowest of them %v", count, lowest)
	}
	if n := len(deliveries(t, s, "other")); n != 1000 {
		t.Errorf("%d are left of another connection", n)
	}
}

// fill puts n deliveries into the database, with the numbers 1 to n.
func fill(t *testing.T, path, connection, prefix string, n int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	_, err = db.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO connection_delivery (connection, name, number, content) SELECT ?, ? || i, i, randomblob(16) FROM n`, n, connection, prefix)
	if err != nil {
		t.Fatal(err)
	}
}

func deliveries(t *testing.T, s apptest.Plant, connection string) []mes.Delivery {
	t.Helper()
	list, err := s.ConnectionDeliveries(t.Context(), connection)
	if err != nil {
		t.Fatal(mes.WithCauses(err))
	}
	return list
}
