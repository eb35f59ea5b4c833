package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
	"plantgate/internal/store"
	"plantgate/internal/store/storetest"
)

func TestFence(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "plant.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	testFence(t, s)
}

func TestSQLServerFence(t *testing.T) {
	t.Parallel()
	s, _ := openSQLServer(t)
	testFence(t, s)
}

// testFence: a server that has lost a connection to another stores nothing as its owner;
// of what it kept while it could not reach the database, only what the other may have
// stored under another id goes to quarantine.
func testFence(t *testing.T, s *store.Store) {
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx := t.Context()
	if _, err := s.MigrateUp(ctx); err != nil {
		t.Fatal(err)
	}
	const keep = 300 * time.Millisecond
	first, taken, err := s.ClaimLease(ctx, "connection/opcua:press", "a", 0, keep)
	if !taken || err != nil {
		t.Fatal(taken, err)
	}
	owner := first.Ownership()
	commit := func() error {
		return s.Intake().Update(ctx, func(tx ingest.Tx) error { return tx.Prove(ctx, []mes.Ownership{owner}) })
	}
	if err := commit(); err != nil {
		t.Errorf("the owner may not store: %v", err)
	}
	time.Sleep(keep + 50*time.Millisecond)
	if err := commit(); err != nil {
		t.Errorf("nobody has taken over, and the owner may not store: %v", err)
	}
	if _, taken, err = s.ClaimLease(ctx, first.Name, "b", first.Epoch, time.Minute); !taken || err != nil {
		t.Fatal(taken, err)
	}
	if err := commit(); !errors.Is(err, mes.ErrLeaseLost) {
		t.Errorf("the former owner may store: %v", err)
	}

	for _, right := range []mes.Ownership{owner, {Lease: first.Name, Server: "b", Epoch: 2}} {
		r := storetest.NewRecord("s", "at once by "+right.Server, time.Now())
		err := s.Intake().Update(ctx, func(tx ingest.Tx) error {
			tx.Last()
			if err := tx.Prove(ctx, []mes.Ownership{right}); err != nil {
				return err
			}
			_, err := tx.AppendRecords(ctx, []mes.Record{r}, storetest.Window(time.Now()))
			return err
		})
		if _, missing := s.Record(ctx, r.ID); right == owner && (!errors.Is(err, mes.ErrLeaseLost) || missing == nil) {
			t.Errorf("the former owner may store at once: %v", err)
		} else if right != owner && (err != nil || missing != nil) {
			t.Errorf("the owner may not store at once: %v, %v", err, missing)
		}
	}

	second := lease.Lease{Name: first.Name, Owner: "b", Epoch: 2}
	for _, l := range []lease.Lease{first, {Name: first.Name, Owner: "b", Epoch: 1}, {Name: first.Name, Owner: "a", Epoch: 2}} {
		if _, still, err := s.ResumeLease(ctx, l, time.Minute); still || err != nil {
			t.Errorf("goes on with %v: %v", l, err)
		}
	}
	third, still, err := s.ResumeLease(ctx, second, time.Minute)
	if want := (lease.Lease{Name: first.Name, Owner: "b", Epoch: 3}); !still || err != nil || third != want {
		t.Errorf("goes on with %v, %t, %v", third, still, err)
	}
	if _, still, err = s.ResumeLease(ctx, second, time.Minute); still || err != nil {
		t.Errorf("a second goes on with the same: %v", err)
	}
	if still, err = s.RenewLease(ctx, second, time.Minute); still || err != nil {
		t.Errorf("the epoch before is renewed: %v", err)
	}
	if owner = second.Ownership(); !errors.Is(commit(), mes.ErrLeaseLost) {
		t.Error("may store by the epoch before")
	}
	if owner = third.Ownership(); commit() != nil {
		t.Error("may not store by the new epoch")
	}
	owner = first.Ownership()

	now := time.Now()
	made := func(machine string, change func(*mes.Record)) mes.Record {
		r := storetest.NewRecord("s", machine, now)
		r.Origin.Door, r.Owner = mes.DoorOPCUA, &owner
		r.TimeOrigin, r.ReceivedAt = mes.TimeReceipt, mes.Micros(now.Add(time.Hour))
		change(&r)
		r.Identify(mes.ID{})
		return r
	}
	late := made("late", func(*mes.Record) {})
	records := []mes.Record{
		late,
		made("in time", func(r *mes.Record) { r.ReceivedAt = mes.Micros(now.Add(-time.Hour)) }),
		made("with its own time", func(r *mes.Record) { r.TimeOrigin = mes.TimeSource }),
		made("by MQTT", func(r *mes.Record) { r.Origin.Door = mes.DoorMQTT }),
		made("by nobody's right", func(r *mes.Record) { r.Owner = nil }),
		made("by a right that is still there", func(r *mes.Record) { r.Owner = &mes.Ownership{Lease: first.Name, Server: "b", Epoch: 3} }),
		made("before a new start", func(r *mes.Record) {
			r.Owner, r.ReceivedAt = &mes.Ownership{Lease: first.Name, Server: "b", Epoch: 2}, mes.Micros(now.Add(-time.Hour))
		}),
		made("after another started by that name", func(r *mes.Record) {
			r.Owner = &mes.Ownership{Lease: first.Name, Server: "b", Epoch: 2}
		}),
	}
	err = s.Drain().Apply(ctx, journal.Applied{}, true, func(s *store.Store) error {
		put := store.PutSpooled(func() ingest.LedgerWindow { return storetest.Window(now) })
		return put(ctx, s, &journal.Batch{Group: journal.Group{Records: records}})
	})
	if err != nil {
		t.Fatal(mes.WithCauses(err))
	}
	for _, r := range records {
		_, err := s.Record(context.Background(), r.ID)
		if there := err == nil; there == (r.MachineID == "late" || r.MachineID == "after another started by that name") {
			t.Errorf("%s: %v", r.MachineID, err)
		}
	}
	items, err := s.QuarantineItems(ctx, mes.QuarantineFilter{})
	if err != nil || len(items) != 2 || items[0].MachineID == items[1].MachineID {
		t.Fatalf("in quarantine: %v, %v", items, err)
	}
	t.Log(items[0].Reason.Error())
}
