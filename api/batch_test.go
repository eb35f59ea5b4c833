package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// partsIngester notes what it is called with, and fails from a call on.
type partsIngester struct {
	calls, largest atomic.Int64
	failFrom       int64
	err            error
	keys           []string
}

func (i *partsIngester) Ingest(_ context.Context, batch []mes.Record) ([]mes.Receipt, error) {
	if n := i.calls.Add(1); i.failFrom > 0 && n >= i.failFrom {
		return nil, i.err
	}
	i.largest.Store(max(i.largest.Load(), int64(len(batch))))
	receipts := make([]mes.Receipt, len(batch))
	for n := range batch {
		batch[n].Identify(mes.ID{})
		receipts[n] = mes.Receipt{Status: mes.ReceiptCreated, ID: batch[n].ID}
		if key := batch[n].Idempotency; key != nil {
			i.keys = append(i.keys, key.Key)
		}
	}
	return receipts, nil
}

// withParts lets batches of many records in, and hands them to the ingester.
func withParts(t *testing.T, to *partsIngester) func(*fixture) {
	sites, err := ingest.NewSites("main", map[string]string{"main": "UTC"})
	if err != nil {
		t.Fatal(err)
	}
	return func(f *fixture) {
		f.deps.Decoder = ingest.NewDecoder(ingest.Limits{MaxRecord: 1 << 10, MaxBatch: 10_000, MaxDepth: 8}, sites)
		f.deps.Ingester = to
	}
}

func manyRecords(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`{"machine_id":"M%d","x":%d}`, i%10, i)
	}
	return list
}

// A large batch is never in memory as a whole, and is numbered as one.
func TestLargeBatchIsStoredInParts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ contentType, start, between, end string }{
		"array": {"application/json", "[", ",", "]"}, "lines": {"application/x-ndjson", "", "\n", "\n"},
	} {
		to := &partsIngester{}
		f := setup(t, withParts(t, to))
		r := f.do(call{method: http.MethodPost, path: "/data", body: c.start + strings.Join(manyRecords(5000), c.between) + c.end,
			header: map[string]string{"Content-Type": c.contentType, "Idempotency-Key": "k"}}).want(http.StatusCreated)
		if got := into[batch](r); len(got.Items) != 5000 || got.Items[4999].Index != 4999 || got.Summary["created"] != 5000 {
			t.Errorf("%s: %d items, %v", name, len(got.Items), got.Summary)
		}
		if to.calls.Load() != 5 || to.largest.Load() != 1024 {
			t.Errorf("%s: %d parts, the largest of %d records", name, to.calls.Load(), to.largest.Load())
		}
		for i, key := range to.keys {
			if !strings.HasSuffix(key, fmt.Sprintf("/k#%d", i)) {
				t.Fatalf("%s: record %d has the key %s", name, i, key)
			}
		}
	}
}

// What is wrong with a batch as a whole shows before its first part is stored.
func TestNothingOfABrokenBatchIsStored(t *testing.T) {
	t.Parallel()
	to := &partsIngester{}
	f := setup(t, withParts(t, to))
	records := strings.Join(manyRecords(5000), ",")
	for body, status := range map[string]int{
		"[" + records:                 http.StatusBadRequest,
		"[" + records + "] 1":         http.StatusBadRequest,
		"[" + records + ",{\"a\" 1}]": http.StatusBadRequest,
		"[" + strings.Join(manyRecords(10_001), ",") + "]": http.StatusRequestEntityTooLarge,
	} {
		f.do(call{method: http.MethodPost, path: "/data", body: body, invalid: true}).wantProblem(status)
	}
	if n := to.calls.Load(); n != 0 {
		t.Errorf("%d parts were handed on", n)
	}
}

// A batch that breaks off tells of each record whether it was stored.
func TestBatchThatBreaksOff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		status int
	}{
		"unavailable": {mes.Errorf(mes.CodeUnavailable, "the store is away"), http.StatusServiceUnavailable},
		"cancelled":   {context.Canceled, http.StatusServiceUnavailable},
		"internal":    {fmt.Errorf("SELECT secret"), http.StatusInternalServerError},
	} {
		f := setup(t, withParts(t, &partsIngester{failFrom: 3, err: c.err}))
		r := f.post("[" + strings.Join(manyRecords(3000), ",") + "]").want(http.StatusMultiStatus)
		got := into[batch](r)
		if len(got.Items) != 3000 || got.Summary["created"] != 2048 || got.Summary["rejected"] != 952 {
			t.Errorf("%s: %d items, %v", name, len(got.Items), got.Summary)
		}
		last := got.Items[2048]
		if last.StatusCode != c.status || last.Status != "rejected" || last.Error == nil || got.Items[2047].StatusCode != http.StatusCreated {
			t.Errorf("%s: %+v", name, last)
		}
		if strings.Contains(string(r.body), "SELECT") {
			t.Errorf("%s: the answer shows the inside", name)
		}
		if logged := strings.Contains(f.log.String(), "SELECT secret"); logged != (c.status == http.StatusInternalServerError) {
			t.Errorf("%s: logged is %v", name, logged)
		}
		f = setup(t, withParts(t, &partsIngester{failFrom: 1, err: c.err}))
		f.post("[" + strings.Join(manyRecords(3000), ",") + "]").wantProblem(c.status)
	}
}
