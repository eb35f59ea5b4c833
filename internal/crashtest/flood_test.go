//go:build integration

package crashtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"plantgate/internal/mqtt/brokertest"
	"plantgate/internal/mqtt/mqtttest"
)

// The short form of a flood is a third of the faults of the long one;
// PLANTGATE_TEST_FLOOD is its number of messages.
const (
	shortFlood = 4_000
	longFlood  = 100_000
	// floodPublishers are so many, every second one of Python, the others of Node.
	floodPublishers = 20
	floodPatience   = 30 * time.Second
)

// faults are how often what happens to a flood.
type faults struct{ kills, restarts, cuts int }

// scaled are the faults of a flood of so many messages.
func (f faults) scaled(messages int) faults {
	if messages >= longFlood {
		return f
	}
	third := func(n int) int { return (n + 2) / 3 }
	return faults{third(f.kills), third(f.restarts), third(f.cuts)}
}

// flood is what comes by a broker from publishers that each number their messages.
type flood struct {
	*plant
	broker   *brokertest.Broker
	link     *mqtttest.Proxy
	messages int
	timed    bool
	// pause is that of each publisher between two messages.
	pause time.Duration
}

// TestFlood lets programs of other makers publish with QoS 1 while the server is killed,
// the broker restarted and the link between them cut: with a time of their own, each
// message is stored once, and without one as well as long as nobody but the server
// fails. Where publishers send again what the broker had, those come again.
func TestFlood(t *testing.T) {
	t.Parallel()
	binary := build(t)
	for name, broker := range map[string]func(testing.TB) *brokertest.Broker{
		"mosquitto": brokertest.Mosquitto, "rabbitmq": brokertest.RabbitMQ,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for name, tt := range map[string]struct {
				timed bool
				faults
			}{
				"with times":    {true, faults{kills: 10, restarts: 5, cuts: 20}},
				"without times": {false, faults{kills: 10, restarts: 5, cuts: 20}},
			} {
				t.Run(name, func(t *testing.T) {
					f := openFlood(t, binary, broker(t))
					f.timed, f.pause = tt.timed, 20*time.Millisecond
					f.run(tt.faults.scaled(f.messages))
				})
			}
			// As fast as they can, so that the broker always waits for acknowledgements.
			t.Run("without times, only kills", func(t *testing.T) {
				f := openFlood(t, binary, broker(t))
				n := faults{kills: 10}.scaled(f.messages)
				f.messages = max(f.messages, 4*shortFlood)
				f.run(n)
			})
		})
	}
}

func openFlood(t *testing.T, binary string, b *brokertest.Broker) *flood {
	t.Helper()
	messages := int(number(t, "PLANTGATE_TEST_FLOOD", shortFlood))
	link := mqtttest.NewProxy(t, b.Addr())
	p := startPlant(t, binary, "{log: {delay: 500ms}}", fmt.Sprintf(`
  connections:
  - name: plant
    url: mqtt://%s
    client_id: plantgate-flood
    username: %s
    password: %s
    keep_alive: 5s
    subscriptions:
    - {topic: "flood/{machine}", format: flat}
`, link.Addr(), b.Username, b.Password))
	f := &flood{plant: p, broker: b, link: link, messages: messages / floodPublishers * floodPublishers}
	f.awaitRunning()
	return f
}

// awaitRunning waits for the connection: before its first subscription the broker keeps
// nothing.
func (f *flood) awaitRunning() {
	f.t.Helper()
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if f.connection() == "running" {
			return
		}
	}
	f.t.Fatal("the connection does not come up")
}

// run floods the broker, makes the faults meanwhile, and compares what is stored.
func (f *flood) run(n faults) {
	f.t.Helper()
	begun := time.Now()
	wait := f.publish()
	f.suffer(n)
	resent := wait()
	f.ready()
	f.compare(n, resent)
	f.t.Logf("%d messages by %d publishers, %d sent again, while the server was killed %d times, the broker restarted %d times and the link cut %d times: %s",
		f.messages, floodPublishers, resent, n.kills, n.restarts, n.cuts, time.Since(begun).Round(time.Second))
}

