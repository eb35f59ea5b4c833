package app_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/store"
	"plantgate/internal/store/storetest"
)

// cutOff is a database that can be away, and that can answer a commit with a lost
// connection although it was made.
type cutOff struct {
	*app.Shared
	away, answersLost atomic.Bool
}

var errAway = mes.Wrap(mes.CodeUnavailable, mes.ErrStoreAway, "the database can't be reached")

func (c *cutOff) Update(ctx context.Context, fn func(ingest.Tx) error) error {
	if c.away.Load() {
		return errAway
	}
	err := c.Shared.Update(ctx, fn)
	if err == nil && c.answersLost.Load() {
		return errAway
	}
	return err
}

// Apply implements apply.Store, for the drain.
func (c *cutOff) Apply(ctx context.Context, to journal.Applied, durable bool, fn func(*store.Store) error) error {
	if c.away.Load() {
		return errAway
	}
	return c.Drain().Apply(ctx, to, durable, fn)
}

func (c *cutOff) Ping(ctx context.Context) error {
	if c.away.Load() {
		return errAway
	}
	return c.Shared.Ping(ctx)
}

// TestOutage posts all along while the database goes away and comes back, while answers
// of commits that were made are lost, and while the server is killed in between: every
// record that was acknowledged is there once.
func TestOutage(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	open := func() *store.Store {
		s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(folder, "plant.db"), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	db := &cutOff{Shared: apptest.OpenShared(t, open(), app.SharedOptions{}).Shared}
	start := func() (kill func(), s *app.Spooled) {
		s, err := app.OpenSpool(t.Context(), db, db, app.SpoolOptions{Folder: filepath.Join(folder, "log.d"), Every: 5 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		var parts sync.WaitGroup
		parts.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		return func() {
			cancel()
			parts.Wait()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}, s
	}
	kill, s := start()
	acked := map[mes.ID]mes.ReceiptStatus{}
	next := 0
	post := func(n int) map[mes.ReceiptStatus]int {
		t.Helper()
		counts := map[mes.ReceiptStatus]int{}
		for range n {
			r := storetest.NewRecord("s", fmt.Sprintf("m%d", next%7), day.Add(time.Duration(next)*time.Second))
			if next%5 == 0 {
				r.MessageID = fmt.Sprint(next)
				r.Identify(mes.ID{})
			}
			next++
			receipts := storetest.Append(t, s, r)
			counts[receipts[0].Status]++
			if receipts[0].ID != r.ID {
				t.Errorf("the id %s is answered as %s", r.ID, receipts[0].ID)
			}
			acked[r.ID] = receipts[0].Status
		}
		return counts
	}
	expect := func(got map[mes.ReceiptStatus]int, status mes.ReceiptStatus, n int) {
		t.Helper()
		if got[status] != n {
			t.Errorf("receipts %v, want %d %s", got, n, status)
		}
	}
	expect(post(50), mes.ReceiptCreated, 50)
	db.answersLost.Store(true)
	expect(post(20), mes.ReceiptAccepted, 20) // the first is in both
	db.answersLost.Store(false)
	db.away.Store(true)
	expect(post(50), mes.ReceiptAccepted, 50)
	kill() // and start again, still without the database
	kill, s = start()
	expect(post(50), mes.ReceiptAccepted, 50)
	if n, room := s.Backlog(); n < 100 || !room {
		t.Errorf("%d records wait, room: %t", n, room)
	}
	db.away.Store(false)
	apptest.Eventually(t, "the backlog is in the database", func() bool {
		n, _ := s.Backlog()
		return n == 0 && s.AwaySince().IsZero()
	})
	expect(post(50), mes.ReceiptCreated, 50)
	kill()
	kill, s = start()
	if n, _ := s.Backlog(); n != 0 {
		t.Errorf("%d records are to be drained that were drained before the start", n)
	}
	kill()
	got, err := db.Records(t.Context(), mes.RecordFilter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[mes.ID]int{}
	for _, r := range got {
		seen[r.ID]++
	}
	for id, status := range acked {
		if seen[id] != 1 {
			t.Errorf("record %s, answered as %s, is there %d times", id, status, seen[id])
		}
	}
	if len(seen) != len(acked) {
		t.Errorf("%d records for %d that were acknowledged", len(seen), len(acked))
	}
}

// TestOutageRefusesLate: what contradicts an earlier record can't be told while the
// database is away, and goes to quarantine once it is back.
func TestOutageRefusesLate(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	own, err := store.Open(t.Context(), "sqlite:"+filepath.Join(folder, "plant.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db := &cutOff{Shared: apptest.OpenShared(t, own, app.SharedOptions{}).Shared}
	s, err := app.OpenSpool(t.Context(), db, db, app.SpoolOptions{Folder: filepath.Join(folder, "log.d"), Every: 5 * time.Millisecond, MaxPending: 3})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	defer func() {
		cancel()
		running.Wait()
		_ = s.Close()
	}()
	first := storetest.NewRecord("s", "m", day)
	first.MessageID = "1"
	first.Identify(mes.ID{})
	storetest.Append(t, db, first)

	db.away.Store(true)
	other := storetest.NewRecord("s", "m", day.Add(time.Hour))
	other.MessageID = "1"
	other.Identify(mes.ID{})
	if r := storetest.Append(t, s, other); r[0].Status != mes.ReceiptAccepted {
		t.Errorf("%+v", r)
	}
	storetest.Append(t, s, storetest.NewRecord("s", "m", day.Add(2*time.Hour)), storetest.NewRecord("s", "m", day.Add(3*time.Hour)))
	err = s.Update(t.Context(), func(tx ingest.Tx) error {
		_, err := tx.AppendRecords(t.Context(), []mes.Record{storetest.NewRecord("s", "m", day.Add(4*time.Hour))}, storetest.Window(time.Now()))
		return err
	})
	if mes.ErrorCode(err) != mes.CodeUnavailable {
		t.Errorf("a full log takes more: %v", err)
	}
	if _, room := s.Backlog(); room || s.Room() == nil {
		t.Error("a full log has room")
	}
	db.away.Store(false)
	apptest.Eventually(t, "the late refusal in quarantine", func() bool {
		items, err := db.QuarantineItems(t.Context(), mes.QuarantineFilter{})
		return err == nil && len(items) == 1 && items[0].Reason.Code == mes.CodeConflict
	})
	apptest.Eventually(t, "the other records", func() bool {
		got, err := db.Records(t.Context(), mes.RecordFilter{})
		return err == nil && len(got) == 3
	})
}

// TestAKeyIsAnsweredOnceAcrossAnOutage: a request without a time of its own that is sent
// again, under its idempotency key, is one record, wherever the outage lies between, and
// what is under the key of another is not stored.
func TestAKeyIsAnsweredOnceAcrossAnOutage(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	own, err := store.Open(t.Context(), "sqlite:"+filepath.Join(folder, "plant.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db := &cutOff{Shared: apptest.OpenShared(t, own, app.SharedOptions{}).Shared}
	s, err := app.OpenSpool(t.Context(), db, db, app.SpoolOptions{Folder: filepath.Join(folder, "log.d"), Every: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	defer func() {
		cancel()
		running.Wait()
		_ = s.Close()
	}()
	arrivals := 0
	send := func(key string, body byte) mes.Receipt {
		t.Helper()
		arrivals++ // the time of receipt is another each time
		r := storetest.NewRecord("s", "m", day.Add(time.Duration(arrivals)*time.Second))
		r.Idempotency = &mes.Idempotency{Key: key, Body: [32]byte{body}}
		return storetest.Append(t, s, r)[0]
	}
	before := send("before", 1)
	send("taken", 1)
	db.away.Store(true)
	during := send("during", 1)
	for key, first := range map[string]mes.Receipt{"before": before, "during": during} {
		if r := send(key, 1); r.Status != mes.ReceiptAccepted || key == "during" && r.ID != first.ID {
			t.Errorf("%s: %+v", key, r)
		}
	}
	send("taken", 2) // can't be told now
	db.away.Store(false)
	if r := send("new", 1); r.Status != mes.ReceiptAccepted { // nobody looks yet
		t.Errorf("%+v", r)
	}
	// The database is back, and nothing was drained.
	spooling, stop := context.WithCancel(ctx)
	running.Go(func() { _ = s.Spool.Run(spooling) })
	apptest.Eventually(t, "the database is back", func() bool { return s.AwaySince().IsZero() })
	stop()
	if r := send("during", 1); r.Status != mes.ReceiptAccepted || r.ID != during.ID || !r.Repeated {
		t.Errorf("the answer was %+v, and is %+v", during, r)
	}
	if r := send("fresh", 1); r.Status != mes.ReceiptCreated {
		t.Errorf("%+v", r)
	}
	running.Go(func() { _ = s.Run(ctx) })
	apptest.Eventually(t, "the backlog is in the database", func() bool {
		n, _ := s.Backlog()
		return n == 0
	})
	if r := send("during", 1); r.ID != during.ID || !r.Repeated {
		t.Errorf("the answer was %+v, and is %+v", during, r)
	}
	got, err := db.Records(t.Context(), mes.RecordFilter{Limit: 1000})
	if err != nil || len(got) != 5 {
		t.Errorf("%d records of 5 requests, %v", len(got), err)
	}
	items, err := db.QuarantineItems(t.Context(), mes.QuarantineFilter{})
	if err != nil || len(items) != 1 {
		t.Errorf("%d in quarantine, %v", len(items), err)
	}
}

var day = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

// TestWhatCameLastIsKnownWhenTheDatabaseIsBack: a connection that is opened again just
// after an outage gets all that is noted of it, whoever finds first that it is over.
func TestWhatCameLastIsKnownWhenTheDatabaseIsBack(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	own, err := store.Open(t.Context(), "sqlite:"+filepath.Join(folder, "plant.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db := &cutOff{Shared: apptest.OpenShared(t, own, app.SharedOptions{}).Shared}
	s, err := app.OpenSpool(t.Context(), db, db, app.SpoolOptions{Folder: filepath.Join(folder, "log.d")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // which nobody runs: nobody looks
	note := mes.Delivery{Connection: "line", Name: "1", Number: 1, Content: [16]byte{1}}
	if err := db.Update(t.Context(), func(tx ingest.Tx) error { return tx.AppendDeliveries(t.Context(), []mes.Delivery{note}) }); err != nil {
		t.Fatal(err)
	}
	known := func() int {
		t.Helper()
		list, err := s.ConnectionDeliveries(t.Context(), "line")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	db.away.Store(true)
	storetest.Append(t, s, storetest.NewRecord("s", "m", day))
	if n := known(); n != 0 || s.AwaySince().IsZero() {
		t.Errorf("%d notes, away since %v", n, s.AwaySince())
	}
	db.away.Store(false)
	if n := known(); n != 1 {
		t.Errorf("%d notes once the database is back", n)
	}
}
