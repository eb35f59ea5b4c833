package apply_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"plantgate/internal/apply"
	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tx is what a transaction of the tests' store would add.
type tx struct {
	records []mes.ID
	items   []mes.QuarantineItem
}

// memory is a store in memory. It fails as the test says.
type memory struct {
	mu      sync.Mutex
	applied journal.Applied
	durable journal.Applied // what a power cut would leave
	tx
	calls int
	// fail is asked before each commit; gate is waited for.
	fail func(call int, t *tx) error
	gate chan struct{}
	// work is done in each transaction.
	work func()
}

func (s *memory) Apply(_ context.Context, to journal.Applied, durable bool, fn func(*tx) error) error {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	var t tx
	if err := fn(&t); err != nil {
		return err
	}
	if s.work != nil {
		s.work()
	}
	if s.fail != nil {
		if err := s.fail(s.calls, &t); err != nil {
			return err
		}
	}
	s.records, s.items = append(s.records, t.records...), append(s.items, t.items...)
	s.applied = to
	if durable {
		s.durable = to
	}
	return nil
}

// steps note what they are given.
func steps() []apply.Step[*tx] {
	return []apply.Step[*tx]{
		{Name: "records", Apply: func(_ context.Context, t *tx, b *journal.Batch) error {
			for i := range b.Records {
				t.records = append(t.records, b.Records[i].ID)
			}
			return nil
		}},
		{Name: "items", Apply: func(_ context.Context, t *tx, b *journal.Batch) error {
			t.items = append(t.items, b.Items...)
			return nil
		}},
	}
}

// noIndex knows nothing: all that the tests commit is new.
type noIndex struct{ journal.Index }

func (noIndex) LastTime(context.Context, string, string) (time.Time, error) { return time.Time{}, nil }
func (noIndex) HasRecord(context.Context, string, string, mes.Position, bool) (bool, error) {
	return false, nil
}

// plant is a log, a store and what applies the one to the other.
type plant struct {
	t       *testing.T
	folder  string
	log     *wal.Log
	journal *journal.Journal
	store   *memory
	runner  *apply.Runner[*tx]
	ended   chan error
	stop    context.CancelFunc
	// sent are the ids of all records, in order.
	sent []mes.ID
}

func open(t *testing.T, o apply.Options) *plant {
	t.Helper()
	p := &plant{t: t, folder: t.TempDir(), store: &memory{}}
	p.open(o)
	t.Cleanup(func() {
		if err := p.log.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// open takes up the log where the store is.
func (p *plant) open(o apply.Options) {
	p.t.Helper()
	var err error
	if p.log, err = wal.Open(p.folder, wal.Options{SegmentSize: 4 << 10}); err != nil {
		p.t.Fatal(err)
	}
	p.store.applied = journal.Begin(p.log, p.store.applied)
	p.journal, err = journal.Open(p.t.Context(), p.log, noIndex{}, p.store.applied, journal.Options{MaxRecords: 1 << 20, MaxBytes: 1 << 30})
	if err != nil {
		p.t.Fatal(err)
	}
	p.runner = apply.New(p.journal, p.store, p.store.applied, steps(), o)
}

func (p *plant) reopen(o apply.Options) {
	p.t.Helper()
	if err := p.log.Close(); err != nil {
		p.t.Fatal(err)
	}
	p.open(o)
}

// start runs the runner until end, at the latest until the test ends.
func (p *plant) start() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.t.Context()))
	ended := make(chan error, 1)
	p.stop, p.ended = cancel, ended
	runner := p.runner
	go func() { ended <- runner.Run(ctx) }()
	p.t.Cleanup(func() {
		cancel()
		err := <-ended
		ended <- err
	})
}

// end stops the runner and returns what it returned.
func (p *plant) end() error {
	p.stop()
	err := <-p.ended
	p.ended <- err
	return err
}

// commit makes a group of so many records durable.
func (p *plant) commit(size int) {
	p.t.Helper()
	records := make([]mes.Record, size)
	for i := range records {
		r := mes.Record{
			SiteID: "s", MachineID: "m", DataType: mes.Telemetry, TimeOrigin: mes.TimeSource,
			Time: time.UnixMicro(int64(1_700_000_000_000_000 + len(p.sent))).UTC(), ReceivedAt: time.UnixMicro(1_700_000_000_000_000).UTC(), Payload: make([]byte, 200),
		}
		r.Identify(mes.ID{})
		records[i] = r
		p.sent = append(p.sent, r.ID)
	}
	err := p.journal.Update(p.t.Context(), func(t ingest.Tx) error {
		_, err := t.AppendRecords(p.t.Context(), records, ingest.LedgerWindow{})
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// wantApplied compares the store with the first of what was sent.
func (p *plant) wantApplied(n int) {
	p.t.Helper()
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	if !slices.Equal(p.store.records, p.sent[:n]) {
		p.t.Errorf("the store has %d records, and not the first %d in their order", len(p.store.records), n)
	}
}

func (p *plant) wait() {
	p.t.Helper()
	if err := p.runner.Wait(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

func busy() error { return mes.Errorf(mes.CodeUnavailable, "busy") }

var errBroken = errors.New("broken")
