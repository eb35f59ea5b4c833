//go:build integration

package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"plantgate/internal/mqtt/brokertest"
)

// The short form, which CI runs: so many commands to so many machines, and so many kills
// of the server; for every three of them the broker is restarted once.
const (
	shortDispatches = 1000
	shortDownKills  = 6
	machines        = 20
)

// dispatchPause is the longest that lies between two commands to a machine.
const dispatchPause = 400 * time.Millisecond

// downlink is a server that sends commands through a broker, and who gets them.
type downlink struct {
	*plant
	real  *brokertest.Broker
	floor *floor
	each  int
	// ids are those that the server gave, by machine and number.
	mu  sync.Mutex
	ids map[string]string
}

func openDownlink(t *testing.T, binary string, broker func(testing.TB) *brokertest.Broker, commands int) *downlink {
	t.Helper()
	b := broker(t)
	section := fmt.Sprintf(`
  connections:
  - name: plant
    url: mqtt://%s
    client_id: plantgate-crash
    username: %s
    password: %s
    keep_alive: 10s
    publish:
    - {topic: "down/{site}/{machine}"}
`, b.Addr(), b.Username, b.Password)
	d := &downlink{real: b, each: commands / machines, ids: map[string]string{}}
	d.floor = newFloor(t, b)
	d.plant = startPlant(t, binary, "{log: {delay: 500ms}}", section)
	return d
}

// floor is the machines: one client with a persistent session.
type floor struct {
	options *paho.ClientOptions

	mu   sync.Mutex
	got  map[string][]arrival // by machine
	all  int
	more chan struct{} // closed and replaced with each arrival
}

// arrival is a command as a machine got it.
type arrival struct {
	n  int
	id string
}

// newFloor subscribes, and connects again whenever the connection is lost, until the end
// of the test.
func newFloor(t *testing.T, b *brokertest.Broker) *floor {
	t.Helper()
	f := &floor{got: map[string][]arrival{}, more: make(chan struct{})}
	f.options = paho.NewClientOptions().AddBroker(b.URL()).SetClientID("the-floor").
		SetUsername(b.Username).SetPassword(b.Password).SetProtocolVersion(4).
		SetCleanSession(false).SetAutoReconnect(false).SetOrderMatters(true).SetConnectTimeout(5 * time.Second).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { f.take(t, m) })
	subscribed := make(chan struct{})
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			f.session(ctx, subscribed)
			pauseFor(ctx, 50*time.Millisecond)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	select {
	case <-subscribed:
	case <-time.After(startTimeout):
		t.Fatal("the floor can't subscribe")
	}
	return f
}

// session is one connection of the floor; it subscribes in the first only.
func (f *floor) session(ctx context.Context, subscribed chan struct{}) {
	lost := make(chan struct{})
	f.options.SetConnectionLostHandler(func(paho.Client, error) { close(lost) })
	client := paho.NewClient(f.options)
	if token := client.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		client.Disconnect(0)
		return
	}
	defer client.Disconnect(100)
	select {
	case <-subscribed:
	default:
		if token := client.Subscribe("down/#", 1, nil); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			return
		}
		close(subscribed)
	}
	select {
	case <-lost:
	case <-ctx.Done():
	}
}

