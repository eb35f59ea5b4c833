package journal_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/wal"
)

// compare leaves out what belongs to the request.
func compare() cmp.Options {
	return cmp.Options{
		cmp.AllowUnexported(mes.Value{}),
		cmpopts.IgnoreUnexported(mes.Error{}),
		cmpopts.IgnoreFields(mes.Record{}, "AltTime", "Idempotency", "Fault", "Answerable"),
		cmpopts.IgnoreFields(mes.Error{}, "RetryAfter"),
		cmpopts.EquateEmpty(),
	}
}

// drawTime makes a time, but 1970 itself: that is none in deliveries and items.
func drawTime(rt *rapid.T, label string) time.Time {
	us := rapid.Int64Range(-62_135_596_799_999_999, 253_402_300_799_999_999).Draw(rt, label)
	if us == 0 {
		us = 1
	}
	return time.UnixMicro(us).UTC()
}

func drawID(rt *rapid.T, label string) (id mes.ID) {
	copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, label))
	return id
}

func drawOrigin(rt *rapid.T) mes.Origin {
	text := rapid.String()
	return mes.Origin{
		Door: mes.Door(text.Draw(rt, "door")), Connection: text.Draw(rt, "connection"),
		Address: text.Draw(rt, "address"), Format: text.Draw(rt, "format"),
	}
}

func drawSignals(rt *rapid.T) []mes.Signal {
	return rapid.SliceOf(rapid.Custom(func(rt *rapid.T) mes.Signal {
		kind := mes.Kind(rapid.IntRange(0, int(mes.KindArray)).Draw(rt, "kind"))
		return mes.Signal{
			Name: rapid.String().Draw(rt, "name"), Unit: rapid.String().Draw(rt, "unit"),
			Value: mes.Restore(kind, rapid.String().Draw(rt, "value")),
		}
	})).Draw(rt, "signals")
}

// drawRecord makes a record of which every member may be anything.
func drawRecord(rt *rapid.T) mes.Record {
	text := rapid.String()
	r := mes.Record{
		SiteID: text.Draw(rt, "site"), MachineID: text.Draw(rt, "machine"), DataType: mes.DataType(text.Draw(rt, "type")),
		Time: drawTime(rt, "time"), TimeOrigin: mes.TimeOrigin(text.Draw(rt, "time origin")), ReceivedAt: drawTime(rt, "received"),
		Sequence: rapid.Ptr(rapid.Int64(), true).Draw(rt, "sequence"),
		Owner: rapid.Ptr(rapid.Custom(func(rt *rapid.T) mes.Ownership {
			return mes.Ownership{Lease: text.Draw(rt, "lease"), Server: text.Draw(rt, "server"), Epoch: rapid.Int64().Draw(rt, "epoch")}
		}), true).Draw(rt, "owner"),
		Status: mes.Status(text.Draw(rt, "status")), StatusCode: mes.StatusCode(rapid.Uint32().Draw(rt, "status code")),
		Flags:  rapid.SliceOf(rapid.Custom(func(rt *rapid.T) mes.Flag { return mes.Flag(text.Draw(rt, "flag")) })).Draw(rt, "flags"),
		Origin: drawOrigin(rt), Signals: drawSignals(rt), Snapshot: rapid.Bool().Draw(rt, "snapshot"),
	}
	if rapid.Bool().Draw(rt, "server time given") {
		r.ServerTime = drawTime(rt, "server time")
	}
	if rapid.Bool().Draw(rt, "payload given") {
		r.Payload = append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(rt, "payload")...)
	}
	r.ID = drawID(rt, "id")
	return r
}

func drawItem(rt *rapid.T) mes.QuarantineItem {
	text := rapid.String()
	i := mes.QuarantineItem{
		ID: drawID(rt, "id"), RecordID: drawID(rt, "record"), State: mes.QuarantineState(text.Draw(rt, "state")),
		ReceivedAt: drawTime(rt, "received"), ResolvedBy: text.Draw(rt, "by"), Origin: drawOrigin(rt),
		SiteID: text.Draw(rt, "site"), MachineID: text.Draw(rt, "machine"), DataType: mes.DataType(text.Draw(rt, "type")),
		Reason: mes.Error{Code: mes.Code(text.Draw(rt, "code")), Message: text.Draw(rt, "message")},
		Raw:    rapid.SliceOf(rapid.Byte()).Draw(rt, "raw"),
	}
	i.Origin.TimeZone = text.Draw(rt, "zone")
	if rapid.Bool().Draw(rt, "resolved") {
		i.ResolvedAt = drawTime(rt, "resolved at")
	}
	for range rapid.IntRange(0, 3).Draw(rt, "fields") {
		i.Reason.Fields = append(i.Reason.Fields, mes.FieldError{Pointer: text.Draw(rt, "pointer"), Detail: text.Draw(rt, "detail")})
	}
	return i
}

