package ingest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// TestUnstorableGoesToQuarantine: a record that the store can't hold does not hold up
// those that came with it, and is kept in quarantine unless somebody waits for the answer
// to it.
func TestUnstorableGoesToQuarantine(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *ingest.Options, s *faultStore) { s.unstorable = "bad" })
	receipts, err := s.Ingest(context.Background(), []mes.Record{reading("A", 0), reading("bad", 0), reading("B", 0)})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []mes.ReceiptStatus{mes.ReceiptCreated, mes.ReceiptQuarantined, mes.ReceiptCreated} {
		if receipts[i].Status != want {
			t.Errorf("record %d is %s, want %s", i, receipts[i].Status, want)
		}
	}
	alone := reading("bad", time.Second)
	alone.Answerable = true
	if _, err := s.Ingest(context.Background(), []mes.Record{alone}); !errors.Is(err, mes.ErrUnstorable) {
		t.Errorf("the sender of a single one is told %v", err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if n, items := len(s.store.records), len(s.store.items); n != 2 || items != 1 {
		t.Errorf("%d records and %d items are stored, want 2 and 1", n, items)
	}
}
