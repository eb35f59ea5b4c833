package store_test

import (
	"strings"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/store"
	"plantgate/internal/store/storetest"
)

// TestSQLServerUnstorable drains a log of which one record has what no column can hold:
// that goes to quarantine, and the others are stored.
func TestSQLServerUnstorable(t *testing.T) {
	t.Parallel()
	s, _ := openSQLServer(t)
	t.Cleanup(func() { _ = s.Close() })
	ctx := t.Context()
	if _, err := s.MigrateUp(ctx); err != nil {
		t.Fatal(err)
	}
	var records []mes.Record
	for i, message := range []string{"", strings.Repeat("x", 500), "y"} {
		r := storetest.NewRecord("s", "m", time.Now().Add(time.Duration(i)*time.Second))
		r.MessageID = message
		r.Payload = []byte(`{"a": 1}`)
		r.Identify(mes.ID{})
		records = append(records, r)
	}
	put := store.PutSpooled(func() ingest.LedgerWindow { return storetest.Window(time.Now()) })
	for range 2 { // the second time as after a kill, before the log was given back
		err := s.Drain().Apply(ctx, journal.Applied{}, true, func(s *store.Store) error {
			return put(ctx, s, &journal.Batch{Group: journal.Group{Records: records}})
		})
		if err != nil {
			t.Fatal(mes.WithCauses(err))
		}
	}
	for i, r := range records {
		if _, err := s.Record(ctx, r.ID); (err == nil) != (i != 1) {
			t.Errorf("record %d: %v", i, err)
		}
	}
	items, err := s.QuarantineItems(ctx, mes.QuarantineFilter{})
	if err != nil || len(items) != 1 || items[0].MachineID != "m" {
		t.Fatalf("in quarantine: %v, %v", items, err)
	}
	t.Log(items[0].Reason.Error())
}
