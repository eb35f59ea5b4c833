package ingest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// TestLostRightsFailAlone: of batches that are committed together, only those of a
// connection that another server has are refused, and what was to go to quarantine of
// them with the rest.
func TestLostRightsFailAlone(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *ingest.Options, s *faultStore) {
		s.lost = "connection/mqtt:b"
		s.gate, s.entered = make(chan struct{}), make(chan struct{}, 16)
	})
	right := func(name string) ingest.Ingester {
		return ingest.Owned(s.Patient(), mes.Ownership{Lease: "connection/mqtt:" + name, Server: "s", Epoch: 3})
	}
	bad := mes.Record{Fault: mes.Errorf(mes.CodeMalformed, "not JSON"), Payload: []byte("x"), ReceivedAt: received}
	type answer struct {
		name string
		err  error
	}
	answers := make(chan answer)
	send := func(name string, ingester ingest.Ingester, r mes.Record) {
		_, err := ingester.Ingest(context.Background(), []mes.Record{r})
		answers <- answer{name, err}
	}
	go send("first", s, reading("A", 0)) // holds the writer, while the others come together
	<-s.store.entered
	go send("plain", s, reading("A", time.Second))
	go send("owner", right("a"), reading("A", 2*time.Second))
	go send("former owner", right("b"), reading("A", 3*time.Second))
	go send("former owner's faulty message", right("b"), bad)
	s.awaitWaiting(t, 4)
	close(s.store.gate)
	for range 5 {
		a := <-answers
		if refused := errors.Is(a.err, mes.ErrLeaseLost); refused != (a.name[0] == 'f' && a.name != "first") {
			t.Errorf("%s: %v", a.name, a.err)
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if n, items := len(s.store.records), len(s.store.items); n != 3 || items != 0 {
		t.Errorf("%d records and %d items are stored, want 3 and 0", n, items)
	}
}