func (f *floor) take(t *testing.T, m paho.Message) {
	var p struct {
		CommandID  string `json:"command_id"`
		MachineID  string `json:"machine_id"`
		Command    string
		Parameters struct{ N int }
	}
	if err := json.Unmarshal(m.Payload(), &p); err != nil || p.CommandID == "" || p.Command != "job_order.dispatch" || m.Topic() != "down/main/"+p.MachineID {
		t.Errorf("at %s came %s", m.Topic(), m.Payload())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got[p.MachineID] = append(f.got[p.MachineID], arrival{p.Parameters.N, p.CommandID})
	f.all++
	close(f.more)
	f.more = make(chan struct{})
}

// awaitNext waits until something arrives.
func (f *floor) awaitNext(timeout time.Duration) {
	f.mu.Lock()
	more := f.more
	f.mu.Unlock()
	select {
	case <-more:
	case <-time.After(timeout):
	}
}

// distinct is how many commands arrived, and how many arrivals there were.
func (f *floor) distinct() (commands, arrivals int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := map[string]bool{}
	for _, list := range f.got {
		for _, a := range list {
			seen[a.id] = true
		}
	}
	return len(seen), f.all
}

// dispatch sends all commands of a machine, each when the one before is accepted.
func (d *downlink) dispatch(machine string, random *rand.Rand) {
	if d.insist("/data", fmt.Sprintf(`{"machine_id":%q,"message_id":"first","x":1}`, machine), "") == nil {
		return
	}
	for n := range d.each {
		answer := d.insist("/api/v1/equipment/"+machine+"/commands",
			fmt.Sprintf(`{"command":"job_order.dispatch","parameters":{"n":%d}}`, n), fmt.Sprintf("%s-%d", machine, n))
		var made struct{ ID string }
		if err := json.Unmarshal(answer, &made); err != nil || made.ID == "" {
			d.t.Errorf("answer %s, %v", answer, err)
			return
		}
		d.mu.Lock()
		d.ids[fmt.Sprintf("%s-%d", machine, n)] = made.ID
		d.mu.Unlock()
		time.Sleep(time.Duration(random.Int64N(int64(dispatchPause))))
	}
}

// insist repeats a request until it is answered with 200 or 201.
func (d *downlink) insist(path, body, key string) []byte {
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(retryPause) {
		req, err := http.NewRequest(http.MethodPost, d.url+path, strings.NewReader(body))
		if err != nil {
			d.t.Error(err)
			return nil
		}
		req.Header = http.Header{"Content-Type": {"application/json"}, "X-Api-Key": {d.key}}
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		resp, err := d.client.Do(req)
		if err != nil {
			continue
		}
		answer, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		switch {
		case err != nil || resp.StatusCode == http.StatusServiceUnavailable:
		case resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusCreated:
			return answer
		default:
			d.t.Errorf("%s answers %s: %s", path, resp.Status, answer)
			return nil
		}
	}
	d.t.Errorf("no answer to %s %s", path, body)
	return nil
}

// disturb kills the server, half of the times right after something arrived, and
// restarts the broker.
func (d *downlink) disturb(kills int) (restarts int) {
	d.t.Helper()
	for i := range kills {
		time.Sleep(time.Duration(d.random.Int64N(int64(1500 * time.Millisecond))))
		away := i%3 == 1
		if away {
			d.real.Stop(d.t)
			restarts++
		} else if d.random.IntN(2) == 0 {
			d.floor.awaitNext(longestAck)
		}
		if err := d.process.Kill(); err != nil {
			d.t.Fatal(err)
		}
		d.start()
		d.ready()
		if away {
			time.Sleep(time.Duration(d.random.Int64N(int64(2 * time.Second)))) // commands gather
			d.real.Start(d.t)
		}
	}
	return restarts
}

// awaitAll waits until no command waits to be sent, and for as long as a subscriber may
// need to get what was sent.
func (d *downlink) awaitAll() {
	d.t.Helper()
	if d.t.Failed() {
		return
	}
	for m := range machines {
		d.awaitSent(fmt.Sprintf("D%d", m))
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); d.floor.awaitNext(100 * time.Millisecond) {
		if n, _ := d.floor.distinct(); n >= machines*d.each {
			return
		}
	}
}

func (d *downlink) awaitSent(machine string) {
	d.t.Helper()
	var last string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var page struct{ Items []struct{ ID, State string } }
		if err := d.get("/api/v1/equipment/"+machine+"/commands", map[string][]string{"state": {"pending"}}, &page); err != nil {
			last = err.Error()
			continue
		}
		if last = fmt.Sprintf("%d are pending", len(page.Items)); len(page.Items) == 0 {
			return
		}
	}
	d.t.Errorf("%s: %s", machine, last)
}

