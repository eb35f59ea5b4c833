package storetest

import (
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

func expectReceipts(t *testing.T, got []mes.Receipt, want ...mes.Receipt) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d receipts, want %d", len(got), len(want))
	}
	for i := range want {
		var gotCode, wantCode mes.Code
		if got[i].Fault != nil {
			gotCode = got[i].Fault.Code
		}
		if want[i].Fault != nil {
			wantCode = want[i].Fault.Code
		}
		if got[i].Status != want[i].Status || got[i].ID != want[i].ID || gotCode != wantCode {
			t.Errorf("receipt %d is %s %s %q, want %s %s %q", i,
				got[i].Status, got[i].ID, gotCode, want[i].Status, want[i].ID, wantCode)
		}
	}
}

func created(r mes.Record) mes.Receipt {
	return mes.Receipt{Status: mes.ReceiptCreated, ID: r.ID}
}

func duplicate(r mes.Record) mes.Receipt {
	return mes.Receipt{Status: mes.ReceiptDuplicate, ID: r.ID}
}

func rejected(code mes.Code) mes.Receipt {
	return mes.Receipt{Status: mes.ReceiptRejected, Fault: mes.Errorf(code, "")}
}

func expectCount(t *testing.T, s Store, want int) {
	t.Helper()
	records, err := s.Records(t.Context(), mes.RecordFilter{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != want {
		t.Errorf("%d records, want %d", len(records), want)
	}
}

func testDuplicates(t *testing.T, s Store) {
	a, b := NewRecord("s", "a", day), NewRecord("s", "b", day)
	expectReceipts(t, Append(t, s, a, b, a), created(a), created(b), duplicate(a))
	again := a
	again.ReceivedAt = again.ReceivedAt.Add(time.Hour)
	again.Origin = mes.Origin{Door: mes.DoorMQTT}
	expectReceipts(t, Append(t, s, again), duplicate(a))
	expectCount(t, s, 2)
	got, err := s.Record(t.Context(), a.ID)
	if err != nil || !got.ReceivedAt.Equal(a.ReceivedAt) || got.Origin != a.Origin {
		t.Errorf("a duplicate changed its original: %+v, %v", got, err)
	}
	expectReceipts(t, Append(t, s))
}

// testRepeatedHour sends the same local time once read one way, once the other.
func testRepeatedHour(t *testing.T, s Store) {
	first := NewRecord("s", "m", day)
	first.AltTime = day.Add(time.Hour)
	second := NewRecord("s", "m", day.Add(time.Hour))
	second.AltTime = day
	expectReceipts(t, Append(t, s, first), created(first))
	expectReceipts(t, Append(t, s, second), duplicate(first))
	expectCount(t, s, 1)
}

func message(machine, id string, at time.Time, value int64) mes.Record {
	r := NewRecord("s", machine, at)
	r.MessageID = id
	r.Signals[0].Value = mes.Int(value)
	r.Identify(mes.ID{})
	return r
}

func testMessageIDs(t *testing.T, s Store) {
	a := message("m", "1", day, 1)
	other := message("other", "1", day, 1)
	changed := message("m", "1", day, 2)
	moved := message("m", "1", day.Add(time.Hour), 1)
	expectReceipts(t, Append(t, s, a, a, changed, other),
		created(a), duplicate(a), rejected(mes.CodeConflict), created(other))
	expectReceipts(t, Append(t, s, a), duplicate(a))
	expectReceipts(t, Append(t, s, moved), rejected(mes.CodeConflict))

	// Without a time of its own a message is the same whenever it comes.
	timeless := func(at time.Time) mes.Record {
		r := message("m", "2", at, 1)
		r.TimeOrigin = mes.TimeReceipt
		r.Identify(mes.ID{})
		return r
	}
	first, again := timeless(day), timeless(day.Add(time.Minute))
	expectReceipts(t, Append(t, s, first), created(first))
	expectReceipts(t, Append(t, s, again), duplicate(first))
	expectCount(t, s, 3)
}

// A retry may read a local time of a repeated hour as the other occurrence.
func testMessageIDInRepeatedHour(t *testing.T, s Store) {
	first := message("m", "1", day, 1)
	retry := message("m", "1", day.Add(time.Hour), 1)
	retry.AltTime = day
	changed := message("m", "1", day.Add(time.Hour), 2)
	changed.AltTime = day
	expectReceipts(t, Append(t, s, first), created(first))
	expectReceipts(t, Append(t, s, retry, changed), duplicate(first), rejected(mes.CodeConflict))
	expectCount(t, s, 1)
}

func keyed(r mes.Record, key string, body byte) mes.Record {
	r.Idempotency = &mes.Idempotency{Key: key, Body: [32]byte{body}}
	return r
}

func testIdempotencyKeys(t *testing.T, s Store) {
	// Without a time of its own a record has another id at each retry.
	first := keyed(NewRecord("s", "m", day), "k1", 1)
	retry := keyed(NewRecord("s", "m", day.Add(time.Second)), "k1", 1)
	misused := keyed(NewRecord("s", "m", day.Add(time.Minute)), "k1", 2)
	answers := Append(t, s, first, retry)
	expectReceipts(t, answers, created(first), created(first))
	if answers[0].Repeated || !answers[1].Repeated {
		t.Errorf("repeated is %v and %v, want false and true", answers[0].Repeated, answers[1].Repeated)
	}
	expectReceipts(t, Append(t, s, retry, misused), created(first), rejected(mes.CodeInvalid))

	// The first answer comes again, also where it was duplicate.
	late := keyed(first, "k2", 1)
	expectReceipts(t, Append(t, s, late), duplicate(first))
	Append(t, s, NewRecord("s", "m", day.Add(2*time.Second)))
	expectReceipts(t, Append(t, s, keyed(NewRecord("s", "x", day), "k2", 1)), duplicate(first))

	// A rejected record leaves no answer behind.
	a := message("m", "7", day, 1)
	conflict := keyed(message("m", "7", day, 2), "k3", 1)
	expectReceipts(t, Append(t, s, a, conflict), created(a), rejected(mes.CodeConflict))
	mended := keyed(message("m", "8", day, 2), "k3", 1)
	expectReceipts(t, Append(t, s, mended), created(mended))
	expectCount(t, s, 4)
}

// testLedgerForgets lets entries grow older than their window.
func testLedgerForgets(t *testing.T, s Store) {
	start := day
	a := keyed(message("m", "1", day, 1), "k", 1)
	expectReceipts(t, AppendAt(t, s, start, a), created(a))

	// The key is forgotten after a day, the message id is not.
	b := keyed(message("m", "1", day, 1), "k", 2)
	expectReceipts(t, AppendAt(t, s, start.Add(25*time.Hour), b), duplicate(a))

	// After a week the message id may be used again for another message.
	c := message("m", "1", day.Add(8*24*time.Hour), 2)
	expectReceipts(t, AppendAt(t, s, start.Add(9*24*time.Hour), c), created(c))

	// The time of the second use counts from then on.
	d := message("m", "1", day.Add(12*24*time.Hour), 4)
	expectReceipts(t, AppendAt(t, s, start.Add(12*24*time.Hour), d), rejected(mes.CodeConflict))
	expectReceipts(t, AppendAt(t, s, start.Add(9*24*time.Hour), c), duplicate(c))

	// A forgotten message with the same time has the same id: it is the same
	// record if its content is, and otherwise must not pass for it.
	far := start.Add(30 * 24 * time.Hour)
	expectReceipts(t, AppendAt(t, s, far, a), duplicate(a))
	far = far.Add(30 * 24 * time.Hour)
	changed := message("m", "1", day, 3)
	expectReceipts(t, AppendAt(t, s, far, changed), rejected(mes.CodeConflict))
	expectCount(t, s, 2)

	// The bounds are exclusive: what arrived at the bound is forgotten.
	exact := keyed(NewRecord("s", "m2", day), "bound", 1)
	expectReceipts(t, AppendAt(t, s, far, exact), created(exact))
	var receipts []mes.Receipt
	retry := keyed(NewRecord("s", "m2", day.Add(time.Second)), "bound", 9)
	err := s.Update(t.Context(), func(tx ingest.Tx) (err error) {
		w := ingest.LedgerWindow{Now: mes.Micros(far), MessagesSince: far, KeysSince: mes.Micros(far)}
		receipts, err = tx.AppendRecords(t.Context(), []mes.Record{retry}, w)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	expectReceipts(t, receipts, created(retry))
}
