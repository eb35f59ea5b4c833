package mqtt_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
	"google.golang.org/protobuf/encoding/protowire"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/mqtttest"
	"plantgate/internal/mqtt/sparkplug"
)

// sparkplugConnection is a host application of every group.
func sparkplugConnection(addr string) config.MQTTConnection {
	c := connection(addr)
	c.Sparkplug = config.Sparkplug{
		Enabled: true, HostID: "host 1", SiteID: "main", NodeMachine: "{node}", DeviceMachine: "{node}.{device}", RebirthInterval: time.Second,
	}
	return c
}

// births keeps births in memory, and can be away.
type births struct {
	mu   sync.Mutex
	list map[string]mes.SparkplugBirth
	away bool
}

func (b *births) SparkplugBirths(context.Context, string) ([]mes.SparkplugBirth, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return nil, mes.Errorf(mes.CodeUnavailable, "the store is away")
	}
	var list []mes.SparkplugBirth
	for _, v := range b.list {
		list = append(list, v)
	}
	return list, nil
}

func (b *births) ChangeSparkplugBirths(_ context.Context, _ string, c mes.SparkplugChange) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return mes.Errorf(mes.CodeUnavailable, "the store is away")
	}
	for _, address := range c.Drop {
		delete(b.list, address)
	}
	if c.Put != nil {
		b.list[c.Put.Address] = *c.Put
	}
	return nil
}

