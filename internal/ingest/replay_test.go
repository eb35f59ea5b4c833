package ingest_test

import (
	"context"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

func quarantined(t *testing.T, s setup, body string) mes.ID {
	t.Helper()
	src := ingest.Source{Origin: mes.Origin{Door: mes.DoorMQTT, Format: "auto"}, ReceivedAt: received}
	receipts, err := s.Ingest(context.Background(), decoder(t).Decode(src, []byte(body)))
	if err != nil || receipts[0].Status != mes.ReceiptQuarantined {
		t.Fatalf("got %v, %v", receipts, err)
	}
	return receipts[0].ID
}

func TestReplayOfACorrectedMessage(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	id := quarantined(t, s, `{"DataType":"Production","Payload":{"Value":5}}`)
	if _, err := s.Replay(context.Background(), ingest.Replay{ID: id}); mes.ErrorCode(err) != mes.CodeInvalid {
		t.Errorf("an uncorrected replay: %v", err)
	}
	if s.store.items[id].State != mes.QuarantineOpen {
		t.Error("a failed replay closed the item")
	}
	receipts, err := s.Replay(context.Background(), ingest.Replay{ID: id, MachineID: "M3", By: "key"})
	if err != nil || len(receipts) != 1 || receipts[0].Status != mes.ReceiptCreated {
		t.Fatalf("got %v, %v", receipts, err)
	}
	if r := s.store.records[receipts[0].ID]; !r.Time.Equal(received) || r.MachineID != "M3" {
		t.Errorf("the replayed record is %+v", r)
	}
	item := s.store.items[id]
	if item.State != mes.QuarantineReplayed || item.RecordID != receipts[0].ID || item.ResolvedBy != "key" {
		t.Errorf("the item is %+v", item)
	}
	if _, err := s.Replay(context.Background(), ingest.Replay{ID: id}); mes.ErrorCode(err) != mes.CodeConflict {
		t.Errorf("a second replay: %v", err)
	}
}

// The binding's zone belongs to the message: a replay reads the time as the
// first reading would have.
func TestReplayKeepsTheBindingsZone(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	zone, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	src := ingest.Source{Origin: mes.Origin{Door: mes.DoorMQTT, Format: "snapshot"}, ReceivedAt: received, Zone: zone}
	body := []byte(`{"timestamp":"2026-11-22 10:00:00","variables":{"x":1}}`)
	receipts, err := s.Ingest(context.Background(), decoder(t).Decode(src, body))
	if err != nil {
		t.Fatal(err)
	}
	replayed, err := s.Replay(context.Background(), ingest.Replay{ID: receipts[0].ID, MachineID: "M3"})
	if err != nil {
		t.Fatal(err)
	}
	if at := s.store.records[replayed[0].ID].Time; !at.Equal(time.Date(2026, 11, 22, 4, 30, 0, 0, time.UTC)) {
		t.Errorf("read as %s", at)
	}
}

// A crash between the commit of a replay and its answer makes the client ask
// again; the record must not be doubled even if the item were open once more.
func TestReplayIsDeterministic(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	id := quarantined(t, s, `{"DataType":"Production","Payload":{"Value":5}}`)
	first, err := s.Replay(context.Background(), ingest.Replay{ID: id, MachineID: "M3"})
	if err != nil {
		t.Fatal(err)
	}
	s.store.mu.Lock()
	item := s.store.items[id]
	item.State = mes.QuarantineOpen
	s.store.items[id] = item
	s.store.mu.Unlock()
	second, err := s.Replay(context.Background(), ingest.Replay{ID: id, MachineID: "M3"})
	if err != nil || second[0].Status != mes.ReceiptDuplicate || second[0].ID != first[0].ID {
		t.Errorf("got %v, %v after %v", second, err, first)
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	id := quarantined(t, s, `junk`)
	if err := s.Discard(context.Background(), id, "key"); err != nil {
		t.Fatal(err)
	}
	if item := s.store.items[id]; item.State != mes.QuarantineDiscarded || string(item.Raw) != "junk" {
		t.Errorf("the item is %+v", item)
	}
	if err := s.Discard(context.Background(), id, "key"); mes.ErrorCode(err) != mes.CodeConflict {
		t.Errorf("a second discard: %v", err)
	}
	if err := s.Discard(context.Background(), mes.NewID(), "key"); mes.ErrorCode(err) != mes.CodeNotFound {
		t.Errorf("an unknown item: %v", err)
	}
}

// What a table held of a message is read again by what the table knew of it.
func TestReplayOfAPayload(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	at := time.Date(2025, 11, 3, 6, 45, 23, 0, time.UTC)
	src := ingest.Source{
		Origin:   mes.Origin{Door: mes.DoorImport, Format: string(ingest.FormatPayload)},
		DataType: mes.Quality, MachineID: "M4", ReceivedAt: at,
	}
	batch := decoder(t).Decode(src, []byte(`{"Value":`))
	batch[0].QuarantineID = mes.DerivedID(at, "row 8")
	receipts, err := s.Ingest(context.Background(), batch)
	if err != nil || receipts[0].Status != mes.ReceiptQuarantined || receipts[0].ID != mes.DerivedID(at, "row 8") {
		t.Fatalf("got %v, %v", receipts, err)
	}
	if receipts, err = s.Replay(context.Background(), ingest.Replay{ID: receipts[0].ID, Body: []byte(`{"Value":7}`)}); err != nil {
		t.Fatal(err)
	}
	r := s.store.records[receipts[0].ID]
	if !r.Time.Equal(at) || r.DataType != mes.Quality || r.MachineID != "M4" || len(r.Signals) != 1 || r.Signals[0].Name != "quality.value" {
		t.Errorf("the replayed record is %+v", r)
	}
}
