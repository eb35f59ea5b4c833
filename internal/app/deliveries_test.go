package app_test

import (
	"path/filepath"
	"testing"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
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
