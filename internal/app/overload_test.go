package app_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"plantgate/internal/app/apptest"
	"plantgate/internal/config"

	_ "modernc.org/sqlite"
)

// While the store can't be written and the queue is full, posts get 503 with
// Retry-After, at once; what waited is stored when it can be written again.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t, func(c *config.Config) { c.Data.Queue = 1 })
	s.Post(`{"machine_id":"M0","x":1}`).Want(http.StatusCreated)
	release := lockDatabase(t, s.DatabasePath())

	const posts = 12
	answers := make(chan apptest.Answer, posts)
	for i := range posts {
		go func() {
			body := strings.NewReader(fmt.Sprintf(`{"machine_id":"M%d","x":1}`, i+1))
			a, err := s.Send(s.Request(t.Context(), http.MethodPost, "/data", body))
			if err != nil {
				t.Error(err)
			}
			answers <- a
		}()
	}
	// One is with the writer and one in the queue.
	for range posts - 2 {
		a := <-answers
		a.Want(http.StatusServiceUnavailable)
		if a.Header.Get("Retry-After") == "" || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("headers %v", a.Header)
		}
	}
	release()
	for range 2 {
		(<-answers).Want(http.StatusCreated)
	}
	if got := apptest.Get[apptest.Page[apptest.Record]](s.Client, "/data").Items; len(got) != 3 {
		t.Errorf("%d records, want 3", len(got))
	}
}

// An acknowledgement, by MQTT as by REST, waits for the commit.
func TestAcknowledgementFollowsCommit(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	s.Post(`{"machine_id":"M0","x":1}`).Want(http.StatusCreated)
	client := publisher(t, s.BrokerURL, "acknowledgement")
	release := lockDatabase(t, s.DatabasePath())

	token := client.Publish("plant/line-1/M1/data", 1, false, `{"x":1}`)
	answers := make(chan apptest.Answer, 1)
	go func() {
		a, err := s.Send(s.Request(t.Context(), http.MethodPost, "/data", strings.NewReader(`{"machine_id":"M2","x":1}`)))
		if err != nil {
			t.Error(err)
		}
		answers <- a
	}()
	// There is no signal of what must not happen; without the lock both take a
	// few milliseconds.
	if token.WaitTimeout(300 * time.Millisecond) {
		t.Error("the message was acknowledged before it could be written")
	}
	select {
	case a := <-answers:
		t.Errorf("the post was answered before it could be written: %d", a.Status)
	default:
	}
	if got := apptest.Get[apptest.Page[apptest.Record]](s.Client, "/data").Items; len(got) != 1 {
		t.Errorf("%d records can be read before their commit", len(got)-1)
	}
	release()
	finished(t, token)
	(<-answers).Want(http.StatusCreated)
	if got := apptest.Get[apptest.Page[apptest.Record]](s.Client, "/data").Items; len(got) != 3 {
		t.Errorf("%d records after both acknowledgements, want 3", len(got))
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
