package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

func TestReceiptsAreInOrderAndDurable(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	bad := mes.Record{Fault: mes.Errorf(mes.CodeMalformed, "not JSON"), Payload: []byte("x"), ReceivedAt: received}
	answerable := bad
	answerable.Answerable = true
	batch := []mes.Record{reading("A", 0), bad, reading("A", 0), answerable, reading("B", 10*time.Minute)}
	receipts, err := s.Ingest(context.Background(), batch)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Ingest(context.Background(), []mes.Record{reading("A", 0)})
	if err != nil {
		t.Fatal(err)
	}
	if receipts[0].Status != mes.ReceiptCreated || again[0].Status != mes.ReceiptDuplicate || again[0].ID != receipts[0].ID {
		t.Errorf("first %v, then %v", receipts[0], again[0])
	}
	for i, want := range map[int]mes.ReceiptStatus{1: mes.ReceiptQuarantined, 3: mes.ReceiptRejected, 4: mes.ReceiptQuarantined} {
		if receipts[i].Status != want || receipts[i].Fault == nil {
			t.Errorf("item %d: got %+v, want %s", i, receipts[i], want)
		}
	}
	if len(s.store.items) != 2 {
		t.Errorf("%d items in quarantine, want 2", len(s.store.items))
	}
	if !strings.Contains(receipts[4].Fault.Error(), "/timestamp") {
		t.Errorf("the far future is refused without naming the time: %v", receipts[4].Fault)
	}
}

func TestNearFutureIsStoredAndFlagged(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	receipts, err := s.Ingest(context.Background(), []mes.Record{reading("A", 4*time.Minute)})
	if err != nil || receipts[0].Status != mes.ReceiptCreated {
		t.Fatalf("got %v, %v", receipts, err)
	}
	if r := s.store.records[receipts[0].ID]; !r.HasFlag(mes.FlagAhead) {
		t.Error("the flag is missing")
	}
}

// What is older than records are kept is refused by the clock, however long ago it was
// received: its minute may have lost its records, and its sums stand for them.
func TestOlderThanKept(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *ingest.Options, _ *faultStore) { o.Retention = 24 * time.Hour })
	kept, old, held := reading("A", -23*time.Hour), reading("B", -25*time.Hour), reading("C", -25*time.Hour)
	held.ReceivedAt = received.Add(-24 * time.Hour) // offered again since then
	receipts, err := s.Ingest(context.Background(), []mes.Record{kept, old, held})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []mes.ReceiptStatus{mes.ReceiptCreated, mes.ReceiptQuarantined, mes.ReceiptQuarantined} {
		if receipts[i].Status != want {
			t.Errorf("record %d: %s, want %s", i, receipts[i].Status, want)
		}
	}
}

// While the store has no room, those are refused who can tell their peer to come
// back; the others wait, and are stored once there is room.
func TestStoreWithoutRoom(t *testing.T) {
	t.Parallel()
	full := make(chan struct{})
	s := start(t, func(_ *ingest.Options, f *faultStore) { f.full = full })
	_, err := s.Ingest(context.Background(), []mes.Record{reading("A", 0)})
	var fault *mes.Error
	if !errors.As(err, &fault) || fault.Code != mes.CodeUnavailable || fault.RetryAfter == 0 {
		t.Errorf("without room: %v", err)
	}
	stored := make(chan error, 1)
	go func() {
		_, err := s.Patient().Ingest(context.Background(), []mes.Record{reading("B", 0)})
		stored <- err
	}()
	select {
	case err := <-stored:
		t.Fatalf("stored without room: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	s.store.mu.Lock()
	s.store.full = nil
	s.store.mu.Unlock()
	close(full)
	if err := <-stored; err != nil {
		t.Error(err)
	}
}

func TestGroupsFormWhileTheWriterIsBusy(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *ingest.Options, f *faultStore) {
		f.gate, f.entered = make(chan struct{}), make(chan struct{}, 10)
	})
	var callers sync.WaitGroup
	send := func(i int) {
		callers.Go(func() {
			if _, err := s.Ingest(context.Background(), []mes.Record{reading(fmt.Sprint("M", i), 0)}); err != nil {
				t.Error(err)
			}
		})
	}
	send(0)
	<-s.store.entered // the writer has the first alone: it did not wait for more
	for i := 1; i <= 20; i++ {
		send(i)
	}
	s.awaitWaiting(t, 20)
	close(s.store.gate)
	callers.Wait()
	if len(s.store.groups) != 2 || s.store.groups[0] != 1 || s.store.groups[1] != 20 {
		t.Errorf("groups of %v, want [1 20]", s.store.groups)
	}
}

