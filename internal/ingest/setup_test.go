package ingest_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// faultStore is a store in memory that can be held and made to fail.
type faultStore struct {
	mu       sync.Mutex
	records  map[mes.ID]mes.Record
	items    map[mes.ID]mes.QuarantineItem
	kept     []mes.Delivery
	known    map[string]bool
	groups   []int           // records of each committed transaction
	gate     chan struct{}   // if set, each Update takes a token first
	entered  chan struct{}   // if set, gets a token when an Update begins
	fail     func(int) error // if set, decides on each transaction by its size
	conflict map[string]bool // message ids that are in conflict
	full     chan struct{}   // if set, there is no room until it is closed
	lost     string          // the lease that another server has
	// unstorable is the machine whose records it can't hold.
	unstorable string
}

func newFaultStore() *faultStore {
	return &faultStore{records: map[mes.ID]mes.Record{}, items: map[mes.ID]mes.QuarantineItem{}, known: map[string]bool{}, conflict: map[string]bool{}}
}

type faultTx struct {
	s       *faultStore
	records []mes.Record
	items   []mes.QuarantineItem
	seen    int

	deliveries []mes.Delivery
	last       bool // nothing but records may come
}

func (s *faultStore) Update(_ context.Context, fn func(ingest.Tx) error) error {
	if s.entered != nil {
		s.entered <- struct{}{}
	}
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	tx := &faultTx{s: s}
	if err := fn(tx); err != nil {
		return err
	}
	if s.fail != nil {
		if err := s.fail(tx.seen); err != nil {
			return err
		}
	}
	for _, r := range tx.records {
		s.records[r.ID] = r
	}
	for _, i := range tx.items {
		s.items[i.ID] = i
	}
	s.kept = append(s.kept, tx.deliveries...)
	s.groups = append(s.groups, tx.seen)
	return nil
}

func (s *faultStore) QuarantineItem(_ context.Context, id mes.ID) (mes.QuarantineItem, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if item, ok := s.items[id]; ok {
		return item, nil
	}
	return mes.QuarantineItem{}, mes.Errorf(mes.CodeNotFound, "no such item")
}

func (s *faultStore) Room() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.full
}

func (s *faultStore) KnowsEquipment(_ context.Context, site, id string) (bool, error) {
	return s.known[site+"~"+id], nil
}

func (tx *faultTx) AppendRecords(_ context.Context, records []mes.Record, _ ingest.LedgerWindow) ([]mes.Receipt, error) {
	tx.seen = len(records)
	receipts := make([]mes.Receipt, len(records))
	for i, r := range records {
		if r.MachineID == tx.s.unstorable {
			return nil, mes.Wrap(mes.CodeInternal, mes.ErrUnstorable, "the store can't hold it")
		}
		_, there := tx.s.records[r.ID]
		switch {
		case tx.s.conflict[r.MessageID]:
			receipts[i] = mes.Receipt{Status: mes.ReceiptRejected, Fault: mes.Errorf(mes.CodeConflict, "conflict")}
		case there:
			receipts[i] = mes.Receipt{Status: mes.ReceiptDuplicate, ID: r.ID}
		default:
			tx.records = append(tx.records, r)
			receipts[i] = mes.Receipt{Status: mes.ReceiptCreated, ID: r.ID}
		}
	}
	return receipts, nil
}

func (tx *faultTx) Last() { tx.last = true }

func (tx *faultTx) Prove(_ context.Context, owners []mes.Ownership) error {
	for _, o := range owners {
		if o.Lease == tx.s.lost {
			return mes.Wrap(mes.CodeUnavailable, mes.ErrLeaseLost, "another server has taken over")
		}
	}
	return nil
}

func (tx *faultTx) AppendQuarantine(_ context.Context, items []mes.QuarantineItem) error {
	if tx.last && len(items) > 0 {
		return mes.Errorf(mes.CodeInternal, "%d items come after the last", len(items))
	}
	tx.items = append(tx.items, items...)
	return nil
}

func (tx *faultTx) AppendDeliveries(_ context.Context, list []mes.Delivery) error {
	if tx.last && len(list) > 0 {
		return mes.Errorf(mes.CodeInternal, "%d deliveries come after the last", len(list))
	}
	tx.deliveries = append(tx.deliveries, list...)
	return nil
}

func (tx *faultTx) ResolveQuarantine(_ context.Context, item mes.QuarantineItem) error {
	if tx.last {
		return mes.Errorf(mes.CodeInternal, "an item is resolved after the last")
	}
	if tx.s.items[item.ID].State != mes.QuarantineOpen {
		return mes.Errorf(mes.CodeConflict, "not open")
	}
	tx.items = append(tx.items, item)
	return nil
}

type setup struct {
	*ingest.Service
	store *faultStore
	stop  func() error
}

func start(t *testing.T, change func(*ingest.Options, *faultStore)) setup {
	t.Helper()
	opts := ingest.Options{
		Sites: sites(t), MaxFuture: 5 * time.Minute, DedupeWindow: time.Hour, Unknown: ingest.RegisterUnknown,
		QueueRecords: 100, QueueBytes: 1 << 20, Clock: func() time.Time { return received },
	}
	store := newFaultStore()
	if change != nil {
		change(&opts, store)
	}
	s := ingest.New(store, decoder(t), opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	var err error
	stop := func() error {
		once.Do(func() { cancel(); err = <-done })
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return setup{s, store, stop}
}

// awaitWaiting returns when n records wait for the writer.
func (s setup) awaitWaiting(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); s.Stats().Waiting < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d records wait, want %d", s.Stats().Waiting, n)
		}
	}
}

// reading makes a record at received plus an offset.
func reading(machine string, offset time.Duration) mes.Record {
	return mes.Record{
		SiteID: "main", MachineID: machine, DataType: mes.Telemetry, Time: received.Add(offset), TimeOrigin: mes.TimeSource,
		ReceivedAt: received, Signals: []mes.Signal{{Name: "x", Value: mes.Int(1)}}, Payload: []byte("{}"),
	}
}
