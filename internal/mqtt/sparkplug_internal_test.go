package mqtt

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt/mqtttest"
	"plantgate/internal/mqtt/sparkplug"
)

// shelf keeps births in memory; it can be away, and silent.
type shelf struct {
	mu     sync.Mutex
	list   map[string]mes.SparkplugBirth
	away   error
	silent chan struct{} // calls wait for its end, if there is one
}

func newShelf() *shelf { return &shelf{list: map[string]mes.SparkplugBirth{}} }

func (s *shelf) SparkplugBirths(context.Context, string) ([]mes.SparkplugBirth, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.list)), s.away
}

func (s *shelf) ChangeSparkplugBirths(ctx context.Context, _ string, c mes.SparkplugChange) error {
	if s.silent != nil {
		select {
		case <-s.silent:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return s.away
	}
	for _, address := range c.Drop {
		delete(s.list, address)
	}
	if c.Put != nil {
		s.list[c.Put.Address] = *c.Put
	}
	return nil
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = err
}

func (s *shelf) holds() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(s.list)), " ")
}

var errAway = mes.Wrap(mes.CodeUnavailable, mes.ErrStoreAway, "the store is away")

// plant is a process that is fed as by a broker, beside what outlives processes.
type plant struct {
	t       *testing.T
	ing     *mqtttest.Ingester
	births  *shelf
	adapter *Adapter
	session *session
	sent    time.Time
	stop    func()
}

func newPlant(t *testing.T) *plant {
	p := &plant{t: t, ing: mqtttest.NewIngester(), births: newShelf(), sent: time.UnixMilli(1764208800000), stop: func() {}}
	p.start(true)
	return p
}

// start ends the process without a farewell, and begins the next.
func (p *plant) start(kept bool) {
	p.t.Helper()
	p.stop()
	a, err := New(config.MQTTConnection{
		Name: "plant", URL: "tcp://127.0.0.1:1", ClientID: "x",
		Sparkplug: config.Sparkplug{Enabled: true, HostID: "h", SiteID: "main", NodeMachine: "{node}", DeviceMachine: "{node}.{device}"},
	}, Deps{Ingester: p.ing, Deliveries: p.ing, Births: p.births, Decoder: mqtttest.Decoder{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		p.t.Fatal(err)
	}
	p.adapter = a
	if !a.recall(p.t.Context()) {
		p.t.Fatal("what came last was not read")
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { a.consume(ctx) })
	running.Go(func() { a.sparkplug.keeper.run(ctx) })
	p.stop = func() { cancel(); running.Wait() }
	p.t.Cleanup(p.stop)
	p.connect(kept)
}

func (p *plant) connect(kept bool) {
	ended := make(chan struct{})
	close(ended)
	p.session = &session{a: p.adapter, kept: kept, answered: ended, ended: ended}
	p.adapter.sparkplug.connected()
}

// said is a payload with its topic.
type said struct{ topic, payload string }

// say is a payload of one metric: its name in births, its alias in data.
func (p *plant) say(kind, address, name string, value uint64) said {
	var m []byte
	if name != "" {
		m = protowire.AppendString(protowire.AppendTag(m, 1, protowire.BytesType), name)
		m = protowire.AppendVarint(protowire.AppendTag(m, 4, protowire.VarintType), uint64(sparkplug.Int32))
	}
	m = protowire.AppendVarint(protowire.AppendTag(m, 2, protowire.VarintType), 1)
	m = protowire.AppendVarint(protowire.AppendTag(m, 10, protowire.VarintType), value)
	p.sent = p.sent.Add(time.Second)
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(p.sent.UnixMilli()))
	if kind != "NDEATH" && kind != "DDEATH" {
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), m)
	}
	return said{"spBv1.0/g/" + kind + "/" + address, string(b)}
}

func (p *plant) deliver(s said, qos byte, dup bool) said {
	p.adapter.queue.force(delivery{
		Message: Message{Topic: s.topic, Payload: []byte(s.payload), ReceivedAt: time.Now()},
		qos:     qos, dup: dup, session: p.session, ack: func() {}, binding: -1,
	})
	return s
}

// settle waits until everything is stored that was delivered.
func (p *plant) settle() {
	p.t.Helper()
	mqtttest.Eventually(p.t, "the commit", p.adapter.queue.isEmpty)
}