func drawConnectionDelivery(rt *rapid.T) mes.Delivery {
	m := mes.Delivery{
		Connection: rapid.String().Draw(rt, "connection"), Name: rapid.String().Draw(rt, "name"),
		Number: rapid.Int64().Draw(rt, "number"),
	}
	copy(m.Content[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "content"))
	return m
}

// TestFrameRoundTrip commits anything and reads it back.
func TestFrameRoundTrip(t *testing.T) {
	t.Parallel()
	p := open(t, plenty())
	var next int64 = 1
	rapid.Check(t, func(rt *rapid.T) {
		want := journal.Group{FirstArrival: next}
		records := rapid.SliceOfN(rapid.Custom(drawRecord), 1, 4).Draw(rt, "records")
		want.ConnectionDeliveries = rapid.SliceOfN(rapid.Custom(drawConnectionDelivery), 0, 3).Draw(rt, "connection deliveries")
		want.Items = rapid.SliceOfN(rapid.Custom(drawItem), 0, 3).Draw(rt, "items")
		from := p.End()
		err := p.Update(context.Background(), func(tx ingest.Tx) error {
			receipts, err := tx.AppendRecords(context.Background(), records, window())
			for i, r := range receipts {
				if r.Status == mes.ReceiptCreated {
					want.Records = append(want.Records, records[i])
					if records[i].MessageID != "" {
						rt.Fatal("message ids have a test of their own")
					}
				}
			}
			if err != nil {
				return err
			}
			if err := tx.AppendDeliveries(context.Background(), want.ConnectionDeliveries); err != nil {
				return err
			}
			return tx.AppendQuarantine(context.Background(), want.Items)
		})
		if err != nil {
			rt.Fatal(err)
		}
		next += int64(len(want.Records))
		var got journal.Batch
		if err := p.Reader(from).Next(&got, 1<<20, 1<<20); err != nil {
			rt.Fatal(err)
		}
		if len(want.Records) == 0 {
			want.FirstArrival = got.FirstArrival
		}
		if diff := cmp.Diff(want, got.Group, compare()); diff != "" {
			rt.Fatalf("what was committed and what is read (-want +got):\n%s", diff)
		}
		for i := range got.Records {
			if (got.Records[i].Payload == nil) != (want.Records[i].Payload == nil) {
				rt.Fatal("an empty payload is not none")
			}
		}
	})
}

// TestDeliveriesAndResolutionsRoundTrip does the same for what else a frame has.
func TestDeliveriesAndResolutionsRoundTrip(t *testing.T) {
	t.Parallel()
	p := open(t, plenty())
	m, k := message("m", "id 1", 1), keyed("key/1", 7, 2)
	p.mustAdd(m, k)
	item := mes.QuarantineItem{ID: mes.NewID(), State: mes.QuarantineOpen, ReceivedAt: now(), Raw: []byte("x")}
	resolved := item
	resolved.State, resolved.ResolvedAt, resolved.ResolvedBy, resolved.RecordID = mes.QuarantineReplayed, now(), "somebody", m.ID
	err := p.Update(context.Background(), func(tx ingest.Tx) error {
		if err := tx.AppendQuarantine(context.Background(), []mes.QuarantineItem{item}); err != nil {
			return err
		}
		return tx.ResolveQuarantine(context.Background(), resolved)
	})
	if err != nil {
		t.Fatal(err)
	}
	want := journal.Group{
		FirstArrival: 1, Records: []mes.Record{m, k},
		Deliveries: []journal.Delivery{
			{DeliveryName: journal.DeliveryName{Kind: journal.DeliveryMessage, SiteID: "s", MachineID: "m", Key: "id 1"},
				Hash: m.ContentHash(), RecordID: m.ID, Status: mes.ReceiptCreated, ArrivedAt: now()},
			{DeliveryName: journal.DeliveryName{Kind: journal.DeliveryKey, Key: "key/1"},
				Hash: [32]byte{7}, RecordID: k.ID, Status: mes.ReceiptCreated, ArrivedAt: now()},
		},
		Items: []mes.QuarantineItem{item}, Resolved: []mes.QuarantineItem{resolved},
	}
	if diff := cmp.Diff(want, p.all().Group, compare()); diff != "" {
		t.Errorf("what was committed and what is read (-want +got):\n%s", diff)
	}
}

