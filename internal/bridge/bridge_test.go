package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"plantgate/internal/bridge"
	"plantgate/internal/mes"
	"plantgate/internal/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var day = time.Date(2025, 11, 3, 6, 45, 23, 966_780_000, time.UTC)

// box is an outbox that may be away.
type box struct {
	mu       sync.Mutex
	messages []outbox.Message
	away     bool
	waiting  int64
	dropped  int
}

func (b *box) Wake() {}

func (b *box) Drop(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropped += n
}

func (b *box) lost() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}

func (b *box) EnqueueMessages(_ context.Context, list []outbox.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return fmt.Errorf("put: %w", mes.ErrStoreAway)
	}
	b.messages = append(b.messages, list...)
	return nil
}

func (b *box) WaitingOf(context.Context, string) (outbox.Waiting, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return outbox.Waiting{}, mes.ErrStoreAway
	}
	return outbox.Waiting{Messages: b.waiting}, nil
}

func (b *box) be(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
}

// sent are the messages as topic and payload.
func (b *box) sent() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []string
	for _, m := range b.messages {
		list = append(list, m.Topic+" "+string(m.Payload))
	}
	return list
}

// committed is an ingester that takes everything, or fails.
type committed struct{ err error }

func (c committed) Ingest(_ context.Context, batch []mes.Record) ([]mes.Receipt, error) {
	receipts := make([]mes.Receipt, len(batch))
	for i := range batch {
		receipts[i].Status = mes.ReceiptCreated
		if batch[i].Fault != nil {
			receipts[i].Status = mes.ReceiptQuarantined
		}
	}
	return receipts, c.err
}

func always(topic string) bridge.Topic {
	return func(string, string) (string, error) { return topic, nil }
}

func settings() bridge.Settings {
	return bridge.Settings{
		Connection: "plc", Target: "mqtt:hall", Snapshot: always("opc_data/all_variables"), Variable: always("opc_data/my_variable"), QoS: 1,
		MaxAge: time.Hour, MaxWaiting: 100,
		Variables: []bridge.Variable{{"main", "M1", "Stored"}, {"main", "M1", "Synchronous"}, {"main", "M1", "Asynchronous"}},
	}
}