func TestFullQueueRefusesOrWaits(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *ingest.Options, f *faultStore) {
		o.QueueRecords = 2
		f.gate, f.entered = make(chan struct{}), make(chan struct{}, 10)
	})
	var callers sync.WaitGroup
	send := func(i int) {
		callers.Go(func() {
			if _, err := s.Patient().Ingest(context.Background(), []mes.Record{reading(fmt.Sprint("M", i), 0)}); err != nil {
				t.Error(err)
			}
		})
	}
	send(0)
	<-s.store.entered
	send(1)
	send(2)
	s.awaitWaiting(t, 2)
	_, err := s.Ingest(context.Background(), []mes.Record{reading("X", 0)})
	var full *mes.Error
	if !errors.As(err, &full) || full.Code != mes.CodeUnavailable || full.RetryAfter <= 0 {
		t.Errorf("a full queue answers %v", err)
	}
	send(3) // the patient one waits
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Patient().Ingest(ctx, []mes.Record{reading("Y", 0)}); mes.ErrorCode(err) != mes.CodeUnavailable {
		t.Errorf("a caller that gave up got %v", err)
	}
	close(s.store.gate)
	callers.Wait()
	if len(s.store.records) != 4 {
		t.Errorf("%d records, want 4", len(s.store.records))
	}
	if s.Stats().Refused != 2 {
		t.Errorf("%d refused, want 2", s.Stats().Refused)
	}
}

func TestOneBadBatchDoesNotSpoilTheGroup(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *ingest.Options, f *faultStore) {
		f.gate, f.entered = make(chan struct{}), make(chan struct{}, 10)
		f.fail = func(records int) error {
			if records >= 3 { // the batch of three, alone or in a group
				return errors.New("constraint")
			}
			return nil
		}
	})
	results := make(chan error, 3)
	go func() {
		_, err := s.Ingest(context.Background(), []mes.Record{reading("first", 0)})
		results <- err
	}()
	<-s.store.entered
	var good, bad error
	var callers sync.WaitGroup
	callers.Go(func() { _, good = s.Ingest(context.Background(), []mes.Record{reading("good", 0)}) })
	callers.Go(func() {
		_, bad = s.Ingest(context.Background(), []mes.Record{reading("a", 0), reading("b", 0), reading("c", 0)})
	})
	s.awaitWaiting(t, 4)
	close(s.store.gate)
	callers.Wait()
	if err := <-results; err != nil || good != nil {
		t.Errorf("good batches failed: %v, %v", err, good)
	}
	if bad == nil {
		t.Error("the bad batch was accepted")
	}
}

func TestFailedSyncEndsTheProcess(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *ingest.Options, f *faultStore) {
		f.fail = func(int) error { return fmt.Errorf("commit: %w", mes.ErrDurability) }
	})
	if _, err := s.Ingest(context.Background(), []mes.Record{reading("A", 0)}); err == nil {
		t.Error("a record was acknowledged after a failed sync")
	}
	if err := s.stop(); !errors.Is(err, mes.ErrDurability) {
		t.Errorf("Run ended with %v", err)
	}
	if _, err := s.Patient().Ingest(context.Background(), []mes.Record{reading("B", 0)}); mes.ErrorCode(err) != mes.CodeUnavailable {
		t.Errorf("after the end: %v", err)
	}
}

func TestStopCommitsWhatWaits(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *ingest.Options, f *faultStore) {
		f.gate, f.entered = make(chan struct{}), make(chan struct{}, 100)
	})
	var callers sync.WaitGroup
	send := func(i int) {
		callers.Go(func() {
			if _, err := s.Ingest(context.Background(), []mes.Record{reading(fmt.Sprint("M", i), 0)}); err != nil {
				t.Error(err)
			}
		})
	}
	send(0)
	<-s.store.entered
	for i := 1; i < 30; i++ {
		send(i)
	}
	s.awaitWaiting(t, 29)
	go close(s.store.gate)
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	callers.Wait()
	if len(s.store.records) != 30 {
		t.Errorf("%d records, want 30", len(s.store.records))
	}
}

