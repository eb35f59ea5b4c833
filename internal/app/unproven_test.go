package app_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/ingest"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
	"plantgate/internal/store"
	"plantgate/internal/store/storetest"
)

// silent is a store of leases that can't be reached at first.
type silent struct {
	lease.Store
	back atomic.Bool
}

func (s *silent) ResumeLease(ctx context.Context, l lease.Lease, keep time.Duration) (lease.Lease, bool, error) {
	if !s.back.Load() {
		return lease.Lease{}, false, errAway
	}
	return s.Store.ResumeLease(ctx, l, keep)
}

func (s *silent) RenewLease(ctx context.Context, l lease.Lease, keep time.Duration) (bool, error) {
	if !s.back.Load() {
		return false, errAway
	}
	return s.Store.RenewLease(ctx, l, keep)
}

// remembered are the leases that a server had when the database went away.
type remembered []lease.Lease

func (r remembered) Leases(string) ([]lease.Lease, bool) { return r, true }

func (r remembered) KeepLeases(string, []lease.Lease, bool) {}

// TestAnUnprovenRightIsJudgedLater: a server that was started in an outage commits nothing
// by the right that it remembers, until the database has confirmed it: a copy of it may
// have been confirmed. What it keeps meanwhile is stored, but for what came after that.
func TestAnUnprovenRightIsJudgedLater(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(folder, "plant.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	const name = "opcua:press"
	before, taken, err := db.ClaimLease(t.Context(), "connection/"+name, "a", 0, time.Hour)
	if !taken || err != nil {
		t.Fatal(taken, err)
	}
	shared, err := app.NewShared(t.Context(), db, app.SharedOptions{Server: "a", Spool: app.SpoolOptions{Folder: filepath.Join(folder, "log.d"), Every: 5 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	link := &silent{Store: db}
	keeper := lease.New(link, "connection", "a", []string{name}, lease.Options{Keep: time.Hour, Every: 10 * time.Millisecond, Memory: remembered{before}})
	shared.KeepConnectionsBy(keeper)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := shared.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer func() {
		cancel()
		running.Wait()
		if err := shared.Close(); err != nil {
			t.Error(err)
		}
	}()
	apptest.Eventually(t, "it goes on with the connection", func() bool { held, _ := keeper.Held(); return len(held) == 1 })

	owner := before.Ownership()
	receive := func(machine string) (mes.ReceiptStatus, error) {
		r := storetest.NewRecord("s", machine, time.Now())
		r.Origin.Door, r.Owner, r.TimeOrigin, r.ReceivedAt = mes.DoorOPCUA, &owner, mes.TimeReceipt, mes.Micros(time.Now())
		r.Identify(mes.ID{})
		var status mes.ReceiptStatus
		err := shared.Intake().Update(t.Context(), func(tx ingest.Tx) error {
			if err := tx.Prove(t.Context(), []mes.Ownership{owner}); err != nil {
				return err
			}
			receipts, err := tx.AppendRecords(t.Context(), []mes.Record{r}, storetest.Window(time.Now()))
			if err == nil {
				status = receipts[0].Status
			}
			return err
		})
		return status, err
	}
	if status, err := receive("before"); status != mes.ReceiptAccepted || err != nil {
		t.Errorf("before anything is confirmed: %s, %v", status, err)
	}
	time.Sleep(20 * time.Millisecond) // the clock of the database has milliseconds
	copied, still, err := db.ResumeLease(t.Context(), before, time.Hour)
	if !still || err != nil {
		t.Fatal(still, err)
	}
	time.Sleep(20 * time.Millisecond)
	if status, err := receive("after"); status != mes.ReceiptAccepted || err != nil {
		t.Errorf("while another is confirmed: %s, %v", status, err)
	}
	link.back.Store(true)
	apptest.Eventually(t, "it knows that it has lost the connection", func() bool { held, _ := keeper.Held(); return keeper.Proven() && len(held) == 0 })
	if _, err := receive("late"); !errors.Is(err, mes.ErrLeaseLost) {
		t.Errorf("by the old right: %v", err)
	}
	owner = copied.Ownership()
	if status, err := receive("other"); status != mes.ReceiptCreated || err != nil {
		t.Errorf("by the confirmed right: %s, %v", status, err)
	}
	apptest.Eventually(t, "what was kept is judged", func() bool {
		records, err := db.Records(t.Context(), mes.RecordFilter{MachineID: "before"})
		items, err2 := db.QuarantineItems(t.Context(), mes.QuarantineFilter{})
		return err == nil && err2 == nil && len(records) == 1 && len(items) == 1 && items[0].MachineID == "after"
	})
}
