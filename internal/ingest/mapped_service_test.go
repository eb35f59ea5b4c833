package ingest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// A message that a wrong mapping sent to quarantine is read by the present one, once that
// is corrected, and then it is the record that it would have been.
func TestReplayUsesThePresentMapping(t *testing.T) {
	t.Parallel()
	const wrong = `{"Format":"json","JSON":{"Time":"/time","Signals":[{"Name":"x","Pointer":"/y"}]}}`
	const right = `{"Format":"json","TimeFormat":"unix","Constants":{"line":"{line}"},"JSON":{"Time":"/t","Signals":[{"Name":"x","Pointer":"/x","Scale":"0.1"}]}}`
	present := mappedSource(t, wrong)
	s := start(t, func(o *ingest.Options, _ *faultStore) {
		o.Present = func(origin mes.Origin) (ingest.Source, bool) {
			return present, origin.Connection == "plant" && origin.Address == "p/l2/M1"
		}
	})
	come := func(address string) mes.ID {
		src := present
		src.Origin.Connection, src.Origin.Address = "plant", address
		receipts, err := s.Ingest(context.Background(), decoder(t).Decode(src, []byte(`{"t":1795342500,"x":3}`)))
		if err != nil || receipts[0].Status != mes.ReceiptQuarantined {
			t.Fatalf("got %v, %v", receipts, err)
		}
		return receipts[0].ID
	}
	id, other := come("p/l2/M1"), come("elsewhere")
	if _, err := s.Replay(context.Background(), ingest.Replay{ID: id}); err == nil || !strings.Contains(err.Error(), "/y: is required") {
		t.Errorf("with the wrong mapping: %v", err)
	}
	present = mappedSource(t, right, "{line}", "l2")
	receipts, err := s.Replay(context.Background(), ingest.Replay{ID: id})
	if err != nil || len(receipts) != 1 || receipts[0].Status != mes.ReceiptCreated {
		t.Fatalf("got %v, %v", receipts, err)
	}
	got := s.store.records[receipts[0].ID]
	if !got.Time.Equal(time.Unix(1795342500, 0)) || got.MachineID != "M1" || len(got.Signals) != 2 || got.Signals[1].Value.Text() != "0.3" || got.Origin.Address != "p/l2/M1" {
		t.Errorf("the replayed record is %+v", got)
	}
	src := present
	src.Origin.Connection, src.Origin.Address = "plant", "p/l2/M1"
	again, err := s.Ingest(context.Background(), decoder(t).Decode(src, []byte(`{"t":1795342500,"x":3}`)))
	if err != nil || again[0].Status != mes.ReceiptDuplicate {
		t.Errorf("the same message is %v, %v", again, err)
	}
	if _, err := s.Replay(context.Background(), ingest.Replay{ID: other}); err == nil || !strings.Contains(err.Error(), "none of the configuration") {
		t.Errorf("a message of no subscription: %v", err)
	}
	// Whoever names a format knows better than the binding.
	present = mappedSource(t, wrong)
	id = come("p/l2/M1")
	present = mappedSource(t, right, "{line}", "l2")
	receipts, err = s.Replay(context.Background(), ingest.Replay{ID: id, Format: "flat"})
	if err != nil || len(s.store.records[receipts[0].ID].Signals) != 2 || s.store.records[receipts[0].ID].Signals[0].Name != "t" {
		t.Errorf("with a format: %v, %v", receipts, err)
	}
}

