package journal_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// birth is many signals of one machine at one time, each a record, as a birth of Sparkplug
// has them.
func birth(second, signals int) []mes.Record {
	list := make([]mes.Record, signals)
	for i := range list {
		list[i] = record("m", second)
		list[i].Signals = []mes.Signal{{Name: fmt.Sprint(i), Value: mes.Int(1)}}
		list[i].Payload = nil
		list[i].Identify(mes.ID{})
	}
	return list
}

func wantReceipts(t *testing.T, what string, got []mes.Receipt, want func(mes.Record) mes.Receipt, of []mes.Record) {
	t.Helper()
	for i := range of {
		wantReceipt(t, fmt.Sprintf("%s, record %d", what, i), got[i], want(of[i]))
	}
}

// TestManyRecordsOfOneTime: what is newer than everything of its machine can't be in the
// store, and is not looked for there; within the commit it is known, and in the store once
// another commit brings it.
func TestManyRecordsOfOneTime(t *testing.T) {
	t.Parallel()
	const n = 50
	first := birth(10, n)
	p := open(t, plenty())
	wantReceipts(t, "first", p.mustAdd(first...), created, first)
	p.apply(1000, 1000)

	second := birth(20, n)
	p.index.lookups = 0
	got := p.mustAdd(append(second, second...)...)
	wantReceipts(t, "second", got[:n], created, second)
	wantReceipts(t, "second again in the commit", got[n:], duplicate, second)
	if p.index.lookups > 0 {
		t.Errorf("%d records of a commit that are newer than all of their machine were looked for in the store", p.index.lookups)
	}
	wantReceipts(t, "second again, in the log", p.mustAdd(second...), duplicate, second)
	p.apply(1000, 1000)
	wantReceipts(t, "second again, in the store", p.mustAdd(second...), duplicate, second)
	wantReceipts(t, "first again, in the store", p.mustAdd(first...), duplicate, first)

	// A commit with a newer record before those that the store has.
	third := append(birth(30, 1), second...)
	got = p.mustAdd(third...)
	wantReceipt(t, "third", got[0], created(third[0]))
	wantReceipts(t, "second after a newer one", got[1:], duplicate, second)
}

// TestUndoneCommitWasNot: what a commit that failed brought is not taken for the newest.
func TestUndoneCommitWasNot(t *testing.T) {
	t.Parallel()
	p := open(t, plenty())
	stored, failed := birth(10, 3), birth(20, 3)
	p.mustAdd(stored...)
	p.apply(1000, 1000)
	undo := errors.New("undone")
	err := p.Update(context.Background(), func(tx ingest.Tx) error {
		if _, err := tx.AppendRecords(context.Background(), failed, window()); err != nil {
			t.Error(err)
		}
		return undo
	})
	if !errors.Is(err, undo) {
		t.Fatal(err)
	}
	wantReceipts(t, "after the undone commit", p.mustAdd(stored...), duplicate, stored)
	wantReceipts(t, "what was undone", p.mustAdd(failed...), created, failed)
}
