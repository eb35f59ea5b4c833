package journal_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

func created(r mes.Record) mes.Receipt { return mes.Receipt{Status: mes.ReceiptCreated, ID: r.ID} }

func duplicate(r mes.Record) mes.Receipt { return mes.Receipt{Status: mes.ReceiptDuplicate, ID: r.ID} }

func repeated(r mes.Record) mes.Receipt {
	return mes.Receipt{Status: mes.ReceiptCreated, ID: r.ID, Repeated: true}
}

func rejected(code mes.Code) mes.Receipt {
	return mes.Receipt{Status: mes.ReceiptRejected, Fault: &mes.Error{Code: code}}
}

func wantReceipt(t *testing.T, what string, got, want mes.Receipt) {
	t.Helper()
	if got.Status != want.Status || got.ID != want.ID || got.Repeated != want.Repeated ||
		(got.Fault == nil) != (want.Fault == nil) || got.Fault != nil && got.Fault.Code != want.Fault.Code {
		t.Errorf("%s: the answer is %+v, not %+v", what, got, want)
	}
}

// repeatedHour is a reading of the hour that comes twice: what it was first taken
// for, and what it is when it comes again after the hour.
func repeatedHour(n int) (first, again mes.Record) {
	first, again = record("m", n), record("m", n)
	first.AltTime = first.Time.Add(time.Hour)
	again.Time, again.AltTime = first.AltTime, first.Time
	first.Identify(mes.ID{})
	again.Identify(mes.ID{})
	return first, again
}

// TestKnownRecords commits records once and sends them again in every way: while
// nothing is applied, in one group, after a restart, and after they were applied.
func TestKnownRecords(t *testing.T) {
	t.Parallel()
	hourFirst, hourAgain := repeatedHour(50)
	sameID := message("m", "message", 30)
	sameID.Payload, sameID.Signals = []byte(`{"n":31}`), []mes.Signal{{Name: "n", Value: mes.Int(31)}}
	sameID.Identify(mes.ID{})
	cases := []struct {
		what  string
		first mes.Record
		again mes.Record
		want  mes.Receipt
	}{
		{"the same record", record("m", 10), record("m", 10), duplicate(record("m", 10))},
		{"the same at another time", record("m", 11), record("m", 13), created(record("m", 13))},
		{"another machine's", record("m", 14), record("other", 14), created(record("other", 14))},
		{"a late record", record("m", 20), record("m", 1), created(record("m", 1))},
		{"the same message", message("m", "message", 30), message("m", "message", 30), duplicate(message("m", "message", 30))},
		{"a message id with other content", message("m", "message", 30), sameID, rejected(mes.CodeConflict)},
		{"a message id of another machine", message("m", "message", 30), message("o", "message", 30), created(message("o", "message", 30))},
		{"the same key", keyed("key", 1, 40), keyed("key", 1, 40), repeated(keyed("key", 1, 40))},
		{"the same key, received later", keyed("key", 1, 40), keyed("key", 1, 44), repeated(keyed("key", 1, 40))},
		{"a key with another body", keyed("key", 1, 40), keyed("key", 2, 41), rejected(mes.CodeInvalid)},
		{"another key", keyed("key", 1, 40), keyed("key 2", 1, 42), created(keyed("key 2", 1, 42))},
		{"a repeated hour", hourFirst, hourAgain, duplicate(hourFirst)},
	}
	newer := record("m", 1000)
	for name, between := range map[string]func(*plant){
		"pending":       func(*plant) {},
		"after a start": func(p *plant) { p.restart() },
		"applied":       func(p *plant) { p.apply(1, 1000) },
		"applied, after a start": func(p *plant) {
			p.apply(1, 1000)
			p.restart()
		},
		"applied in part": func(p *plant) { p.apply(1, 1) },
		// Newer records of the machine have come, so that everything is late.
		"late": func(p *plant) { p.mustAdd(newer) },
		"late, after a start": func(p *plant) {
			p.mustAdd(newer)
			p.restart()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range cases {
				p := open(t, plenty())
				wantReceipt(t, c.what+", first", p.mustAdd(c.first)[0], created(c.first))
				between(p)
				wantReceipt(t, c.what, p.mustAdd(c.again)[0], c.want)
			}
		})
	}
	t.Run("one group", func(t *testing.T) {
		t.Parallel()
		for _, c := range cases {
			p := open(t, plenty())
			wantReceipt(t, c.what, p.mustAdd(c.first, c.again)[1], c.want)
		}
	})
}