func (b *births) addresses() string {
	list, _ := b.SparkplugBirths(context.Background(), "")
	var names []string
	for _, v := range list {
		names = append(names, v.Address)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// message is a payload of one metric, "speed" as Int32, under an alias in data.
func message(seq uint64, birth bool, value uint64) string {
	var m []byte
	if birth {
		m = protowire.AppendString(protowire.AppendTag(m, 1, protowire.BytesType), "speed")
		m = protowire.AppendVarint(protowire.AppendTag(m, 4, protowire.VarintType), uint64(sparkplug.Int32))
	}
	m = protowire.AppendVarint(protowire.AppendTag(m, 2, protowire.VarintType), 1)
	m = protowire.AppendVarint(protowire.AppendTag(m, 10, protowire.VarintType), value)
	p := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(time.Now().UnixMilli()))
	p = protowire.AppendBytes(protowire.AppendTag(p, 2, protowire.BytesType), m)
	return string(protowire.AppendVarint(protowire.AppendTag(p, 3, protowire.VarintType), seq))
}

func newSparkplugAdapter(t *testing.T, cfg config.MQTTConnection, ing *mqtttest.Ingester, b *births) *mqtt.Adapter {
	t.Helper()
	a, err := mqtt.New(cfg, mqtt.Deps{Ingester: ing, Deliveries: ing, Decoder: mqtttest.Decoder{}, Births: b, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// isState tells whether a packet is the state of the host.
func isState(p packets.Packet, online string) bool {
	return p.TopicName == "spBv1.0/STATE/host 1" && strings.HasPrefix(string(p.Payload), `{"online":`+online+`,"timestamp":`) &&
		p.FixedHeader.Retain && p.FixedHeader.Qos == 1
}

// waitFor reads what is published until one fits.
func (r *receiving) waitFor(t *testing.T, what string, fits func(p packets.Packet) bool) packets.Packet {
	t.Helper()
	for {
		p := r.wait(t)
		if fits(p) {
			return p
		}
		if strings.HasPrefix(p.TopicName, "spBv1.0/STATE") || strings.Contains(p.TopicName, "/NCMD/") {
			t.Fatalf("instead of %s came %s %q", what, p.TopicName, p.Payload)
		}
	}
}

// TestSparkplugHost: births, data and a gap become records and a request; the state of the
// host is its birth, its will and its farewell, and is said again if the broker has
// another.
func TestSparkplugHost(t *testing.T) {
	t.Parallel()
	hook := newReceiving()
	addr := startBare(t, hook)
	ing, kept := mqtttest.NewIngester(), &births{list: map[string]mes.SparkplugBirth{}}
	a := newSparkplugAdapter(t, sparkplugConnection(addr), ing, kept)
	stop := run(t, a)
	born := hook.waitFor(t, "the birth of the host", func(p packets.Packet) bool { return isState(p, "true") })
	node := mqtttest.Connect(t, mqtttest.Options("tcp://"+addr, "node"))
	publish := func(topic, payload string) { mqtttest.Publish(t, node, topic, 0, payload) }

	publish("spBv1.0/g/NBIRTH/n", message(0, true, 5))
	publish("spBv1.0/g/DBIRTH/n/d", message(1, true, 6))
	publish("spBv1.0/g/DDATA/n/d", message(2, false, 0xFFFFFFFF))
	publish("spBv1.0/g/DDATA/n/d", message(4, false, 8))
	command := hook.waitFor(t, "a request", func(p packets.Packet) bool { return p.TopicName == "spBv1.0/g/NCMD/n" })
	if p, err := sparkplug.Decode(command.Payload); err != nil || p.Metrics[0].Name != "Node Control/Rebirth" || command.FixedHeader.Retain || command.FixedHeader.Qos != 0 {
		t.Errorf("the request is %v, %v", p, err)
	}
	publish("plant/M1/data", "other")
	var got []string
	for _, r := range ing.WaitRecords(t, 7) {
		text := r.MachineID
		for _, s := range r.Signals {
			text += " " + s.Name + "=" + s.Value.Text()
		}
		got = append(got, text)
	}
	want := []string{"n sparkplug.online=true", "n speed=5", "n.d sparkplug.online=true", "n.d speed=6", "n.d speed=-1", "n.d speed=8", "M1"}
	if !slices.Equal(got, want) {
		t.Errorf("stored are %q, not %q", got, want)
	}
	mqtttest.Eventually(t, "the births are kept", func() bool { return kept.addresses() == "g/n g/n/d" })

	// The will of a former session comes late.
	retained := node.Publish("spBv1.0/STATE/host 1", 1, true, `{"online":false,"timestamp":1}`)
	mqtttest.Wait(t, retained)
	hook.waitFor(t, "the late will", func(p packets.Packet) bool { return isState(p, "false") })
	again := hook.waitFor(t, "the state of the host", func(p packets.Packet) bool { return isState(p, "true") })
	if !bytes.Equal(again.Payload, born.Payload) {
		t.Errorf("the state %s became %s", born.Payload, again.Payload)
	}
	// Its own births do not make it speak again.
	stop()
	hook.waitFor(t, "the farewell", func(p packets.Packet) bool { return isState(p, "false") })
	if n := len(ing.Records()); n != 7 {
		t.Errorf("%d records: the states of hosts are none", n)
	}
}

// TestSparkplugWill: the broker has the death of the host with the time of its birth.
func TestSparkplugWill(t *testing.T) {
	t.Parallel()
	hook := newReceiving()
	proxy := mqtttest.NewProxy(t, startBare(t, hook))
	run(t, newSparkplugAdapter(t, sparkplugConnection(proxy.Addr()), mqtttest.NewIngester(), noBirths()))
	birth := hook.waitFor(t, "the birth", func(p packets.Packet) bool { return isState(p, "true") })
	proxy.Cut()
	death := hook.waitFor(t, "the will", func(p packets.Packet) bool { return isState(p, "false") })
	if want := strings.Replace(string(birth.Payload), "true", "false", 1); string(death.Payload) != want {
		t.Errorf("the birth is %s, the will %s", birth.Payload, death.Payload)
	}
	hook.waitFor(t, "the next birth", func(p packets.Packet) bool { return isState(p, "true") })
}

func noBirths() *births { return &births{list: map[string]mes.SparkplugBirth{}} }

// TestSparkplugRequestsAreFew: a node that does not answer is asked once in the interval,
// however much it sends.
func TestSparkplugRequestsAreFew(t *testing.T) {
	t.Parallel()
	hook := newReceiving()
	addr := startBare(t, hook)
	ing := mqtttest.NewIngester()
	runUp(t, newSparkplugAdapter(t, sparkplugConnection(addr), ing, noBirths()))
	node := mqtttest.Connect(t, mqtttest.Options("tcp://"+addr, "node"))
	const messages = 20
	for i := range messages {
		mqtttest.Publish(t, node, "spBv1.0/g/NDATA/n", 1, message(uint64(i), false, 1))
		time.Sleep(60 * time.Millisecond)
	}
	for _, r := range ing.WaitRecords(t, messages) {
		if r.Fault == nil || r.Origin.Format != "sparkplug" {
			t.Fatalf("data of an unknown node became %+v", r)
		}
	}
	asked := 0
	for len(hook.got) > 0 {
		if p := <-hook.got; p.TopicName == "spBv1.0/g/NCMD/n" {
			asked++
		}
	}
	if asked < 1 || asked > 3 {
		t.Errorf("in %d messages the node was asked %d times", messages, asked)
	}
}

// TestSparkplugAfterRestart: births that were kept go on, and nodes that are silent are
// asked as well.
func TestSparkplugAfterRestart(t *testing.T) {
	t.Parallel()
	hook := newReceiving()
	addr := startBare(t, hook)
	kept := noBirths()
	cfg := sparkplugConnection(addr)
	ing := mqtttest.NewIngester()
	stop := run(t, newSparkplugAdapter(t, cfg, ing, kept))
	hook.waitFor(t, "the state", func(p packets.Packet) bool { return isState(p, "true") })
	node := mqtttest.Connect(t, mqtttest.Options("tcp://"+addr, "node"))
	mqtttest.Publish(t, node, "spBv1.0/g/NBIRTH/n", 0, message(0, true, 5))
	ing.WaitRecords(t, 2)
	stop() // the broker has a session, so deaths don't go by
	hook.waitFor(t, "the farewell", func(p packets.Packet) bool { return isState(p, "false") })
	runUp(t, newSparkplugAdapter(t, cfg, ing, kept))
	hook.waitFor(t, "the state", func(p packets.Packet) bool { return isState(p, "true") })
	mqtttest.Publish(t, node, "spBv1.0/g/NDATA/n", 1, message(77, false, 6))
	if r := ing.WaitRecords(t, 3)[2]; r.Fault != nil || r.Signals[0].Name != "speed" {
		t.Errorf("data after a restart became %+v", r)
	}
	for r := hook.wait(t); r.TopicName != "spBv1.0/g/NCMD/n"; r = hook.wait(t) { // a request
		if strings.Contains(r.TopicName, "/NCMD/") {
			t.Fatalf("%s is asked", r.TopicName)
		}
	}
}

// TestSparkplugStoreAway: births that can't be kept count in memory, and are kept later.
func TestSparkplugStoreAway(t *testing.T) {
	t.Parallel()
	hook := newReceiving()
	addr := startBare(t, hook)
	kept := noBirths()
	ing := mqtttest.NewIngester()
	a := newSparkplugAdapter(t, sparkplugConnection(addr), ing, kept)
	mqtt.SetBirthRetry(a, 50*time.Millisecond)
	runUp(t, a)
	kept.mu.Lock()
	kept.away = true
	kept.mu.Unlock()
	node := mqtttest.Connect(t, mqtttest.Options("tcp://"+addr, "node"))
	mqtttest.Publish(t, node, "spBv1.0/g/NBIRTH/n", 1, message(0, true, 5))
	mqtttest.Publish(t, node, "spBv1.0/g/DBIRTH/n/d", 1, message(1, true, 5))
	mqtttest.Publish(t, node, "spBv1.0/g/NDATA/n", 1, message(2, false, 6))
	if r := ing.WaitRecords(t, 5)[4]; r.Fault != nil {
		t.Errorf("without the store data became %v", r.Fault)
	}
	kept.mu.Lock()
	kept.away = false
	kept.mu.Unlock()
	time.Sleep(60 * time.Millisecond)
	mqtttest.Publish(t, node, "spBv1.0/g/NDATA/n", 1, message(3, false, 7))
	mqtttest.Eventually(t, "the births are kept", func() bool { return kept.addresses() == "g/n g/n/d" })
}

// TestSparkplugWithoutDot: what RabbitMQ makes of spBv1.0 without its setting is kept, and
// says what to do; the subscriptions stay.
func TestSparkplugWithoutDot(t *testing.T) {
	t.Parallel()
	cfg := sparkplugConnection(startBare(t, newReceiving()))
	cfg.Subscriptions = []config.Subscription{{Topic: "spBv1/0/#"}} // as its session brings it
	ing := mqtttest.NewIngester()
	runUp(t, newSparkplugAdapter(t, cfg, ing, noBirths()))
	node := mqtttest.Connect(t, mqtttest.Options(cfg.URL, "node"))
	for range 2 {
		mqtttest.Publish(t, node, "spBv1/0/g/NDATA/n", 1, message(1, false, 6))
	}
	for _, r := range ing.WaitRecords(t, 2) {
		if r.Fault == nil || !strings.Contains(r.Fault.Error(), "mqtt.sparkplug = true") || len(r.Payload) == 0 {
			t.Errorf("it became %+v", r)
		}
	}
}
