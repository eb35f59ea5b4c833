package ingest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// TestLostRightsFailAlone: of batches that are committed together, only those of a
// connection that another server has are refused, and what was to go to quarantine of
// them; but what has a time of its own is stored, and what nobody sends again is kept in
// quarantine.
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
	timeless := func(offset time.Duration, door mes.Door) mes.Record {
		r := reading("A", offset)
		r.TimeOrigin, r.Origin.Door = mes.TimeReceipt, door
		return r
	}
	go send("owner", right("a"), timeless(2*time.Second, mes.DoorMQTT))
	go send("former owner", right("b"), timeless(3*time.Second, mes.DoorMQTT))
	go send("former owner's faulty message", right("b"), bad)
	go send("timed value of a former owner", right("b"), reading("A", 4*time.Second))
	go send("value of a former owner, without a time", right("b"), timeless(5*time.Second, mes.DoorOPCUA))
	s.awaitWaiting(t, 6)
	close(s.store.gate)
	for range 7 {
		a := <-answers
		if refused := errors.Is(a.err, mes.ErrLeaseLost); refused != strings.HasPrefix(a.name, "former owner") {
			t.Errorf("%s: %v", a.name, a.err)
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if n, items := len(s.store.records), len(s.store.items); n != 4 || items != 1 {
		t.Errorf("%d records and %d items are stored, want 4 and 1", n, items)
	}
}
