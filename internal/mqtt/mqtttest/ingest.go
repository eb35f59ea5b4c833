// Package mqtttest has what the tests of the MQTT packages share: an ingester
// and a decoder that can be held and made to fail, a proxy that cuts
// connections, and a plain publisher.
package mqtttest

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// Patience is how long tests wait for what must happen.
const Patience = 20 * time.Second

// Ingester keeps records in memory.
type Ingester struct {
	// Delay is how long each call takes.
	Delay time.Duration

	mu      sync.Mutex
	records []mes.Record
	calls   int
	fail    error
	gate    chan struct{} // calls wait for its end, if there is one
	changed chan struct{} // closed at each change
}

// NewIngester returns an ingester that accepts everything.
func NewIngester() *Ingester { return &Ingester{changed: make(chan struct{})} }

// Hold makes calls wait until release is called.
func (f *Ingester) Hold() (release func()) {
	gate := make(chan struct{})
	f.change(func() { f.gate = gate })
	return sync.OnceFunc(func() {
		f.change(func() { f.gate = nil })
		close(gate)
	})
}

// Fail makes calls fail with err, or succeed again with nil.
func (f *Ingester) Fail(err error) { f.change(func() { f.fail = err }) }

// Ingest keeps the records, those with a fault as quarantined.
func (f *Ingester) Ingest(ctx context.Context, batch []mes.Record) ([]mes.Receipt, error) {
	var gate chan struct{}
	var fail error
	f.change(func() { f.calls++; gate, fail = f.gate, f.fail })
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if f.Delay > 0 {
		time.Sleep(f.Delay)
	}
	if fail != nil {
		return nil, fail
	}
	f.change(func() { f.records = append(f.records, batch...) })
	receipts := make([]mes.Receipt, len(batch))
	for i := range batch {
		receipts[i] = mes.Receipt{Status: mes.ReceiptCreated, Fault: batch[i].Fault}
		if batch[i].Fault != nil {
			receipts[i].Status = mes.ReceiptQuarantined
		}
	}
	return receipts, nil
}

func (f *Ingester) change(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
	close(f.changed)
	f.changed = make(chan struct{})
}

// Records returns what was kept so far.
func (f *Ingester) Records() []mes.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]mes.Record(nil), f.records...)
}

// Payloads returns the payloads that were kept so far.
func (f *Ingester) Payloads() []string {
	var list []string
	for _, r := range f.Records() {
		list = append(list, string(r.Payload))
	}
	return list
}

// WaitCalls waits until there were n calls, finished or not.
func (f *Ingester) WaitCalls(t testing.TB, n int) {
	t.Helper()
	f.wait(t, func() bool { return f.calls >= n })
}

// WaitRecords waits until n records are kept and returns them.
func (f *Ingester) WaitRecords(t testing.TB, n int) []mes.Record {
	t.Helper()
	f.wait(t, func() bool { return len(f.records) >= n })
	return f.Records()
}

// WaitDistinct waits until n different payloads are kept.
func (f *Ingester) WaitDistinct(t testing.TB, n int) {
	t.Helper()
	seen := make(map[string]bool)
	from := 0
	f.wait(t, func() bool {
		for ; from < len(f.records); from++ {
			seen[string(f.records[from].Payload)] = true
		}
		return len(seen) >= n
	})
}

func (f *Ingester) wait(t testing.TB, holds func() bool) {
	t.Helper()
	end := time.After(Patience)
	for {
		f.mu.Lock()
		ok, changed, calls, records := holds(), f.changed, f.calls, len(f.records)
		f.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-end:
			t.Fatalf("waited %s in vain, with %d calls and %d records", Patience, calls, records)
		}
	}
}

// ConnectionDeliveries are of what was kept.
func (f *Ingester) ConnectionDeliveries(_ context.Context, connection string) ([]mes.Delivery, error) {
	var list []mes.Delivery
	for _, r := range f.Records() {
		for _, d := range r.Deliveries {
			if d.Connection == connection {
				list = append(list, d)
			}
		}
	}
	return mes.NewestDeliveries(list), nil
}

// Decoder makes one record of each message; a payload that begins with "poison" can't be
// read, and one that begins with "now" has no time of its own.
type Decoder struct{}

// Decode returns one record.
func (Decoder) Decode(src ingest.Source, body []byte) []mes.Record {
	r := mes.Record{
		SiteID: src.SiteID, MachineID: src.MachineID, DataType: src.DataType,
		ReceivedAt: src.ReceivedAt, Origin: src.Origin, Payload: body,
	}
	if bytes.HasPrefix(body, []byte("now")) {
		r.TimeOrigin = mes.TimeReceipt
	}
	if src.Retained {
		r.Flags = []mes.Flag{mes.FlagRetained}
	}
	if bytes.HasPrefix(body, []byte("poison")) {
		r.Fault = mes.Errorf(mes.CodeMalformed, "the payload can't be read")
	}
	return []mes.Record{r}
}

// Eventually waits until a state that has no signal of its own holds.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(Patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited %s in vain: %s", Patience, what)
		}
	}
}

// Calls returns how many calls there were.
func (f *Ingester) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}
