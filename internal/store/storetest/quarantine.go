package storetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

func quarantined(i int) mes.QuarantineItem {
	return mes.QuarantineItem{
		ID: mes.NewID(), State: mes.QuarantineOpen, ReceivedAt: day.Add(time.Duration(i) * time.Microsecond),
		Origin: mes.Origin{Door: mes.DoorMQTT, Connection: "hall", Address: "mes/production/data", Format: "envelope", TimeZone: "Asia/Kolkata"},
		SiteID: "s", MachineID: "m", DataType: mes.Production,
		Reason: mes.Error{Code: mes.CodeInvalid, Message: "the input has invalid members",
			Fields: []mes.FieldError{{Pointer: "/Payload/Value", Detail: "must be a number, not \"?\""}}},
		Raw: []byte("\x00\xff not JSON"), RawSize: 11,
	}
}

func putQuarantine(t *testing.T, s Store, items ...mes.QuarantineItem) {
	t.Helper()
	err := s.Update(t.Context(), func(tx ingest.Tx) error { return tx.AppendQuarantine(t.Context(), items) })
	if err != nil {
		t.Fatal(err)
	}
}

func resolve(t *testing.T, s Store, item mes.QuarantineItem) error {
	t.Helper()
	return s.Update(t.Context(), func(tx ingest.Tx) error { return tx.ResolveQuarantine(t.Context(), item) })
}

func compareItems() cmp.Options {
	return cmp.Options{cmpopts.IgnoreUnexported(mes.Error{}), cmpopts.EquateEmpty()}
}

func testQuarantine(t *testing.T, s Store) {
	a, b, c := quarantined(1), quarantined(2), quarantined(3)
	b.Origin.Door, b.SiteID, b.MachineID = mes.DoorOPCUA, "r", ""
	c.Raw, c.RawSize, c.Reason = []byte{}, 0, mes.Error{Code: mes.CodeConflict, Message: "came before"}
	putQuarantine(t, s, a, b, c)
	for _, want := range []mes.QuarantineItem{a, b, c} {
		got, err := s.QuarantineItem(t.Context(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, compareItems()); diff != "" {
			t.Errorf("item (-want +got):\n%s", diff)
		}
	}
	b.State, b.ResolvedAt, b.ResolvedBy, b.RecordID = mes.QuarantineReplayed, day.Add(time.Hour), "key", mes.NewID()
	if err := resolve(t, s, b); err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string]struct {
		filter mes.QuarantineFilter
		want   []mes.QuarantineItem
	}{
		"all":     {mes.QuarantineFilter{}, []mes.QuarantineItem{a, b, c}},
		"open":    {mes.QuarantineFilter{State: mes.QuarantineOpen}, []mes.QuarantineItem{a, c}},
		"door":    {mes.QuarantineFilter{Door: mes.DoorOPCUA}, []mes.QuarantineItem{b}},
		"site":    {mes.QuarantineFilter{SiteID: "s", Limit: 1}, []mes.QuarantineItem{a}},
		"after":   {mes.QuarantineFilter{After: a.ID}, []mes.QuarantineItem{b, c}},
		"scope":   {mes.QuarantineFilter{Scope: mes.Scope{Sites: []string{"s"}, Machines: []string{"m"}}}, []mes.QuarantineItem{a, c}},
		"nothing": {mes.QuarantineFilter{State: mes.QuarantineDiscarded}, []mes.QuarantineItem{}},
	} {
		got, err := s.QuarantineItems(t.Context(), list.filter)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list.want {
			list.want[i].Raw = nil
		}
		if diff := cmp.Diff(list.want, got, compareItems()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, err := s.QuarantineItem(t.Context(), mes.NewID()); mes.ErrorCode(err) != mes.CodeNotFound {
		t.Errorf("an unknown item: %v", err)
	}
}

// testQuarantineResolvedOnce has several resolve one item at once.
func testQuarantineResolvedOnce(t *testing.T, s Store) {
	item := quarantined(1)
	putQuarantine(t, s, item)
	item.State, item.ResolvedAt = mes.QuarantineDiscarded, day
	var done atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			switch err := resolve(t, s, item); mes.ErrorCode(err) {
			case "":
				done.Add(1)
			case mes.CodeConflict:
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if done.Load() != 1 {
		t.Errorf("resolved %d times", done.Load())
	}
}