func TestUnknownEquipment(t *testing.T) {
	t.Parallel()
	for policy, want := range map[ingest.Policy]mes.ReceiptStatus{
		ingest.RegisterUnknown: mes.ReceiptCreated, ingest.QuarantineUnknown: mes.ReceiptQuarantined, ingest.RefuseUnknown: mes.ReceiptRejected,
	} {
		s := start(t, func(o *ingest.Options, f *faultStore) {
			o.Unknown = policy
			f.known["main~known"] = true
		})
		unknown, known := reading("new", 0), reading("known", 0)
		unknown.Answerable = true
		receipts, err := s.Ingest(context.Background(), []mes.Record{unknown, known})
		if err != nil {
			t.Fatal(err)
		}
		if receipts[0].Status != want || receipts[1].Status != mes.ReceiptCreated {
			t.Errorf("%s: got %s and %s", policy, receipts[0].Status, receipts[1].Status)
		}
	}
}

func TestTimelessReadingsStaySeparate(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	timeless := func() mes.Record {
		r := reading("A", 0)
		r.Time, r.TimeOrigin = time.Time{}, mes.TimeReceipt
		return r
	}
	receipts, err := s.Ingest(context.Background(), []mes.Record{timeless(), timeless(), timeless()})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range receipts {
		if r.Status != mes.ReceiptCreated {
			t.Errorf("reading %d is a %s", i, r.Status)
		}
	}
	if !s.store.records[receipts[1].ID].Time.After(s.store.records[receipts[0].ID].Time) {
		t.Error("times of receipt do not increase")
	}
}

// An adapter offers the same batch until it is stored, and can't know whether an
// attempt that failed was.
func TestTimelessBatchOfferedAgainIsNotDoubled(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	batch := []mes.Record{reading("A", 0), reading("A", 0)}
	for i := range batch {
		batch[i].Time, batch[i].TimeOrigin = time.Time{}, mes.TimeReceipt
	}
	for _, want := range []mes.ReceiptStatus{mes.ReceiptCreated, mes.ReceiptDuplicate} {
		receipts, err := s.Ingest(context.Background(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range receipts {
			if r.Status != want {
				t.Errorf("reading %d is %s, want %s", i, r.Status, want)
			}
		}
	}
}

func TestConflictGoesToQuarantineOrBack(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *ingest.Options, f *faultStore) { f.conflict["m1"] = true })
	a, b := reading("A", 0), reading("A", 0)
	a.MessageID, b.MessageID = "m1", "m1"
	b.Answerable = true
	receipts, err := s.Ingest(context.Background(), []mes.Record{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if receipts[0].Status != mes.ReceiptQuarantined || receipts[1].Status != mes.ReceiptRejected {
		t.Errorf("got %s and %s", receipts[0].Status, receipts[1].Status)
	}
	if len(s.store.records) != 0 || len(s.store.items) != 1 {
		t.Errorf("%d stored, %d quarantined", len(s.store.records), len(s.store.items))
	}
}

// Half an hour before the clocks are put back, a message of the first pass comes
// fifty minutes late: the nearest reading is still to come, and can't be meant.
func TestRepeatedHourIsNotReadAsTheFuture(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	body := []byte(`{"site_id":"york","machine_id":"M1","timestamp":"2026-11-01T01:30:00","a":1}`)
	meant := time.Date(2026, 11, 1, 5, 30, 0, 0, time.UTC)
	for i, late := range []time.Duration{50 * time.Minute, time.Minute} {
		src := ingest.Source{Origin: mes.Origin{Door: mes.DoorREST}, ReceivedAt: meant.Add(late), Answerable: true}
		receipts, err := s.Ingest(context.Background(), decoder(t).Decode(src, body))
		if err != nil || receipts[0].Fault != nil {
			t.Fatalf("%s late: %v, %v", late, receipts, err)
		}
		if want := []mes.ReceiptStatus{mes.ReceiptCreated, mes.ReceiptDuplicate}[i]; receipts[0].Status != want {
			t.Errorf("%s late: %s, want %s", late, receipts[0].Status, want)
		}
		if r := s.store.records[receipts[0].ID]; !r.Time.Equal(meant) || !r.HasFlag(mes.FlagRepeatedHour) || r.HasFlag(mes.FlagAhead) {
			t.Errorf("%s late: stored as %s %v", late, r.Time, r.Flags)
		}
	}
}
