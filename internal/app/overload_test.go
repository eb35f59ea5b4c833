package app_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"testing"
	"time"

	"plantgate/internal/app/apptest"
	"plantgate/internal/config"

	_ "modernc.org/sqlite"
)

// While the database can't be written, data are taken into the log until that is
// full; then posts get 503 with Retry-After, at once, and MQTT messages are not
// acknowledged. Reads that would miss something get 503. Everything is there once
// the database can be written again.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	const room = 10
	s := apptest.Start(t, func(c *config.Config) { c.Store.Log.MaxRecords = room })
	s.Post(`{"machine_id":"M0","x":1}`).Want(http.StatusCreated)
	s.Do(http.MethodGet, "/data", "").Want(http.StatusOK)
	client := publisher(t, s.BrokerURL, "acknowledgement")
	release := lockDatabase(t, s.DatabasePath())

	for i := range room {
		s.Post(fmt.Sprintf(`{"machine_id":"M%d","x":1}`, i)).Want(http.StatusCreated)
	}
	for range 3 {
		refused := s.Post(`{"machine_id":"M0","x":1}`)
		refused.Want(http.StatusServiceUnavailable)
		if refused.Header.Get("Retry-After") == "" || refused.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("headers %v", refused.Header)
		}
	}
	token := client.Publish("plant/line-1/M1/data", 1, false, `{"x":1}`)
	// There is no signal of what must not happen; with room it takes a few
	// milliseconds.
	if token.WaitTimeout(300 * time.Millisecond) {
		t.Error("a message was acknowledged without room for it")
	}
	s.Do(http.MethodGet, "/data", "").Want(http.StatusServiceUnavailable)
	release()
	finished(t, token)
	if got := apptest.Get[apptest.Page[apptest.Record]](s.Client, "/data").Items; len(got) != room+2 {
		t.Errorf("%d records, want %d", len(got), room+2)
	}
}

// lockDatabase takes the write lock that the server needs, as a second process
// would.
func lockDatabase(t *testing.T, path string) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := db.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}
}
