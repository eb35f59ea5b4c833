package ingest_test

import (
	"context"
	"errors"
	"testing"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// TestNotesAreCommittedWithTheirMessages: whatever becomes of the records of a message,
// what is noted of it is in the same commit; and nothing is where that fails.
func TestNotesAreCommittedWithTheirMessages(t *testing.T) {
	t.Parallel()
	delivery := func(n int64) []mes.Delivery {
		return []mes.Delivery{{Connection: "plant", Name: "1", Number: n}}
	}
	good, faulty, unstorable := reading("A", 0), reading("B", 0), reading("bad", 0)
	good.Deliveries, faulty.Deliveries, unstorable.Deliveries = delivery(1), delivery(2), delivery(3)
	faulty.Fault = mes.Errorf(mes.CodeMalformed, "can't be read")
	for name, tt := range map[string]struct {
		batch []mes.Record
		fail  bool
		want  int
	}{
		"stored":                  {[]mes.Record{good}, false, 1},
		"quarantined":             {[]mes.Record{faulty}, false, 1},
		"beside one that can't":   {[]mes.Record{good, unstorable}, false, 2},
		"the store takes nothing": {[]mes.Record{good, faulty}, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(_ *ingest.Options, s *faultStore) {
				s.unstorable = "bad"
				if tt.fail {
					s.fail = func(int) error { return mes.Errorf(mes.CodeUnavailable, "away") }
				}
			})
			if _, err := s.Ingest(context.Background(), tt.batch); (err != nil) != tt.fail {
				t.Fatal(err)
			}
			if err := s.stop(); err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if len(s.store.kept) != tt.want {
				t.Errorf("%d deliveries, want %d", len(s.store.kept), tt.want)
			}
		})
	}
}