// One of several records of a message goes to quarantine by itself, and a replay doubles
// nothing of the others.
func TestPartOfAMessageInQuarantine(t *testing.T) {
	t.Parallel()
	var src ingest.Source
	s := start(t, func(o *ingest.Options, _ *faultStore) {
		o.Present = func(mes.Origin) (ingest.Source, bool) { return src, true } // which is for the whole message
	})
	src = mappedSource(t, `{"Format":"json","TimeFormat":"unix","JSON":{"MessageID":"/id","Sequence":"/n","Each":[{"Path":"/l","Time":"/t","Signals":[{"Name":"x","Pointer":"/x","Unit":"m","QualityPointer":"/q"}]}]}}`)
	src.Retained = true
	// Two in the past, the third an hour ahead.
	body := []byte(`{"id":"a","n":4,"l":[{"t":1795342500,"x":1,"q":"good"},{"t":1795342501,"x":2,"q":"bad"},{"t":1795346400,"x":3,"q":"uncertain"}]}`)
	receipts, err := s.Ingest(context.Background(), decoder(t).Decode(src, body))
	if err != nil {
		t.Fatal(err)
	}
	if len(receipts) != 3 || receipts[0].Status != mes.ReceiptCreated || receipts[1].Status != mes.ReceiptCreated || receipts[2].Status != mes.ReceiptQuarantined {
		t.Fatalf("got %+v", receipts)
	}
	if first, second := s.store.records[receipts[0].ID], s.store.records[receipts[1].ID]; first.MessageID != "a" || second.MessageID != "a#2" || second.StatusCode != 0x80000000 {
		t.Errorf("the records are %+v and %+v", first, second)
	}
	item := s.store.items[receipts[2].ID]
	if item.Origin.Format != string(ingest.FormatDataValue) || strings.Contains(string(item.Raw), `"value":1`) {
		t.Fatalf("the item is %s: %s", item.Origin.Format, item.Raw)
	}
	corrected := strings.Replace(string(item.Raw), "2026-11-22T11:20:00Z", "2026-11-22T10:15:02Z", 1)
	replayed, err := s.Replay(context.Background(), ingest.Replay{ID: item.ID, Body: []byte(corrected)})
	if err != nil || len(replayed) != 1 {
		t.Fatalf("got %v, %v: %s", replayed, err, item.Raw)
	}
	got := s.store.records[replayed[0].ID]
	if got.MessageID != "a#3" || *got.Sequence != 4 || got.StatusCode != 0x40000000 || got.Signals[0].Value.Text() != "3" || got.Signals[0].Unit != "m" ||
		!got.HasFlag(mes.FlagRetained) || !got.Time.Equal(time.Date(2026, 11, 22, 10, 15, 2, 0, time.UTC)) || len(s.store.records) != 3 {
		t.Errorf("the replayed record is %+v", got)
	}
}

func TestPreviewStoresNothing(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *ingest.Options, f *faultStore) { f.known["main~M1"] = true })
	later := received.Add(1000 * time.Hour) // which must not become the clock of real messages
	src := ingest.Source{ReceivedAt: later}
	batch := decoder(t).Decode(src, []byte(`[{"machine_id":"M1","x":1},{"machine_id":"M1","x":1},{"machine_id":"M2","timestamp":"2026-11-22T10:15:00Z","x":1},{"x":1},{"machine_id":"M1","timestamp":"2099-01-01T00:00:00Z","x":1}]`))
	got, err := s.Preview(context.Background(), batch)
	if err != nil {
		t.Fatal(err)
	}
	if !got[0].Time.Equal(later) || !got[1].Time.After(later) || got[0].HasID || got[0].Registers {
		t.Errorf("readings without a time: %+v, %+v", got[0], got[1])
	}
	want := reading("M2", -5*time.Minute)
	want.Identify(mes.NewID())
	if !got[2].HasID || got[2].ID != want.ID || !got[2].Registers {
		t.Errorf("a reading with a time: %+v, want the id %s", got[2], want.ID)
	}
	for i, part := range map[int]string{3: "/machine_id", 4: "ahead"} {
		if got[i].Fault == nil || !strings.Contains(got[i].Fault.Error(), part) {
			t.Errorf("record %d: %v, want %s", i, got[i].Fault, part)
		}
	}
	if len(s.store.groups) != 0 || len(s.store.records) != 0 || len(s.store.items) != 0 {
		t.Errorf("something was stored: %+v", s.store.groups)
	}
	receipts, err := s.Ingest(context.Background(), decoder(t).Decode(ingest.Source{ReceivedAt: received}, []byte(`{"machine_id":"M1","x":1}`)))
	if err != nil || !s.store.records[receipts[0].ID].Time.Equal(received) {
		t.Errorf("a preview moved the clock: %v, %v", receipts, err)
	}
}

// Unknown machines are told of by the policy, and looked up once each.
func TestPreviewOfUnknownMachines(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *ingest.Options, _ *faultStore) { o.Unknown = ingest.QuarantineUnknown })
	got, err := s.Preview(context.Background(), []mes.Record{reading("M9", 0)})
	if err != nil || got[0].Fault == nil || !strings.Contains(got[0].Fault.Error(), "not registered") {
		t.Errorf("got %+v, %v", got, err)
	}
}