// open starts a bridge that ends with the test.
func open(t *testing.T, s bridge.Settings, to *box) *bridge.Bridge {
	t.Helper()
	b, err := bridge.New(s, bridge.Deps{Store: to, Queue: to, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	return b
}

func reading(signal string, v mes.Value, at time.Time) mes.Record {
	return mes.Record{
		SiteID: "main", MachineID: "M1", Time: at, ReceivedAt: at.Add(time.Second), Signals: []mes.Signal{{Name: signal, Value: v}},
		Origin: mes.Origin{Door: mes.DoorOPCUA, Address: "ns=1;s=Objects/MyFolder/" + signal},
	}
}

func store(t *testing.T, b *bridge.Bridge, batch ...mes.Record) {
	t.Helper()
	if _, err := b.Ingester(committed{}).Ingest(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, to *box, want []string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); len(to.sent()) < len(want) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if diff := cmp.Diff(want, to.sent()); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

// TestShapes: what subscribers know, in the order of the times, a snapshot for each moment.
func TestShapes(t *testing.T) {
	t.Parallel()
	to := &box{}
	b := open(t, settings(), to)
	bad := reading("Stored", mes.Int(7), day.Add(2*time.Second))
	bad.StatusCode = 0x80000000
	receipt := reading("Synchronous", mes.Int(11), time.Time{})
	receipt.ReceivedAt = day.Add(3 * time.Second)
	fault := mes.Record{SiteID: "main", MachineID: "M1", Time: day.Add(time.Hour), Fault: mes.Errorf(mes.CodeInvalid, "no")}
	store(t, b, reading("Synchronous", mes.Int(10), day.Add(time.Second)), reading("Stored", mes.Int(29), day), reading("Asynchronous", mes.String("\"é"), day.Add(time.Second)), fault)
	store(t, b, bad, receipt, reading("Stored", mes.Int(29), day), reading("Stored", mes.Int(28), day.Add(-time.Hour)))
	const one, all = "opc_data/my_variable ", "opc_data/all_variables "
	await(t, to, []string{
		one + `{"node_id":"ns=1;s=Objects/MyFolder/Stored","value":29,"timestamp":"2025-11-03 06:45:23.966780"}`,
		all + `{"timestamp":"2025-11-03 06:45:23.966780","variables":{"Stored":29,"Synchronous":null,"Asynchronous":null}}`,
		one + `{"node_id":"ns=1;s=Objects/MyFolder/Synchronous","value":10,"timestamp":"2025-11-03 06:45:24.966780"}`,
		one + `{"node_id":"ns=1;s=Objects/MyFolder/Asynchronous","value":"\"é","timestamp":"2025-11-03 06:45:24.966780"}`,
		all + `{"timestamp":"2025-11-03 06:45:24.966780","variables":{"Stored":29,"Synchronous":10,"Asynchronous":"\"é"}}`,
		one + `{"node_id":"ns=1;s=Objects/MyFolder/Stored","value":null,"timestamp":"2025-11-03 06:45:25.966780"}`,
		all + `{"timestamp":"2025-11-03 06:45:25.966780","variables":{"Stored":null,"Synchronous":10,"Asynchronous":"\"é"}}`,
		one + `{"node_id":"ns=1;s=Objects/MyFolder/Synchronous","value":11,"timestamp":"2025-11-03 06:45:26.966780"}`,
		all + `{"timestamp":"2025-11-03 06:45:26.966780","variables":{"Stored":null,"Synchronous":11,"Asynchronous":"\"é"}}`,
	})
	to.mu.Lock()
	defer to.mu.Unlock()
	for _, m := range to.messages {
		if m.Target != "mqtt:hall" || m.QoS != 1 || !m.ExpiresAt.Equal(m.CreatedAt.Add(time.Hour)) || m.ID == (mes.ID{}) {
			t.Errorf("a message %+v", m)
		}
	}
}

// TestTopicsOfMachines: each machine has a snapshot of its own where the topic says so.
func TestTopicsOfMachines(t *testing.T) {
	t.Parallel()
	s := settings()
	s.Variable = nil
	s.Snapshot = func(site, machine string) (string, error) { return "opc/" + site + "/" + machine, nil }
	s.Variables = []bridge.Variable{{"main", "M1", "A"}, {"main", "M2", "A"}}
	to := &box{}
	b := open(t, s, to)
	other := reading("A", mes.Int(2), day)
	other.MachineID = "M2"
	store(t, b, reading("A", mes.Int(1), day), other)
	const times = `{"timestamp":"2025-11-03 06:45:23.966780","variables":`
	await(t, to, []string{"opc/main/M1 " + times + `{"A":1}}`, "opc/main/M2 " + times + `{"A":2}}`})
}

// TestNothingIsPublishedThatIsNotStored: a batch that failed comes again.
func TestNothingIsPublishedThatIsNotStored(t *testing.T) {
	t.Parallel()
	s := settings()
	s.Snapshot = nil
	to := &box{}
	b := open(t, s, to)
	failed := errors.New("full")
	batch := []mes.Record{reading("Stored", mes.Int(1), day)}
	if _, err := b.Ingester(committed{failed}).Ingest(t.Context(), batch); !errors.Is(err, failed) {
		t.Fatalf("got %v", err)
	}
	store(t, b, reading("Stored", mes.Int(2), day.Add(time.Second)))
	await(t, to, []string{`opc_data/my_variable {"node_id":"ns=1;s=Objects/MyFolder/Stored","value":2,"timestamp":"2025-11-03 06:45:24.966780"}`})
}

// TestAwayDatabase: values are stored without delay while the outbox is away, and what was
// to be published goes when it is back, in order.
func TestAwayDatabase(t *testing.T) {
	t.Parallel()
	s := settings()
	s.Snapshot = nil
	to := &box{away: true}
	b := open(t, s, to)
	var want []string
	for i := range 250 {
		at := day.Add(time.Duration(i) * time.Second)
		store(t, b, reading("Stored", mes.Int(int64(i)), at))
		want = append(want, fmt.Sprintf(`opc_data/my_variable {"node_id":"ns=1;s=Objects/MyFolder/Stored","value":%d,"timestamp":"%s"}`, i, at.Format("2006-01-02 15:04:05.000000")))
	}
	time.Sleep(10 * time.Millisecond)
	if got := to.sent(); len(got) != 0 {
		t.Fatalf("published %v", got)
	}
	to.be(false)
	await(t, to, want)
	if n := to.lost(); n != 0 {
		t.Errorf("%d dropped", n)
	}
}

// TestBounds: what has no room is counted, the newest is kept.
func TestBounds(t *testing.T) {
	t.Parallel()
	s := settings()
	s.Snapshot = nil
	to := &box{away: true}
	b := open(t, s, to)
	var batch []mes.Record
	for i := range 10_003 {
		batch = append(batch, reading("Stored", mes.Int(int64(i)), day.Add(time.Duration(i)*time.Second)))
	}
	store(t, b, batch...)
	to.be(false)
	for deadline := time.Now().Add(10 * time.Second); len(to.sent()) < 10_000 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if got := to.sent(); len(got) != 10_000 || !strings.Contains(got[0], `"value":3,`) || to.lost() != 3 {
		t.Errorf("%d published, %d dropped", len(got), to.lost())
	}

	full := &box{waiting: 100}
	b = open(t, s, full)
	store(t, b, reading("Stored", mes.Int(1), day))
	for deadline := time.Now().Add(10 * time.Second); full.lost() == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if full.lost() != 1 || len(full.sent()) != 0 {
		t.Errorf("with a full outbox %d are dropped, %v published", full.lost(), full.sent())
	}
}
