package opcuatest

import (
	"context"
	"sync"
	"testing"
	"time"

	"plantgate/internal/mes"
)

// Ingester accepts every record and remembers it.
type Ingester struct {
	mu      sync.Mutex
	records []mes.Record
	changed chan struct{} // closed at the next batch
	fail    error
	calls   int
}

// NewIngester returns an Ingester that has nothing.
func NewIngester() *Ingester { return &Ingester{changed: make(chan struct{})} }

// Ingest keeps the batch, or refuses it as told by Fail.
func (i *Ingester) Ingest(ctx context.Context, batch []mes.Record) ([]mes.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls++
	defer func() {
		close(i.changed)
		i.changed = make(chan struct{})
	}()
	if i.fail != nil {
		return nil, i.fail
	}
	i.records = append(i.records, batch...)
	receipts := make([]mes.Receipt, len(batch))
	for k := range receipts {
		receipts[k].Status = mes.ReceiptCreated
		if batch[k].Fault != nil {
			receipts[k].Status = mes.ReceiptQuarantined
		}
	}
	return receipts, nil
}

// Fail makes every further call fail with err, or succeed again with nil.
func (i *Ingester) Fail(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fail = err
}

// Calls returns how often Ingest was called.
func (i *Ingester) Calls() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.calls
}

// Records returns what was accepted so far.
func (i *Ingester) Records() []mes.Record {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]mes.Record(nil), i.records...)
}

// Wait returns when done holds of the records, which it is asked after each
// batch, and fails the test if that takes longer than limit.
func (i *Ingester) Wait(t *testing.T, limit time.Duration, what string, done func([]mes.Record) bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		i.mu.Lock()
		changed, records := i.changed, i.records
		i.mu.Unlock()
		if done(records) {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("no %s within %s; %d records came", what, limit, len(records))
		}
	}
}

// Value tells whether a record of the signal is among the records, with a value
// for which ok holds.
func Value(records []mes.Record, signal string, ok func(mes.Value) bool) bool {
	for k := range records {
		for _, s := range records[k].Signals {
			if s.Name == signal && ok(s.Value) {
				return true
			}
		}
	}
	return false
}
