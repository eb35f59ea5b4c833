package mesdata_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/mesdata"
)

// rows are a table in memory.
type rows struct {
	layout mesdata.Layout
	list   []mesdata.Row
}

func (r rows) Layout() mesdata.Layout { return r.layout }

func (r rows) Each(_ context.Context, yield func(mesdata.Row) error) error {
	for _, row := range r.list {
		if err := yield(row); err != nil {
			return err
		}
	}
	return nil
}

// taken are the parts that were handed over.
type taken struct {
	parts [][]mes.Record
	// fails is the number of the part that is refused; 0 is none.
	fails  int
	status mes.ReceiptStatus
}

var errRefused = errors.New("refused")

func (s *taken) Ingest(_ context.Context, batch []mes.Record) ([]mes.Receipt, error) {
	s.parts = append(s.parts, batch)
	if len(s.parts) == s.fails {
		return nil, errRefused
	}
	receipts := make([]mes.Receipt, len(batch))
	for i := range receipts {
		receipts[i] = mes.Receipt{Status: s.status, ID: mes.NewID()}
	}
	return receipts, nil
}

func (s *taken) QuarantinedAmong(context.Context, []mes.ID) (map[mes.ID]struct{}, error) {
	return nil, nil
}

var now = time.Date(2026, 11, 22, 10, 20, 0, 0, time.UTC)

func options(t *testing.T, table rows, to *taken) mesdata.Options {
	t.Helper()
	sites, err := ingest.NewSites("main", map[string]string{"main": "Europe/Berlin"})
	if err != nil {
		t.Fatal(err)
	}
	if to.status == "" {
		to.status = mes.ReceiptCreated
	}
	decoder := ingest.NewDecoder(ingest.Limits{MaxRecord: 2 << 20, MaxBatch: 5, MaxDepth: 8}, sites)
	return mesdata.Options{Table: table, Decoder: decoder, Ingester: to, Quarantine: to, Sites: sites, Clock: func() time.Time { return now }}
}

// TestPartsAreBounded hands over rows by their number and by their bytes.
func TestPartsAreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rows, size int
		want       []int
	}{
		"few": {2, 10, []int{2}}, "many": {2001, 10, []int{1000, 1000, 1}}, "large": {10, 1 << 20, []int{4, 4, 2}}, "none": {0, 0, nil},
	} {
		var table rows
		for i := range c.rows {
			table.list = append(table.list, mesdata.Row{Key: fmt.Sprint(i), Payload: []byte(strings.Repeat(" ", c.size))})
		}
		to := &taken{}
		done, err := mesdata.Import(t.Context(), options(t, table, to))
		if err != nil || done.Read != int64(c.rows) {
			t.Errorf("%s: %+v, %v", name, done, err)
		}
		var got []int
		for _, part := range to.parts {
			got = append(got, len(part))
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: parts of %v, want %v", name, got, c.want)
		}
	}
}

// TestImportEndsWithTheFirstFailure, and what was handed over before counts.
func TestImportEndsWithTheFirstFailure(t *testing.T) {
	t.Parallel()
	var table rows
	for i := range 3000 {
		table.list = append(table.list, mesdata.Row{Key: fmt.Sprint(i)})
	}
	to := &taken{fails: 2}
	if done, err := mesdata.Import(t.Context(), options(t, table, to)); !errors.Is(err, errRefused) || done.Read != 1000 || len(to.parts) != 2 {
		t.Errorf("%+v, %v after %d parts", done, err, len(to.parts))
	}
	to = &taken{status: mes.ReceiptRejected}
	if done, err := mesdata.Import(t.Context(), options(t, table, to)); err == nil {
		t.Errorf("rows vanished: %+v", done)
	}
}