// publish starts the publishers and returns what waits for them, and for how many
// messages they sent again.
func (f *flood) publish() (wait func() (resent int)) {
	f.t.Helper()
	host, port, err := net.SplitHostPort(f.broker.Addr())
	if err != nil {
		f.t.Fatal(err)
	}
	scripts := filepath.Join("testdata", "publishers")
	each := f.messages / floodPublishers
	timed := "0"
	if f.timed {
		timed = "1"
	}
	var commands []*exec.Cmd
	var outputs, errors []*bytes.Buffer
	for i := range floodPublishers {
		machine := fmt.Sprintf("F%02d", i)
		program, script := python(f.t), "flood.py"
		if i%2 == 1 {
			program, script = "node", "flood.mjs"
		}
		cmd := exec.CommandContext(f.t.Context(), program, filepath.Join(scripts, script), host, port, f.broker.Username,
			f.broker.Password, "publisher-"+machine, "flood/"+machine, strconv.Itoa(each), strconv.Itoa(i*each), timed,
			strconv.FormatInt(f.pause.Milliseconds(), 10))
		var out, faults bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &faults
		if err := cmd.Start(); err != nil {
			f.t.Fatal(err)
		}
		commands, outputs, errors = append(commands, cmd), append(outputs, &out), append(errors, &faults)
	}
	return func() (resent int) {
		f.t.Helper()
		for i, cmd := range commands {
			var last struct{ Acked, Resent int }
			if err := cmd.Wait(); err != nil {
				f.t.Fatalf("publisher %d: %v\n%s", i, err, lastLines(errors[i].String()))
			}
			if err := json.Unmarshal(outputs[i].Bytes(), &last); err != nil || last.Acked != each {
				f.t.Fatalf("publisher %d says %q: %v", i, outputs[i], err)
			}
			resent += last.Resent
		}
		return resent
	}
}

// python returns an interpreter that has paho-mqtt.
func python(t *testing.T) string {
	t.Helper()
	path := os.Getenv("PLANTGATE_TEST_PYTHON")
	if path == "" {
		path = filepath.Join("..", "..", ".venv", "bin", "python")
	}
	if out, err := exec.Command(path, "-c", "import paho.mqtt.client").CombinedOutput(); err != nil {
		t.Fatalf("this test needs Python with paho-mqtt, at .venv/bin/python or in PLANTGATE_TEST_PYTHON: %v\n%s", err, out)
	}
	return path
}

// suffer makes the faults, one after the other in an order by chance.
func (f *flood) suffer(n faults) {
	f.t.Helper()
	var events []func()
	add := func(times int, event func()) {
		for range times {
			events = append(events, event)
		}
	}
	add(n.kills, func() {
		if err := f.process.Kill(); err != nil {
			f.t.Fatal(err)
		}
		f.start()
		f.ready()
	})
	add(n.restarts, func() { f.broker.Restart(f.t) })
	add(n.cuts, func() { f.link.Cut() })
	f.random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for _, event := range events {
		time.Sleep(time.Duration(f.random.Int64N(int64(time.Second))))
		event()
	}
}

// compare reads what is stored, once everything has come or nothing comes any more.
func (f *flood) compare(n faults, resent int) {
	f.t.Helper()
	times := map[int]int{}
	var total int
	deadline := time.Now().Add(floodPatience)
	for ; ; time.Sleep(time.Second) {
		found, err := list[storedRecord](f.driver, "/data", url.Values{"source": {"mqtt"}, "order": {"asc"}})
		if err != nil {
			f.t.Fatal(err)
		}
		clear(times)
		for _, r := range found {
			times[r.number()]++
		}
		if len(found) > total { // a broker with a small window takes its time
			deadline = time.Now().Add(floodPatience)
		}
		if total = len(found); len(times) == f.messages || time.Now().After(deadline) {
			break
		}
	}
	var missing, several int
	for i := range f.messages {
		switch times[i] {
		case 0:
			missing++
		case 1:
		default:
			several++
		}
	}
	if missing > 0 || len(times) != f.messages {
		f.t.Errorf("%d of %d messages are missing, and %d are stored", missing, f.messages, len(times))
	}
	most := f.messages
	if !f.timed && n.restarts > 0 {
		most += resent
	}
	if total > most {
		f.t.Errorf("%d records, %d messages of them several times; at most %d are right", total, several, most)
	}
}