// TestOldNamesAreForgotten looks at names that were delivered too long ago.
func TestOldNamesAreForgotten(t *testing.T) {
	t.Parallel()
	p := open(t, plenty())
	p.mustAdd(message("m", "message", 1), keyed("key", 1, 2))
	later := window()
	later.Now = now().Add(2 * time.Hour)
	later.MessagesSince, later.KeysSince = now().Add(time.Hour), now().Add(time.Hour)
	var receipts []mes.Receipt
	err := p.Update(t.Context(), func(tx ingest.Tx) (err error) {
		receipts, err = tx.AppendRecords(t.Context(), []mes.Record{message("m", "message", 3), keyed("key", 2, 4)}, later)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wantReceipt(t, "an old message id", receipts[0], created(message("m", "message", 3)))
	wantReceipt(t, "an old key", receipts[1], created(keyed("key", 2, 4)))
	// The newer delivery of a name stays when the older is applied.
	p.apply(1, 1)
	wantReceipt(t, "the newer message", p.mustAdd(message("m", "message", 3))[0], duplicate(message("m", "message", 3)))
}

func resolve(p *plant, item mes.QuarantineItem, by string) error {
	item.State, item.ResolvedAt, item.ResolvedBy = mes.QuarantineDiscarded, now(), by
	return p.Update(context.Background(), func(tx ingest.Tx) error {
		return tx.ResolveQuarantine(context.Background(), item)
	})
}

func quarantine(p *plant, items ...mes.QuarantineItem) error {
	return p.Update(context.Background(), func(tx ingest.Tx) error {
		return tx.AppendQuarantine(context.Background(), items)
	})
}

// TestResolvedOnce: of several that resolve an item the first wins, wherever the
// item and its resolution are.
func TestResolvedOnce(t *testing.T) {
	t.Parallel()
	nothing := func(*plant) {}
	applied := func(p *plant) { p.apply(1, 1000) }
	restarted := func(p *plant) { p.restart() }
	for name, between := range map[string][2]func(*plant){
		"both pending":               {nothing, nothing},
		"both pending, after starts": {restarted, restarted},
		"the item applied":           {applied, nothing},
		"the item applied, a start":  {applied, restarted},
		"both applied":               {nothing, applied},
		"one after the other":        {applied, applied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, plenty())
			item := mes.QuarantineItem{ID: mes.NewID(), State: mes.QuarantineOpen, ReceivedAt: now(), Raw: []byte("x")}
			if err := resolve(p, item, "nobody"); mes.ErrorCode(err) != mes.CodeConflict {
				t.Errorf("an item that is not there was resolved: %v", err)
			}
			if err := quarantine(p, item); err != nil {
				t.Fatal(err)
			}
			between[0](p)
			if err := resolve(p, item, "first"); err != nil {
				t.Fatal(err)
			}
			between[1](p)
			if err := resolve(p, item, "second"); mes.ErrorCode(err) != mes.CodeConflict {
				t.Errorf("an item was resolved twice: %v", err)
			}
			if all := p.all(); len(all.Resolved) != 1 || all.Resolved[0].ResolvedBy != "first" {
				t.Errorf("the log holds the resolutions %+v", all.Resolved)
			}
		})
	}
}

// TestFailedCommitLeavesNothing undoes a transaction after it did everything.
func TestFailedCommitLeavesNothing(t *testing.T) {
	t.Parallel()
	p := open(t, plenty())
	open, fresh := mes.QuarantineItem{ID: mes.NewID(), ReceivedAt: now()}, mes.QuarantineItem{ID: mes.NewID(), ReceivedAt: now()}
	if err := quarantine(p, open); err != nil {
		t.Fatal(err)
	}
	p.mustAdd(record("m", 5))
	end, pending := p.End(), p.Pending()
	records := []mes.Record{record("m", 100), message("m", "message", 101), keyed("key", 1, 102), record("new", 1)}
	refused := errors.New("refused")
	err := p.Update(t.Context(), func(tx ingest.Tx) error {
		if _, err := tx.AppendRecords(t.Context(), records, window()); err != nil {
			return err
		}
		if err := tx.AppendQuarantine(t.Context(), []mes.QuarantineItem{fresh}); err != nil {
			return err
		}
		if err := tx.ResolveQuarantine(t.Context(), open); err != nil {
			return err
		}
		return refused
	})
	if !errors.Is(err, refused) || p.End() != end || p.Pending() != pending {
		t.Fatalf("the log ends at %d and not at %d, %d records are pending and not %d: %v", p.End(), end, p.Pending(), pending, err)
	}
	// Nothing of it is known.
	if err := resolve(p, fresh, "somebody"); mes.ErrorCode(err) != mes.CodeConflict {
		t.Errorf("an item that was undone can be resolved: %v", err)
	}
	if err := resolve(p, open, "somebody"); err != nil {
		t.Errorf("a resolution that was undone counts: %v", err)
	}
	// What is newer comes first, so that each is looked for.
	p.mustAdd(record("m", 200), record("keyed", 200), record("new", 200))
	for i, receipt := range p.mustAdd(records...) {
		wantReceipt(t, "a record that was undone", receipt, created(records[i]))
	}
	if all := p.all(); len(all.Records) != 8 || all.FirstArrival != 1 {
		t.Errorf("%d records from number %d", len(all.Records), all.FirstArrival)
	}
}

// TestPanicLeavesNothing: neither does a transaction that panics.
func TestPanicLeavesNothing(t *testing.T) {
	t.Parallel()
	p := open(t, plenty())
	func() {
		defer func() { _ = recover() }()
		_ = p.Update(t.Context(), func(tx ingest.Tx) error {
			_, _ = tx.AppendRecords(t.Context(), []mes.Record{record("m", 1)}, window())
			panic("in a transaction")
		})
	}()
	wantReceipt(t, "the same again", p.mustAdd(record("m", 1))[0], created(record("m", 1)))
}