// TestRowsBecomeRecords: what a payload says comes before the columns, and a record is the
// same at every run.
func TestRowsBecomeRecords(t *testing.T) {
	t.Parallel()
	const longName = "a name of a table that is longer than a message id may be, since it has so many letters of three bytes: " +
		"℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃℃"
	layout := mesdata.Layout{Table: "T", Time: "At"}
	column := mesdata.Moment{Text: "2025-11-03 06:45:23"}
	at := time.Date(2025, 11, 3, 5, 45, 23, 0, time.UTC)
	for name, c := range map[string]struct {
		layout mesdata.Layout
		row    mesdata.Row
		source bool
		check  func(r mes.Record) bool
	}{
		"time of receipt": {layout, mesdata.Row{Key: "1", DataType: "Quality", Payload: []byte(`{"MachineID":"M","Value":1}`), Time: column}, false, func(r mes.Record) bool {
			return r.Time.Equal(at) && r.TimeOrigin == mes.TimeReceipt && r.ReceivedAt.Equal(at) && r.MessageID == "T:1" && r.Fault == nil
		}},
		"time of the source": {layout, mesdata.Row{Key: "1", DataType: "Quality", Payload: []byte(`{"MachineID":"M","Value":1}`), Time: column}, true, func(r mes.Record) bool {
			return r.Time.Equal(at) && r.TimeOrigin == mes.TimeSource && r.ReceivedAt.Equal(at) && r.MessageID == "T:1"
		}},
		"time of the payload": {layout, mesdata.Row{Key: "1", Payload: []byte(`{"machine_id":"M","x":1,"timestamp":"2025-11-03T05:45:00Z"}`), Time: column}, false, func(r mes.Record) bool {
			return r.Time.Equal(at.Add(-23*time.Second)) && r.TimeOrigin == mes.TimeSource && r.ReceivedAt.Equal(at) && r.MessageID == ""
		}},
		"payload and source": {layout, mesdata.Row{Key: "1", Payload: []byte(`{"machine_id":"M","x":1,"timestamp":"2025-11-03T05:45:00Z"}`), Time: column}, true, func(r mes.Record) bool {
			return r.Time.Equal(at.Add(-23*time.Second)) && r.ReceivedAt.Equal(now)
		}},
		"its own message id": {layout, mesdata.Row{Key: "1", Payload: []byte(`{"machine_id":"M","x":1,"message_id":"7"}`), Time: column}, false, func(r mes.Record) bool {
			return r.Time.Equal(at) && r.MessageID == "7"
		}},
		"twice an hour": {layout, mesdata.Row{Key: "1", Payload: []byte(`{"machine_id":"M","x":1}`), Time: mesdata.Moment{Text: "2025-10-26 02:30:00"}}, false, func(r mes.Record) bool {
			return !r.AltTime.IsZero() && r.HasFlag(mes.FlagRepeatedHour)
		}},
		"ahead": {layout, mesdata.Row{Key: "1", Payload: []byte(`{"machine_id":"M","x":1}`), Time: mesdata.Moment{Text: "2026-11-22T10:30:00Z"}}, false, func(r mes.Record) bool {
			return r.Time.After(now) && r.ReceivedAt.Equal(now)
		}},
		"no time": {mesdata.Layout{Table: "T"}, mesdata.Row{Key: "1", Payload: []byte(`{"machine_id":"M","x":1}`)}, false, func(r mes.Record) bool {
			return r.Fault != nil && strings.Contains(r.Fault.Error(), "the table has no column of times") && r.Time.IsZero() && r.Origin.Address == "1" &&
				r.QuarantineID == mes.DerivedID(time.Time{}, "plantgate import T:1")
		}},
		"a broken time": {layout, mesdata.Row{Key: "1", Payload: []byte(`{"machine_id":"M","x":1}`), Time: mesdata.Moment{Text: "yesterday"}}, false, func(r mes.Record) bool {
			return r.Fault != nil && strings.Contains(r.Fault.Error(), `the column At must be a time`)
		}},
		"no machine": {layout, mesdata.Row{Key: "1", Payload: []byte(`{"x":1}`), Time: column}, true, func(r mes.Record) bool {
			return r.Fault != nil && string(r.Payload) == `{"x":1}` && r.ReceivedAt.Equal(at) && r.QuarantineID == mes.DerivedID(at, "plantgate import T:1")
		}},
		"a long name": {mesdata.Layout{Table: longName, Time: "At"}, mesdata.Row{Key: "1", Payload: []byte(`{"machine_id":"M","x":1}`), Time: column}, true, func(r mes.Record) bool {
			return r.Fault == nil && len(r.MessageID) == 64
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := &taken{}
			o := options(t, rows{c.layout, []mesdata.Row{c.row}}, to)
			o.SourceTime = c.source
			if _, err := mesdata.Import(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			r := to.parts[0][0]
			if !c.check(r) {
				t.Errorf("%+v, fault %v", r, r.Fault)
			}
			if r.Origin.Door != mes.DoorImport || r.Origin.Connection != c.layout.Table || r.Origin.Format != "payload" {
				t.Errorf("origin %+v", r.Origin)
			}
			if r.Fault == nil && r.Origin.Address != "" {
				t.Error("each row is an origin of its own")
			}
		})
	}
}

// TestProgressIsToldNowAndThen by the clock.
func TestProgressIsToldNowAndThen(t *testing.T) {
	t.Parallel()
	var table rows
	for i := range 5000 {
		table.list = append(table.list, mesdata.Row{Key: fmt.Sprint(i)})
	}
	o := options(t, table, &taken{})
	clock := now
	o.Clock = func() time.Time {
		clock = clock.Add(time.Millisecond)
		return clock
	}
	o.Every = 1500 * time.Millisecond
	var told []int64
	o.Progress = func(s mesdata.Summary) { told = append(told, s.Read) }
	if _, err := mesdata.Import(t.Context(), o); err != nil || fmt.Sprint(told) != "[2000 4000]" {
		t.Errorf("told at %v, %v", told, err)
	}
}