// frames are some frames as the log holds them.
func frames(t testing.TB) (list [][]byte) {
	p := open(t, plenty())
	full := message("m", "id", 3)
	full.Sequence, full.ServerTime, full.Snapshot = new(int64), now(), true
	full.Flags, full.Status = []mes.Flag{mes.FlagAhead, mes.FlagRetained}, mes.Running
	p.mustAdd(record("m", 1), keyed("k", 1, 2), full)
	err := p.Update(context.Background(), func(tx ingest.Tx) error {
		item := mes.QuarantineItem{ID: mes.NewID(), ReceivedAt: now(), Raw: []byte("x"),
			Reason: *mes.Invalid([]mes.FieldError{{Pointer: "/x", Detail: "bad"}})}
		if err := tx.AppendQuarantine(context.Background(), []mes.QuarantineItem{item}); err != nil {
			return err
		}
		return tx.ResolveQuarantine(context.Background(), item)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = wal.Scan(p.folder, 0, 0, func(frame []byte, _ wal.Position) error {
		list = append(list, bytes.Clone(frame))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// memory is about what a group takes besides its texts.
func memory(g *journal.Group) (bytes uintptr) {
	bytes = uintptr(cap(g.Records))*unsafe.Sizeof(mes.Record{}) + uintptr(cap(g.Deliveries))*unsafe.Sizeof(journal.Delivery{}) +
		uintptr(cap(g.Items)+cap(g.Resolved))*unsafe.Sizeof(mes.QuarantineItem{})
	for _, r := range g.Records {
		bytes += uintptr(cap(r.Signals))*unsafe.Sizeof(mes.Signal{}) + uintptr(cap(r.Flags))*unsafe.Sizeof(mes.FlagAhead)
	}
	for _, i := range append(g.Items, g.Resolved...) {
		bytes += uintptr(cap(i.Reason.Fields)) * unsafe.Sizeof(mes.FieldError{})
	}
	return bytes
}

// wantBounded reads a frame and looks at what memory that took.
func wantBounded(t *testing.T, frame []byte) (*journal.Batch, error) {
	t.Helper()
	var b journal.Batch
	err := b.Read(frame, 1)
	if got, most := memory(&b.Group), uintptr(len(frame))*64+4096; got > most {
		t.Errorf("%d bytes for a frame of %d", got, len(frame))
	}
	return &b, err
}

// TestClaimsTakeNoMemory puts a large count into every place of a frame.
func TestClaimsTakeNoMemory(t *testing.T) {
	t.Parallel()
	for _, frame := range frames(t) {
		for at := range frame {
			claim := slices.Concat(frame[:at], []byte{0x80, 0x80, 0x40}, frame[at:])
			_, _ = wantBounded(t, claim) // it may stand in a text
		}
	}
}

// FuzzFrame reads any bytes as a frame: there is an error or a value, in memory
// that the length of the frame bounds.
func FuzzFrame(f *testing.F) {
	for _, frame := range frames(f) {
		f.Add(frame)
		f.Add(frame[:len(frame)/2])
	}
	f.Add([]byte{1, 1, 1, 0})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, frame []byte) {
		before := bytes.Clone(frame)
		b, err := wantBounded(t, frame)
		if !bytes.Equal(frame, before) {
			t.Fatal("reading changed the frame")
		}
		if err != nil {
			return
		}
		records := 0
		for _, u := range b.Units() {
			records += len(u.Places)
		}
		if records != len(b.Records) {
			t.Errorf("%d records of units in %d", records, len(b.Records))
		}
	})
}
