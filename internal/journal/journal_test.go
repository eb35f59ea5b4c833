package journal_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/powerloss"
	"plantgate/internal/wal"
)

// TestOpenRefuses looks at logs and stores that do not belong together, and at
// frames that can't be read.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(p *plant)
		code   mes.Code
		says   string
	}{
		"another log":   {func(p *plant) { p.index.applied.LogID++ }, mes.CodePrecondition, "another database"},
		"no log before": {func(p *plant) { p.index.applied = journal.Applied{} }, mes.CodePrecondition, "another database"},
		"an older database": {func(p *plant) {
			before := p.index.applied
			p.apply(1<<20, 1)
			for range 200 { // segments are given back whole
				p.mustAdd(record("m", 1000+int(p.Pending())))
			}
			if err := p.Release(p.End()); err != nil {
				p.t.Fatal(err)
			}
			p.index.applied = before
		}, mes.CodePrecondition, "older copy"},
		"an older log":     {func(p *plant) { p.index.applied.Position = p.End() + 1 }, mes.CodePrecondition, "older copy"},
		"another format":   {func(p *plant) { p.appendRaw([]byte{99, 1}) }, mes.CodeInternal, "another version"},
		"a damaged frame":  {func(p *plant) { p.appendRaw([]byte{1, 4, 1, 0, 7}) }, mes.CodeInternal, "damaged at byte"},
		"a missing record": {func(p *plant) { p.index.applied.Arrivals -= 2 }, mes.CodeInternal, "number"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, plenty())
			p.mustAdd(record("m", 1), record("m", 2))
			p.apply(1<<20, 1)
			p.mustAdd(record("m", 3))
			test.change(p)
			_, err := journal.Open(t.Context(), p.log, p.index, p.index.applied, plenty())
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("opened: %v", err)
			}
			if code := mes.ErrorCode(err); code != test.code {
				t.Errorf("the error's code is %s", code)
			}
		})
	}
}

// appendRaw appends what no journal wrote.
func (p *plant) appendRaw(frame []byte) {
	p.t.Helper()
	if _, err := p.log.Append(frame); err != nil {
		p.t.Fatal(err)
	}
}

// TestFullJournal fills a journal and makes room again.
func TestFullJournal(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]journal.Options{
		"records": {MaxRecords: 3, MaxBytes: 1 << 30},
		"bytes":   {MaxRecords: 1 << 20, MaxBytes: 300},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, options)
			n := 0
			for ; p.Room() == nil; n++ {
				p.mustAdd(record("m", n))
			}
			if n < 3 || n > 10 {
				t.Fatalf("full after %d records", n)
			}
			end, room := p.End(), p.Room()
			_, err := p.add(record("m", n))
			var full *mes.Error
			if !errors.As(err, &full) || full.Code != mes.CodeUnavailable || full.RetryAfter <= 0 ||
				errors.Is(err, mes.ErrDurability) || p.End() != end {
				t.Fatalf("a full journal took a record: %v", err)
			}
			select {
			case <-room:
				t.Fatal("there is room while nothing was applied")
			default:
			}
			p.apply(1<<20, 1)
			if name == "bytes" {
				if err := p.Release(p.index.applied.Position); err != nil {
					t.Fatal(err)
				}
			}
			<-room
			if p.Room() != nil || p.Pending() != 0 {
				t.Errorf("%d records are pending", p.Pending())
			}
			wantReceipt(t, "what was refused", p.mustAdd(record("m", n))[0], created(record("m", n)))
		})
	}
}

