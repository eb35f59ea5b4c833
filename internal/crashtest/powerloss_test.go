package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/powerloss"
	"plantgate/internal/store"
)

// How often the power is cut: as often as the time allows (the race detector
// makes SQLite tens of times slower), and cutsPerPlant times that of one plant.
const (
	mostCuts, leastCuts = 150, 10
	cutsPerPlant        = 5
	cutTime             = 8 * time.Second
)

// intake is the whole way of machine data from a door's call to the disk, on
// files that lose power, and every receipt that it gave.
type intake struct {
	vfs     *powerloss.VFS
	store   *store.Store
	service *ingest.Service
	stopped chan error // what Run returned

	mu    sync.Mutex
	given []given
	begun int
}

// given is a batch and the answer to it.
type given struct {
	number   int
	receipts []mes.Receipt
}

// newService returns the ingest service as the program configures it.
func newService(t *testing.T, s *store.Store) *ingest.Service {
	t.Helper()
	sites, err := ingest.NewSites("main", map[string]string{"main": "UTC"})
	if err != nil {
		t.Fatal(err)
	}
	decoder := ingest.NewDecoder(ingest.Limits{MaxRecord: 256 << 10, MaxBatch: 10_000, MaxDepth: 32}, sites)
	return ingest.New(s, decoder, ingest.Options{
		Sites: sites, MaxFuture: 5 * time.Minute, DedupeWindow: 7 * 24 * time.Hour,
		Unknown: ingest.RegisterUnknown, QueueRecords: 20_000, QueueBytes: 64 << 20,
	})
}

func openIntake(t *testing.T) *intake {
	t.Helper()
	root := t.TempDir()
	vfs, err := powerloss.New(root).Register("crashtest-" + mes.NewID().String())
	if err != nil {
		t.Fatal(err)
	}
	// A short log is copied into the database many times a run.
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(root, "plant.db"),
		store.Options{VFS: vfs.Name, CheckpointPages: 20, Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	in := &intake{vfs: vfs, store: s, service: newService(t, s), stopped: make(chan error, 1)}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() { in.stopped <- in.service.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		err := <-in.stopped
		if errors.Is(err, mes.ErrDurability) {
			err = nil // the test that wants it has seen it
		}
		if err := errors.Join(err, s.Close(), vfs.Close()); err != nil {
			t.Error(err)
		}
	})
	return in
}

// The kinds of batches.
const (
	kindTimes = iota
	kindMessageID
	kindKey
	kindFaulty
	kinds
)

// batchOf makes the batch of a number, the same each time: records with times,
// with message ids, without either under an Idempotency-Key, or messages that
// can only go to quarantine.
func batchOf(n int) []mes.Record {
	batch := make([]mes.Record, 1+n%3)
	for i := range batch {
		r := mes.Record{
			MachineID: fmt.Sprintf("M%d", n%5), DataType: mes.Telemetry,
			Time: time.UnixMicro(1_700_000_000_000_000 + int64(n*10+i)).UTC(), TimeOrigin: mes.TimeSource,
			Origin:  mes.Origin{Door: mes.DoorMQTT, Connection: "plant"},
			Signals: []mes.Signal{{Name: "n", Value: mes.Int(int64(n*10 + i))}},
			Payload: fmt.Appendf(nil, `{"n":%d}`, n*10+i),
		}
		switch kindOf(n) {
		case kindMessageID:
			r.MessageID = fmt.Sprintf("message-%d-%d", n, i)
		case kindKey:
			r.Time, r.TimeOrigin = time.Time{}, mes.TimeReceipt
			r.Idempotency = &mes.Idempotency{Key: fmt.Sprintf("key/%d#%d", n, i), Body: [32]byte{byte(n)}}
		case kindFaulty:
			r.Fault = mes.Errorf(mes.CodeInvalid, "unreadable")
		}
		batch[i] = r
	}
	return batch
}

func kindOf(n int) int { return n / 3 % kinds }

// send ingests one batch, now and then twice at the same time, as senders do
// that lost patience: the answer to a duplicate holds no less than the first.
func (in *intake) send(ctx context.Context) error {
	in.mu.Lock()
	n := in.begun
	in.begun++
	in.mu.Unlock()
	if n%7 != 0 {
		return in.ingest(ctx, n)
	}
	var again error
	var second sync.WaitGroup
	second.Go(func() { again = in.ingest(ctx, n) })
	err := in.ingest(ctx, n)
	second.Wait()
	return errors.Join(err, again)
}

func (in *intake) ingest(ctx context.Context, n int) error {
	receipts, err := in.service.Ingest(ctx, batchOf(n))
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.given = append(in.given, given{n, receipts})
	return nil
}