func (p *plant) expect(want ...string) {
	p.t.Helper()
	p.ing.WaitRecords(p.t, len(want))
	p.settle()
	var got []string
	for _, r := range p.ing.Records() {
		text := r.MachineID
		for _, s := range r.Signals {
			text += fmt.Sprintf(" %s=%s", s.Name, s.Value.Text())
		}
		if r.Fault != nil {
			text += " fault"
		}
		got = append(got, text)
	}
	if !slices.Equal(got, want) {
		p.t.Errorf("stored are\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestSparkplugKilledBeforeCommit: nothing is known of a birth or a death that was not
// stored, so the next process stores all that they mean.
func TestSparkplugKilledBeforeCommit(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	release := p.ing.Hold()
	birth := p.deliver(p.say("NBIRTH", "n", "temp", 1), 1, false)
	p.ing.WaitCalls(t, 1)
	time.Sleep(20 * time.Millisecond)
	if got := p.births.holds(); got != "" {
		t.Errorf("before the commit are kept the births of %s", got)
	}
	p.start(true)
	release()
	p.deliver(birth, 1, true)
	p.deliver(p.say("DBIRTH", "n/d", "temp", 2), 0, false)
	before := []string{"n sparkplug.online=true", "n temp=1", "n.d sparkplug.online=true", "n.d temp=2"}
	p.expect(before...)
	mqtttest.Eventually(t, "the births are kept", func() bool { return p.births.holds() == "g/n g/n/d" })

	release = p.ing.Hold()
	calls := p.ing.Calls()
	death := p.deliver(p.say("NDEATH", "n", "", 0), 1, false)
	p.ing.WaitCalls(t, calls+1)
	p.start(true)
	release()
	p.deliver(death, 1, true)
	p.expect(append(before, "n sparkplug.online=false", "n.d sparkplug.online=false")...)
	mqtttest.Eventually(t, "the births are forgotten", func() bool { return p.births.holds() == "" })
}

// TestSparkplugOutdatedBirths: births that could not be kept before a kill, and deaths, are
// known by the marks in their commits: no data are read by the former ones.
func TestSparkplugOutdatedBirths(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	for _, node := range []string{"n", "dead", "same"} {
		p.deliver(p.say("NBIRTH", node, "temp", 1), 0, false)
	}
	p.deliver(p.say("DBIRTH", "n/d", "temp", 1), 0, false)
	p.settle()
	mqtttest.Eventually(t, "the births are kept", func() bool { return p.births.holds() == "g/dead g/n g/n/d g/same" })
	p.births.fail(errAway)
	p.deliver(p.say("NBIRTH", "n", "press", 2), 0, false)
	p.deliver(p.say("NDEATH", "dead", "", 0), 1, false)
	want := []string{
		"n sparkplug.online=true", "n temp=1", "dead sparkplug.online=true", "dead temp=1", "same sparkplug.online=true", "same temp=1",
		"n.d sparkplug.online=true", "n.d temp=1", "n press=2", "dead sparkplug.online=false",
	}
	p.expect(want...)
	p.stop()
	p.births.mu.Lock()
	former := maps.Clone(p.births.list) // of before the outage
	former["g/n"] = mes.SparkplugBirth{Address: "g/n", Payload: []byte(p.say("NBIRTH", "n", "temp", 1).payload)}
	former["g/dead"] = mes.SparkplugBirth{Address: "g/dead", Payload: []byte(p.say("NBIRTH", "dead", "temp", 1).payload)}
	former["g/n/d"] = mes.SparkplugBirth{Address: "g/n/d", Payload: []byte(p.say("DBIRTH", "n/d", "temp", 1).payload)}
	p.births.list, p.births.away = former, nil
	p.births.mu.Unlock()
	p.start(true)
	if got := fmt.Sprint(p.adapter.sparkplug.host.Unconfirmed()); got != "[g/n g/same]" {
		t.Errorf("to be asked are %s", got)
	}
	for _, node := range []string{"n", "dead", "same"} {
		p.deliver(p.say("NDATA", node, "", 7), 0, false)
	}
	p.deliver(p.say("DDATA", "n/d", "", 7), 0, false)
	// It is not certain that it was told of.
	p.deliver(p.say("NBIRTH", "n", "flow", 3), 0, false)
	p.expect(append(want, "n fault", "dead fault", "same temp=7", "n.d fault", "n sparkplug.online=true", "n flow=3")...)
	mqtttest.Eventually(t, "the birth of the dead is forgotten", func() bool { return p.births.holds() == "g/n g/same" })
}

// TestSparkplugStoreAwayAtStart: without births, and the store silent, messages are stored.
func TestSparkplugStoreAwayAtStart(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.births.fail(errAway)
	p.births.silent = make(chan struct{})
	p.start(true)
	began := time.Now()
	p.deliver(p.say("NDATA", "n", "", 7), 0, false)
	p.deliver(p.say("NBIRTH", "n", "temp", 1), 0, false)
	p.deliver(p.say("NDATA", "n", "", 8), 0, false)
	p.expect("n fault", "n sparkplug.online=true", "n temp=1", "n temp=8")
	if took := time.Since(began); took > birthTimeout/2 {
		t.Errorf("it took %s", took)
	}
	close(p.births.silent)
}

// TestSparkplugSentAgain: data that were stored before a birth gave their alias to another
// metric are known when they come again, and what never came before it is not read by it.
func TestSparkplugSentAgain(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.deliver(p.say("NBIRTH", "n", "temp", 1), 0, false)
	lost := p.say("NDATA", "n", "", 4)
	stored := p.deliver(p.say("NDATA", "n", "", 5), 1, false)
	p.deliver(p.say("NBIRTH", "n", "press", 2), 0, false)
	want := []string{"n sparkplug.online=true", "n temp=1", "n temp=5", "n press=2"}
	p.expect(want...)
	p.connect(true)
	p.deliver(stored, 1, true)
	p.deliver(lost, 1, true)
	p.deliver(p.say("NDATA", "n", "", 6), 1, true)
	p.expect(append(want, "n fault", "n press=6")...)
	if got := p.adapter.Status().Repeated; got != 1 {
		t.Errorf("%d were known again", got)
	}
	// In another process too.
	p.start(true)
	p.deliver(stored, 1, true)
	p.deliver(lost, 1, true)
	p.deliver(p.say("NDATA", "n", "", 9), 1, false)
	p.settle()
	if records := p.ing.Records(); records[len(records)-1].Signals[0].Name != "press" {
		t.Errorf("the last is %+v", records[len(records)-1])
	}
}

// TestSparkplugSessionsInOrder: what waits from before the broker lost the session is read
// by the births of then, and what comes after is not.
func TestSparkplugSessionsInOrder(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.deliver(p.say("NBIRTH", "n", "temp", 1), 0, false)
	want := []string{"n sparkplug.online=true", "n temp=1"}
	p.expect(want...)
	release := p.ing.Hold()
	calls := p.ing.Calls()
	p.deliver(p.say("NDATA", "n", "", 2), 0, false)
	p.ing.WaitCalls(t, calls+1)
	p.deliver(p.say("NDATA", "n", "", 3), 0, false)
	p.connect(false)
	p.deliver(p.say("NDATA", "n", "", 4), 0, false)
	release()
	p.expect(append(want, "n temp=2", "n temp=3", "n fault")...)
}

// TestBirthKeeperBounds: of what has no room only is kept that it counts no more.
func TestBirthKeeperBounds(t *testing.T) {
	t.Parallel()
	s := newShelf()
	k := newBirthKeeper("plant", s, slog.New(slog.DiscardHandler))
	k.maxBytes = 10
	s.list["g/b"] = mes.SparkplugBirth{Address: "g/b", Payload: []byte("old")}
	s.fail(errAway)
	put := func(address, payload string) {
		k.change(mes.SparkplugChange{Put: &mes.SparkplugBirth{Address: address, Payload: []byte(payload)}})
	}
	put("g/a", "12345678")
	put("g/b", "123456")
	if k.left != 1 || k.flush(t.Context()) == nil {
		t.Errorf("%d had no room", k.left)
	}
	put("g/a", "1234") // takes the place of the one before
	put("g/c", "123456")
	k.change(mes.SparkplugChange{Drop: []string{"g/d"}})
	s.fail(nil)
	if err := k.flush(t.Context()); err != nil || s.holds() != "g/a g/c" || k.bytes != 0 || k.left != 0 {
		t.Errorf("%v, %s, %d bytes, %d left", err, s.holds(), k.bytes, k.left)
	}
}
