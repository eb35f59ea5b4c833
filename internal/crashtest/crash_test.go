//go:build integration

package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"plantgate/internal/journal"
	"plantgate/internal/mqtt/brokertest"
	"plantgate/internal/store"
	"plantgate/internal/wal"
)

// shortKills is how often CI kills the server; PLANTGATE_TEST_KILLS says
// otherwise.
const shortKills = 20

// Moments of a kill after the start: mostly while it works, now and then while it
// still starts.
const (
	longestLife  = 3 * time.Second
	longestStart = 150 * time.Millisecond
	// longestAck is how long the next acknowledgement is waited for.
	longestAck = time.Second
)

const apiKey = "crash-test-bootstrap-key"

// plant is a server with a data folder and an address of its own, which it keeps
// over restarts, and the driver that writes to it by REST and MQTT.
type plant struct {
	*driver
	// name is what the servers of a cluster call it.
	name    string
	program Program
	random  *rand.Rand
	process *Process
	// coldStart is how long the first acknowledgement after a start may take: the life of
	// a server begins with it.
	coldStart time.Duration
	// patience is how long messages that the broker holds may take to arrive.
	patience time.Duration
	// killedStarts are kills before the server listened, or just after, aimed those
	// right after an acknowledgement.
	killedStarts, aimed int
	// tails are kills after which the log held what the database did not, tailRecords
	// is how many records those were.
	tails, tailRecords int
}

// openPlant starts a broker and a server with an embedded database; without a broker
// publishers come to the server's own.
func openPlant(t *testing.T, binary string, broker func(testing.TB) *brokertest.Broker) *plant {
	t.Helper()
	return openPlantOn(t, binary, broker, "{log: {delay: 500ms}}")
}

// openPlantOn starts a broker and a server whose configuration has that section store.
func openPlantOn(t *testing.T, binary string, broker func(testing.TB) *brokertest.Broker, store string) *plant {
	t.Helper()
	access, section := ownBroker(t)
	if broker != nil {
		access, section = realBroker(broker(t))
	}
	p := startPlant(t, binary, store, section)
	p.broker = access
	p.awaitSession()
	return p
}

// startPlant starts a server and waits until it listens; store and mqtt are sections of
// its configuration.
func startPlant(t *testing.T, binary, store, mqtt string) *plant {
	t.Helper()
	seed := number(t, "PLANTGATE_TEST_SEED", uint64(time.Now().UnixNano()))
	t.Logf("PLANTGATE_TEST_SEED=%d repeats the moments of the kills", seed)
	folder, port := t.TempDir(), freePort(t)
	configuration := fmt.Sprintf(`
server: {listen: "127.0.0.1:%d"}
auth: {bootstrap_key: %s}
metrics: {listen: ""}
store: %s
log: {level: warn}
mqtt:
%s`, port, apiKey, store, mqtt)
	file := filepath.Join(folder, "plantgate.yaml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &plant{
		program: Program{Path: binary, Folder: folder, Args: []string{"serve", "--config", file}},
		random:  rand.New(rand.NewPCG(seed, 0)), patience: time.Minute,
	}
	p.driver = &driver{t: t, url: fmt.Sprintf("https://127.0.0.1:%d", port), key: apiKey, ledger: newLedger(), pace: nearlyAtOnce}
	t.Cleanup(func() {
		if err := p.process.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the last process said:\n%s", lastLines(p.process.Stderr()))
		}
	})
	p.start()
	p.ready() // the broker keeps a session from here on, and there is a CA
	p.client = p.newClient()
	return p
}

// newClient returns a client with connections of its own.
func (p *plant) newClient() *http.Client {
	p.t.Helper()
	client, err := p.process.Client()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(client.CloseIdleConnections)
	return client
}

// realBroker is the configuration of a permanent connection.
func realBroker(b *brokertest.Broker) (brokerAccess, string) {
	return brokerAccess{b.URL(), b.Username, b.Password}, fmt.Sprintf(`
  connections:
  - name: plant
    url: mqtt://%s
    client_id: plantgate-crash
    username: %s
    password: %s
    keep_alive: 10s
    subscriptions:
    - {topic: "crash/{machine}", format: flat}
`, b.Addr(), b.Username, b.Password)
}

// ownBroker is the configuration of the server's own broker.
func ownBroker(t *testing.T) (brokerAccess, string) {
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	return brokerAccess{"tcp://" + address, "plant", "plant-secret"}, fmt.Sprintf(`
  broker:
    enabled: true
    listen: %s
    users:
    - {username: plant, password: plant-secret}
    subscriptions:
    - {topic: "crash/{machine}", format: flat}
`, address)
}

// awaitSession publishes one record until it is stored: before the first
// subscription the broker keeps nothing.
func (p *plant) awaitSession() {
	p.t.Helper()
	first := &publisher{d: p.driver, clientID: "driver-first"}
	defer first.close()
	topic, body, n := p.message("FIRST")
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		first.publish(topic, body)
		var page struct{ Items []storedRecord }
		if err := p.get("/data", url.Values{"source": {"mqtt"}}, &page); err == nil && len(page.Items) > 0 {
			p.ledger.ack(n, "")
			return
		}
	}
	p.t.Fatal("nothing comes through the broker")
}