// cut cuts the power before the given operation on the files, while several
// senders are at work, and returns the folder that is left and the receipts that
// were given by then.
func (in *intake) cut(t *testing.T, operation int, random *rand.Rand) (folder string, receipts []given) {
	t.Helper()
	folder = t.TempDir()
	done := make(chan struct{})
	var failed error
	in.vfs.AtOperation(operation, func(s powerloss.Still) {
		in.mu.Lock()
		receipts = append(receipts, in.given...)
		in.mu.Unlock()
		failed = s.Snapshot(folder, random)
		close(done)
	})
	var senders sync.WaitGroup
	for range 6 {
		senders.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := in.send(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	senders.Wait()
	if failed != nil {
		t.Fatal(failed)
	}
	return folder, receipts
}

// verify opens what is left and says which receipt does not hold. Then the
// senders send everything again, as after a power cut they do: each must get
// the answer of the first time, and nothing may be stored.
func verify(t *testing.T, folder string, receipts []given) (err error) {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(folder, "plant.db"), store.Options{Readers: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.CheckSchema(t.Context()); err != nil {
		return err
	}
	for _, g := range receipts {
		for _, r := range g.receipts {
			if err := holds(t.Context(), s, r); err != nil {
				return fmt.Errorf("batch %d, %s: %w", g.number, r.Status, err)
			}
		}
	}
	before, err := s.Records(t.Context(), mes.RecordFilter{Limit: 1_000_000})
	if err != nil {
		return err
	}
	if err := sendAgain(t, s, receipts); err != nil {
		return err
	}
	after, err := s.Records(t.Context(), mes.RecordFilter{Limit: 1_000_000})
	if err == nil && len(after) != len(before) {
		err = fmt.Errorf("%d records became %d when they were sent again", len(before), len(after))
	}
	return err
}

// holds looks for what a receipt says is stored.
func holds(ctx context.Context, s *store.Store, r mes.Receipt) error {
	if r.Status == mes.ReceiptQuarantined {
		_, err := s.QuarantineItem(ctx, r.ID)
		return err
	}
	_, err := s.Record(ctx, r.ID)
	return err
}

func sendAgain(t *testing.T, s *store.Store, receipts []given) error {
	t.Helper()
	var records []mes.Record
	var first []mes.Receipt
	for _, g := range receipts {
		if kindOf(g.number) != kindFaulty {
			records = append(records, batchOf(g.number)...)
			first = append(first, g.receipts...)
		}
	}
	service := newService(t, s)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- service.Run(ctx) }()
	again, err := service.Ingest(ctx, records)
	stop()
	err = errors.Join(err, <-stopped)
	for i, r := range again {
		if r.ID != first[i].ID || r.Status != mes.ReceiptDuplicate && !r.Repeated {
			err = errors.Join(err, fmt.Errorf("a record was answered with %s %s, and again with %s %s",
				first[i].Status, first[i].ID, r.Status, r.ID))
		}
	}
	return err
}

// TestPowerLoss cuts the power at moments by chance. Every receipt that was
// given before must hold.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	cuts, total := 0, 0
	begun := time.Now()
	for first := 0; first < mostCuts && (first < leastCuts || time.Since(begun) < cutTime); first += cutsPerPlant {
		in := openIntake(t)
		for seed := first; seed < first+cutsPerPlant; seed++ {
			random := rand.New(rand.NewPCG(uint64(seed), 11))
			kept := random // what was not synced is kept in part
			if seed%3 == 0 {
				kept = nil // or lost
			}
			folder, receipts := in.cut(t, 1+random.IntN(3000), kept)
			if err := verify(t, folder, receipts); err != nil {
				t.Fatalf("cut %d after %d receipts: %v", seed, len(receipts), err)
			}
			cuts, total = cuts+1, total+len(receipts)
		}
	}
	t.Logf("%d power cuts, %d receipts hold", cuts, total)
}

// TestPowerLossIsFound makes sure that the check can fail: on files that are
// never synced, receipts do not hold.
func TestPowerLossIsFound(t *testing.T) {
	t.Parallel()
	for name, kept := range map[string]*rand.Rand{"nothing kept": nil, "some kept": rand.New(rand.NewPCG(1, 11))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := openIntake(t)
			in.vfs.IgnoreSync()
			folder, receipts := in.cut(t, 600, kept)
			if len(receipts) == 0 {
				t.Fatal("no receipt was given before the cut")
			}
			err := verify(t, folder, receipts)
			if err == nil {
				t.Error("without syncs nothing was lost")
			}
			t.Log(err)
		})
	}
}

// failedSync is the result code of a sync that failed (SQLITE_IOERR_FSYNC).
const failedSync = 10 | 4<<8

// TestFailedSyncEndsIngest fails the syncs while several senders wait: none gets
// a receipt, neither then nor when the disk seems well again, and Run ends with
// ErrDurability.
func TestFailedSyncEndsIngest(t *testing.T) {
	t.Parallel()
	in := openIntake(t)
	for range 20 {
		if err := in.send(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	kept := len(in.given)
	in.vfs.FailSync(failedSync)
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			if err := in.send(t.Context()); mes.ErrorCode(err) != mes.CodeUnavailable {
				t.Errorf("a sender got %v", err)
			}
		})
	}
	senders.Wait()
	err := <-in.stopped
	if !errors.Is(err, mes.ErrDurability) {
		t.Errorf("Run ended with %v", err)
	}
	in.stopped <- err // for the clean-up
	in.vfs.FailSync(0)
	if err := in.send(t.Context()); mes.ErrorCode(err) != mes.CodeUnavailable {
		t.Errorf("after the failure a sender got %v", err)
	}
	if len(in.given) != kept {
		t.Errorf("%d batches got a receipt", len(in.given)-kept)
	}
}