// verify names what is wrong with what arrived.
func (d *downlink) verify() (problems []string) {
	d.floor.mu.Lock()
	defer d.floor.mu.Unlock()
	for m := range machines {
		machine := fmt.Sprintf("D%d", m)
		newest, seen := -1, map[int]bool{}
		for _, a := range d.floor.got[machine] {
			name := fmt.Sprintf("%s-%d", machine, a.n)
			switch {
			case a.id != d.ids[name]:
				problems = append(problems, fmt.Sprintf("%s came as %s, and is %s", name, a.id, d.ids[name]))
			case !seen[a.n] && a.n < newest:
				problems = append(problems, fmt.Sprintf("%s came after %d", name, newest))
			}
			seen[a.n] = true
			newest = max(newest, a.n)
		}
		if len(seen) != d.each {
			problems = append(problems, fmt.Sprintf("%s got %d of %d", machine, len(seen), d.each))
		}
	}
	return problems
}

// run dispatches everything while server and broker are disturbed.
func (d *downlink) run(kills int) (problems []string) {
	d.t.Helper()
	begun := time.Now()
	var senders sync.WaitGroup
	seed := d.random.Uint64()
	for m := range machines {
		senders.Go(func() { d.dispatch(fmt.Sprintf("D%d", m), rand.New(rand.NewPCG(seed, uint64(m)))) })
	}
	restarts := d.disturb(kills)
	senders.Wait()
	d.awaitAll()
	commands, arrivals := d.floor.distinct()
	d.t.Logf("%d kills and %d restarts of the broker in %s: %d commands arrived, %d of them more than once",
		kills, restarts, time.Since(begun).Round(time.Second), commands, arrivals-commands)
	return d.verify()
}

// TestDispatches sends commands while server and broker restart at random: each reaches
// a subscriber with a persistent session, in the order of its machine, none is missing,
// and a repetition has the same id.
func TestDispatches(t *testing.T) {
	t.Parallel()
	binary := build(t)
	kills := int(number(t, "PLANTGATE_TEST_DISPATCH_KILLS", shortDownKills))
	commands := int(number(t, "PLANTGATE_TEST_DISPATCHES", shortDispatches))
	for name, broker := range map[string]func(testing.TB) *brokertest.Broker{
		"mosquitto": brokertest.Mosquitto, "rabbitmq": brokertest.RabbitMQ,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openDownlink(t, binary, broker, commands)
			for _, problem := range d.run(kills) {
				t.Error(problem)
			}
			if code, err := d.process.Stop(os.Interrupt); code != 0 || err != nil {
				t.Errorf("exit code %d, %v:\n%s", code, err, d.process.Stderr())
			}
		})
	}
}

// sentFirst notes that a message was sent before the broker has it.
var sentFirst = edit{
	"internal/outbox/run.go",
	"	if err := r.attempt(r.work, r.deliver, m); err != nil {\n",
	"	_ = r.note(m, r.store.MessageSent)\n	if err := r.attempt(r.work, r.deliver, m); err != nil {\n",
}

// newestFirst sends the newest of a machine's commands first.
var newestFirst = edit{"internal/store/outbox.go", "ORDER BY position LIMIT ?3", "ORDER BY position DESC LIMIT ?3"}

// TestDispatchFaultsAreFound runs programs that lose and disorder commands: the test
// above must see it.
func TestDispatchFaultsAreFound(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change edit
		want   string
	}{
		"sent before the broker has it": {sentFirst, " of "},
		"the newest first":              {newestFirst, "came after"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openDownlink(t, build(t, tt.change), brokertest.Mosquitto, 400)
			problems := d.run(4)
			for _, p := range problems {
				if strings.Contains(p, tt.want) {
					t.Logf("found, of %d: %s", len(problems), p)
					return
				}
			}
			t.Errorf("not found: %q", problems)
		})
	}
}