func (p *plant) start() {
	p.t.Helper()
	process, err := p.program.Start()
	if err != nil {
		p.t.Fatal(err)
	}
	p.process = process
}

func (p *plant) ready() {
	p.t.Helper()
	if err := p.process.Ready(); err != nil {
		p.t.Fatal(err)
	}
}

// crash kills the server again and again while the driver writes, starting it
// anew at once, and returns when the last start has taken everything in.
func (p *plant) crash(kills int, life time.Duration) {
	p.t.Helper()
	ctx, stop := context.WithCancel(p.t.Context())
	defer stop()
	written := make(chan struct{})
	go func() {
		defer close(written)
		p.run(ctx, p.random.Uint64())
	}()
	for range kills {
		p.awaitKill(life)
		if err := p.process.Kill(); err != nil {
			p.t.Fatal(err)
		}
		p.readTail()
		p.start()
	}
	p.ready()
	stop()
	<-written
	if err := p.drain(p.patience); err != nil {
		p.t.Fatal(err)
	}
}

// awaitKill waits for the moment of a kill: a quarter come while the server starts,
// half right after an acknowledgement, the others at any time.
func (p *plant) awaitKill(life time.Duration) {
	p.t.Helper()
	moment := p.random.IntN(4)
	if moment == 0 {
		p.killedStarts++
		time.Sleep(time.Duration(p.random.Int64N(int64(max(longestStart, p.coldStart/4)))))
		return
	}
	p.ready()
	p.ledger.awaitAck(p.coldStart)
	time.Sleep(time.Duration(p.random.Int64N(int64(life))))
	if moment > 1 {
		p.aimed++
		p.ledger.awaitAck(longestAck)
	}
}

// readTail counts what the log of a killed server holds beyond its database. It
// looks at a copy of that: opening it would finish what the kill left.
func (p *plant) readTail() {
	p.t.Helper()
	data := filepath.Join(p.program.Folder, "data")
	applied, err := appliedIn(p.t.Context(), data, p.t.TempDir())
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	records, frames := 0, 0
	if err == nil {
		err = wal.Scan(filepath.Join(data, "plantgate.log.d"), applied.LogID, applied.Position, func(frame []byte, end wal.Position) error {
			var b journal.Batch
			err := b.Read(frame, end)
			frames, records = frames+1, records+len(b.Records)
			return err
		})
	}
	if err != nil {
		p.t.Errorf("the tail of the log can't be read: %v", err)
	}
	if frames > 0 {
		p.tails++
		p.tailRecords += records
	}
}

// appliedIn returns how far the database in a folder is, by a copy of it.
func appliedIn(ctx context.Context, data, scratch string) (applied journal.Applied, err error) {
	for _, name := range []string{"plantgate.db", "plantgate.db-wal"} {
		content, err := os.ReadFile(filepath.Join(data, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(scratch, name), content, 0o600)
		}
		if err != nil {
			return applied, err
		}
	}
	s, err := store.Open(ctx, "sqlite:"+filepath.Join(scratch, "plantgate.db"), store.Options{MustExist: true, Readers: 1})
	if err != nil {
		return applied, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.Applied(ctx)
}

// TestKill kills the server at random moments. Whatever was acknowledged must be
// there once, whatever was not at most once.
func TestKill(t *testing.T) {
	t.Parallel()
	binary := build(t)
	kills := int(number(t, "PLANTGATE_TEST_KILLS", shortKills))
	for name, broker := range map[string]func(testing.TB) *brokertest.Broker{
		"mosquitto": brokertest.Mosquitto, "rabbitmq": brokertest.RabbitMQ, "own": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openPlant(t, binary, broker)
			begun := time.Now()
			p.crash(kills, longestLife)
			found := p.verifyAll()
			if code, err := p.process.Stop(os.Interrupt); code != 0 || err != nil {
				t.Errorf("exit code %d, %v:\n%s", code, err, p.process.Stderr())
			}
			if err := verifyFile(t.Context(), filepath.Join(p.program.Folder, "data", "plantgate.db"), len(found)); err != nil {
				t.Error(err)
			}
			for _, door := range []string{"rest", "mqtt"} {
				if acked := p.ledger.acked(door); acked < 10*kills {
					t.Errorf("only %d records were acknowledged by %s: the kills hit little", acked, door)
				}
			}
			if p.tails*2 < kills {
				t.Errorf("after only %d of %d kills the log held what the database did not", p.tails, kills)
			}
			t.Logf("%d kills, %d of them while the server started and %d right after an acknowledgement, in %s; "+
				"after %d of them the log held what the database did not, %d records in all: "+
				"%d records sent, %d acknowledged by REST and %d by MQTT, %d stored",
				kills, p.killedStarts, p.aimed, time.Since(begun).Round(time.Second), p.tails, p.tailRecords,
				len(p.ledger.entries), p.ledger.acked("rest"), p.ledger.acked("mqtt"), len(found))
		})
	}
}

// lastLines are the last lines of a log, without those of clients that ended.
func lastLines(log string) string {
	lines := slices.DeleteFunc(strings.Split(log, "\n"), func(line string) bool { return strings.Contains(line, "client ended") })
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// freePort returns a free port below those that the system gives to outgoing
// connections: one of these could take it while the server is away, even a
// client that connects to itself.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 18_000 + rand.IntN(12_000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}
