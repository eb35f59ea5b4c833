package ingest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

func opcuaRecord(change func(*mes.Record)) mes.Record {
	r := mes.Record{
		SiteID: "pune", MachineID: "P1", DataType: mes.State,
		Time: received.Add(-time.Minute + 123456*time.Microsecond), TimeOrigin: mes.TimeSource,
		ServerTime: received.Add(-time.Second), ReceivedAt: received, Status: mes.Running, StatusCode: 0x40000000,
		Signals: []mes.Signal{{Name: "force", Value: mes.Uint(18446744073709551615), Unit: "<kN>"}},
		Flags:   []mes.Flag{mes.FlagOverflow},
		Origin:  mes.Origin{Door: mes.DoorOPCUA, Connection: "press", Address: "ns=1;s=F", Format: string(ingest.FormatDataValue)},
	}
	if change != nil {
		change(&r)
	}
	return r
}

// A value of OPC UA comes as no text. Quarantine must keep it all the same, so
// that its replay is the record that it would have been.
func TestOPCUAValuesSurviveQuarantine(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*mes.Record){
		"source time":     nil,
		"server time":     func(r *mes.Record) { r.TimeOrigin, r.Time = mes.TimeServer, r.ServerTime },
		"time of receipt": func(r *mes.Record) { r.TimeOrigin, r.Time, r.ServerTime = mes.TimeReceipt, time.Time{}, time.Time{} },
		"no value":        func(r *mes.Record) { r.Status, r.StatusCode, r.Signals[0].Value = "", 0x80000000, mes.Value{} },
		"array":           func(r *mes.Record) { r.Signals[0].Value = mes.Array(`[1,"\u003c",null,[true]]`) },
		"text":            func(r *mes.Record) { r.Signals[0].Value = mes.String("NaN") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(o *ingest.Options, _ *faultStore) { o.Unknown = ingest.QuarantineUnknown })
			want := opcuaRecord(change)
			receipts, err := s.Ingest(context.Background(), []mes.Record{want})
			if err != nil || receipts[0].Status != mes.ReceiptQuarantined {
				t.Fatalf("got %v, %v", receipts, err)
			}
			item := s.store.items[receipts[0].ID]
			s.store.mu.Lock()
			s.store.known["pune~P1"] = true
			s.store.mu.Unlock()
			if receipts, err = s.Replay(context.Background(), ingest.Replay{ID: item.ID}); err != nil {
				t.Fatalf("replay of %q: %v", item.Raw, err)
			}
			if want.TimeOrigin == mes.TimeReceipt {
				want.Time = received
				want.Identify(item.ID)
			} else {
				want.Identify(mes.ID{})
			}
			got := s.store.records[receipts[0].ID]
			if got.ID != want.ID || !got.ServerTime.Equal(want.ServerTime) || got.TimeOrigin != want.TimeOrigin || !got.HasFlag(mes.FlagOverflow) {
				t.Errorf("%q became %+v, want %+v", item.Raw, got, want)
			}
		})
	}
}

// What OPC UA says of a value that has no form as a signal is no message.
func TestReplayOfAValueWithoutForm(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	r := opcuaRecord(func(r *mes.Record) {
		r.Fault = mes.Errorf(mes.CodeUnsupported, "a structure")
		r.Signals, r.Payload = nil, []byte(`{"node_id":"ns=1;s=F","type":"ExtensionObject","status_code":0,"value":{"X":1}}`)
	})
	receipts, err := s.Ingest(context.Background(), []mes.Record{r})
	if err != nil {
		t.Fatal(err)
	}
	id := receipts[0].ID
	if _, err := s.Replay(context.Background(), ingest.Replay{ID: id}); err == nil || !strings.Contains(err.Error(), "no form as a signal") {
		t.Errorf("replayed as it is: %v", err)
	}
	if _, err := s.Replay(context.Background(), ingest.Replay{ID: id, Body: []byte(`{"timestamp":"2026-11-22T10:00:00Z","x":1}`)}); err != nil {
		t.Errorf("replayed with a payload: %v", err)
	}
}
