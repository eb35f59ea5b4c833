package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// testParallelOverlap has 8 writers send overlapping batches: each record is
// created once and a duplicate for everyone else.
func testParallelOverlap(t *testing.T, s Store) {
	const writers, batches, size = 8, 12, 20
	var records []mes.Record
	for i := range (batches-1)*size/2 + size {
		records = append(records, NewRecord("s", fmt.Sprintf("m%d", i%5), day.Add(time.Duration(i)*time.Second)))
	}
	var creations, wrong atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for b := range batches {
				at := (b + w) % batches * size / 2
				batch := records[at : at+size]
				receipts, err := appendRecords(t.Context(), s, Window(time.Now()), batch)
				if err != nil {
					t.Error(mes.WithCauses(err))
					return
				}
				for i, r := range receipts {
					if r.Status == mes.ReceiptCreated {
						creations.Add(1)
					} else if r.Status != mes.ReceiptDuplicate {
						wrong.Add(1)
					}
					if r.ID != batch[i].ID {
						wrong.Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	if int(creations.Load()) != len(records) || wrong.Load() != 0 {
		t.Errorf("%d records were created %d times, %d wrong receipts", len(records), creations.Load(), wrong.Load())
	}
	expectCount(t, s, len(records))
}

// testRollback undoes a transaction that has done everything a transaction can.
func testRollback(t *testing.T, s Store) {
	kept := NewRecord("s", "kept", day)
	Append(t, s, kept)
	open := mes.QuarantineItem{ID: mes.NewID(), ReceivedAt: day, Reason: mes.Error{Code: mes.CodeInvalid}}
	err := s.Update(t.Context(), func(tx ingest.Tx) error {
		return tx.AppendQuarantine(t.Context(), []mes.QuarantineItem{open})
	})
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("changed my mind")
	undone := keyed(message("undone", "1", day, 1), "k", 1)
	work := func(tx ingest.Tx) error {
		ctx := t.Context()
		if _, err := tx.AppendRecords(ctx, []mes.Record{undone}, Window(day)); err != nil {
			return err
		}
		resolved := open
		resolved.State, resolved.ResolvedAt = mes.QuarantineDiscarded, day
		item := mes.QuarantineItem{ID: mes.NewID(), ReceivedAt: day}
		return errors.Join(tx.ResolveQuarantine(ctx, resolved),
			tx.AppendQuarantine(ctx, []mes.QuarantineItem{item}))
	}
	err = s.Update(t.Context(), func(tx ingest.Tx) error {
		if err := work(tx); err != nil {
			return err
		}
		return cause
	})
	if !errors.Is(err, cause) {
		t.Errorf("Update returned %v", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = s.Update(t.Context(), func(tx ingest.Tx) error {
			if err := work(tx); err != nil {
				return err
			}
			panic(cause)
		})
	}()
	expectCount(t, s, 1)
	if known, err := s.KnowsEquipment(t.Context(), "s", "undone"); known || err != nil {
		t.Errorf("equipment stayed: %v, %v", known, err)
	}
	if latest, err := s.Latest(t.Context(), mes.LatestFilter{MachineID: "undone"}); len(latest) != 0 || err != nil {
		t.Errorf("newest values stayed: %v, %v", latest, err)
	}
	items, err := s.QuarantineItems(t.Context(), mes.QuarantineFilter{})
	if err != nil || len(items) != 1 || items[0].State != mes.QuarantineOpen {
		t.Errorf("quarantine: %+v, %v", items, err)
	}
	expectReceipts(t, Append(t, s, undone), created(undone)) // neither ledger nor record is in the way
}

// testReadsAfterCommit reads each commit at once, from several connections, and
// none before its time.
func testReadsAfterCommit(t *testing.T, s Store) {
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		r := NewRecord("s", "m", day.Add(time.Duration(i)*time.Second))
		err := s.Update(t.Context(), func(tx ingest.Tx) error {
			if _, err := tx.AppendRecords(t.Context(), []mes.Record{r}, Window(day)); err != nil {
				return err
			}
			if _, err := s.Record(t.Context(), r.ID); mes.ErrorCode(err) != mes.CodeNotFound {
				t.Errorf("read before the commit: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := s.Record(t.Context(), r.ID); err != nil {
					t.Errorf("read after the commit: %v", err)
				}
			})
		}
		wg.Wait()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Records(ctx, mes.RecordFilter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a read whose caller is gone: %v", err)
	}
}