// TestFullLog: a log that takes no more is not one that failed.
func TestFullLog(t *testing.T) {
	t.Parallel()
	log, err := wal.Open(t.TempDir(), wal.Options{MaxSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	x := newIndex()
	x.applied = journal.Begin(log, x.applied)
	j, err := journal.Open(t.Context(), log, x, x.applied, plenty())
	if err != nil {
		t.Fatal(err)
	}
	large := record("m", 1)
	large.Payload = make([]byte, 2000)
	p := &plant{Journal: j, t: t, log: log}
	_, err = p.add(large)
	if mes.ErrorCode(err) != mes.CodeUnavailable || errors.Is(err, mes.ErrDurability) {
		t.Errorf("a log without room: %v", err)
	}
	p.mustAdd(record("m", 1))
}

// TestFailedLogEndsCommits: after a failed sync every commit is a failure of
// durability, even when the disk seems well again.
func TestFailedLogEndsCommits(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	disk := powerloss.New(root)
	log, err := wal.Open(filepath.Join(root, "log"), wal.Options{SegmentSize: 16 << 10, FS: disk.Files()})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	x := newIndex()
	x.applied = journal.Begin(log, x.applied)
	j, err := journal.Open(t.Context(), log, x, x.applied, plenty())
	if err != nil {
		t.Fatal(err)
	}
	p := &plant{Journal: j, t: t, log: log}
	p.mustAdd(record("m", 1))
	disk.FailSync(sqlite3.SQLITE_IOERR_FSYNC)
	for range 2 {
		if _, err := p.add(record("m", 2)); !errors.Is(err, mes.ErrDurability) || mes.ErrorCode(err) != mes.CodeUnavailable {
			t.Errorf("a failed sync: %v", err)
		}
		disk.FailSync(0)
	}
	if p.Pending() != 1 {
		t.Errorf("%d records count as durable", p.Pending())
	}
}

// TestArrivalNumbers commits groups of any size, some of which fail, applies some
// of them, in part too, and starts anew: no number is left out or used twice.
func TestArrivalNumbers(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 17))
	p := open(t, plenty())
	numbers := map[int64]mes.ID{}
	var order []mes.ID
	n := 0
	group := func() []mes.Record {
		records := make([]mes.Record, random.IntN(5))
		for i := range records {
			records[i] = record("m", n)
			n++
		}
		return records
	}
	refused := errors.New("refused")
	for range 400 {
		switch random.IntN(6) {
		case 0:
			_ = p.Update(t.Context(), func(tx ingest.Tx) error {
				_, err := tx.AppendRecords(t.Context(), group(), window())
				return errors.Join(err, refused)
			})
		case 1:
			if err := quarantine(p, mes.QuarantineItem{ID: mes.NewID(), ReceivedAt: now()}); err != nil {
				t.Fatal(err)
			}
		case 2:
			p.applyNumbered(random, numbers)
		case 3:
			p.restart()
		default:
			for _, r := range p.mustAdd(group()...) {
				order = append(order, r.ID)
			}
		}
	}
	for p.Pending() > 0 {
		p.applyNumbered(random, numbers)
	}
	if len(numbers) != len(order) {
		t.Fatalf("%d records have a number of %d", len(numbers), len(order))
	}
	for i, id := range order {
		if numbers[int64(i+1)] != id {
			t.Fatalf("number %d is of %s, and not of %s", i+1, numbers[int64(i+1)], id)
		}
	}
}

// applyNumbered applies one batch, now and then only a part of it, as a store does
// that takes records one by one.
func (p *plant) applyNumbered(random *rand.Rand, numbers map[int64]mes.ID) {
	p.t.Helper()
	var b journal.Batch
	before := p.index.applied
	if err := p.Reader(before.Position).Next(&b, 1+random.IntN(10), 1<<20); err != nil {
		return // there is nothing
	}
	b.Skip(before.Arrivals)
	whole := b.To
	if len(b.Records) > 1 && random.IntN(3) == 0 {
		b.Records = b.Records[:1+random.IntN(len(b.Records)-1)]
		b.Deliveries, b.Items, b.Resolved, b.To = nil, nil, nil, before.Position
	}
	for i := range b.Records {
		number := b.FirstArrival + int64(i)
		if id, ok := numbers[number]; ok {
			p.t.Fatalf("number %d is of %s and of %s", number, id, b.Records[i].ID)
		}
		numbers[number] = b.Records[i].ID
	}
	p.index.apply(&b)
	if b.To == whole || len(b.Records) > 0 {
		p.Applied(&b)
	}
}

// TestCommitsAtOnce commits the same records from several goroutines while they
// are applied: each is created once. The store takes them before the journal
// forgets them.
func TestCommitsAtOnce(t *testing.T) {
	t.Parallel()
	p := open(t, plenty())
	x := &lockedIndex{index: p.index}
	j, err := journal.Open(t.Context(), p.log, x, p.index.applied, plenty())
	if err != nil {
		t.Fatal(err)
	}
	p.Journal = j
	var mu sync.Mutex
	made := map[mes.ID]int{}
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for n := range 300 {
				receipts, err := p.add(record("m", n))
				if err != nil {
					t.Error(err)
					return
				}
				if receipts[0].Status == mes.ReceiptCreated {
					mu.Lock()
					made[receipts[0].ID]++
					mu.Unlock()
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		senders.Wait()
		close(done)
	}()
	r := p.Reader(p.index.applied.Position)
	for running := true; running || p.Pending() > 0; {
		select {
		case <-done:
			running = false
		default:
		}
		var b journal.Batch
		if err := r.Next(&b, 10, 1<<20); err != nil {
			continue
		}
		x.apply(&b)
		p.Applied(&b)
	}
	if len(made) != 300 || len(x.records) != 300 {
		t.Errorf("%d records were created and %d are stored of 300", len(made), len(x.records))
	}
	for id, times := range made {
		if times != 1 {
			t.Errorf("%s was created %d times", id, times)
		}
	}
}

// lockedIndex may be read while something is applied.
type lockedIndex struct {
	*index
	mu sync.Mutex
}

func (x *lockedIndex) apply(b *journal.Batch) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.index.apply(b)
}

func (x *lockedIndex) LastTime(ctx context.Context, siteID, machineID string) (time.Time, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.index.LastTime(ctx, siteID, machineID)
}

func (x *lockedIndex) HasRecord(ctx context.Context, siteID, machineID string, p mes.Position, exact bool) (bool, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.index.HasRecord(ctx, siteID, machineID, p, exact)
}
