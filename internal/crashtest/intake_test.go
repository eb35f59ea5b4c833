package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/apply"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/powerloss"
	"plantgate/internal/store"
)

// intake is the whole way of machine data from a door's call to the disk, on
// files that lose power, and every receipt that it gave.
type intake struct {
	vfs     *powerloss.VFS
	storage *app.Storage
	service *ingest.Service
	// written and applied are what the writer and the runner returned.
	written, applied chan error
	// pause is the longest time that a sender waits between two batches.
	pause time.Duration

	mu    sync.Mutex
	given []given
	begun int
}

// given is a batch and the answer to it.
type given struct {
	number   int
	receipts []mes.Receipt
}

const databaseName = "plant.db"

// isLog tells which paths are of the log of arrivals.
func isLog(path string) bool { return strings.Contains(path, "plant.log.d") }

// isLogFolder tells which is its folder, which is synced when the log has a new file
// or one less.
func isLogFolder(path string) bool { return strings.HasSuffix(path, "plant.log.d") }

// isDatabase tells which are SQLite's.
func isDatabase(path string) bool { return strings.Contains(path, databaseName) }

// newService returns the ingest service as the program configures it.
func newService(t *testing.T, s *app.Storage) *ingest.Service {
	t.Helper()
	sites, err := ingest.NewSites("main", map[string]string{"main": "UTC"})
	if err != nil {
		t.Fatal(err)
	}
	decoder := ingest.NewDecoder(ingest.Limits{MaxRecord: 256 << 10, MaxBatch: 10_000, MaxDepth: 32}, sites)
	return ingest.New(s.Journal, decoder, ingest.Options{
		Sites: sites, MaxFuture: 5 * time.Minute, DedupeWindow: 7 * 24 * time.Hour,
		Unknown: ingest.RegisterUnknown, QueueRecords: 20_000, QueueBytes: 64 << 20,
	})
}

// openIntake opens an intake in which everything that is rare comes often: steps
// are small, files of both logs short, and without a pause there is no room again
// and again.
func openIntake(t *testing.T, pause time.Duration) *intake {
	t.Helper()
	root := t.TempDir()
	vfs, err := powerloss.New(root).Register("crashtest-" + mes.NewID().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := app.OpenStorage(t.Context(), "sqlite:"+filepath.Join(root, databaseName), app.StorageOptions{
		Store: store.Options{VFS: vfs.Name, CheckpointRows: 40, Readers: 1},
		LogFS: vfs.Files(), SegmentSize: 8 << 10, MaxPending: 200,
		Apply: apply.Options{MaxDelay: time.Millisecond, FullStep: 16, MaxRecords: 16, ReleaseAfter: 4 << 10},
	})
	if err != nil {
		t.Fatal(err)
	}
	in := &intake{
		vfs: vfs, storage: s, service: newService(t, s), pause: pause,
		written: make(chan error, 1), applied: make(chan error, 1),
	}
	writing, stopWriting := context.WithCancel(context.WithoutCancel(t.Context()))
	applying, stopApplying := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() { in.written <- in.service.Run(writing) }()
	go func() { in.applied <- s.Runner.Run(applying) }()
	t.Cleanup(func() {
		stopWriting()
		err := <-in.written
		stopApplying()
		if err = errors.Join(err, <-in.applied); errors.Is(err, mes.ErrDurability) {
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

// sizeOf is how many records the batch of a number has.
func sizeOf(n int) int { return 1 + n%3 }

// batchOf makes the batch of a number, the same each time: records with times,
// with message ids, without either under an Idempotency-Key, or messages that
// can only go to quarantine.
func batchOf(n int) []mes.Record {
	batch := make([]mes.Record, sizeOf(n))
	for i := range batch {
		r := mes.Record{
			MachineID: fmt.Sprintf("M%d", n%5), DataType: mes.Telemetry,
			Time: time.UnixMicro(1_700_000_000_000_000 + int64(n*10+i)*1_000_000).UTC(), TimeOrigin: mes.TimeSource,
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
	receipts, err := in.service.Patient().Ingest(ctx, batchOf(n))
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.given = append(in.given, given{n, receipts})
	return nil
}

// sendUntil sends from several senders until done is closed.
func (in *intake) sendUntil(t *testing.T, done <-chan struct{}) {
	t.Helper()
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
				if in.pause > 0 {
					time.Sleep(rand.N(in.pause))
				}
			}
		})
	}
	senders.Wait()
}
