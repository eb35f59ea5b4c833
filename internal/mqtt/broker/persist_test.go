package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/broker"
	"plantgate/internal/mqtt/mqtttest"
)

// startIn starts a broker that keeps its sessions in a folder. The caller closes it.
func startIn(t *testing.T, folder string, cfg config.Broker) *broker.Broker {
	t.Helper()
	b, err := broker.Start(cfg, broker.Deps{
		Ingester: mqtttest.NewIngester(), Decoder: mqtttest.Decoder{}, Log: slog.New(slog.DiscardHandler), Folder: folder,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// subscriber gathers what comes on a persistent session.
type subscriber struct {
	mu       sync.Mutex
	payloads []string
	retained int
}

func (s *subscriber) take(_ paho.Client, m paho.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.payloads = append(s.payloads, string(m.Payload()))
	if m.Retained() {
		s.retained++
	}
}

func (s *subscriber) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.payloads...)
}

func (s *subscriber) wait(t *testing.T, n int) []string {
	t.Helper()
	mqtttest.Eventually(t, fmt.Sprintf("%d messages", n), func() bool { return len(s.list()) >= n })
	return s.list()
}

// persistent connects with a session that outlives the connection.
func (s *subscriber) persistent(t *testing.T, b *broker.Broker, id string) paho.Client {
	t.Helper()
	return mqtttest.Connect(t, options(b, id).SetCleanSession(false).SetDefaultPublishHandler(s.take))
}

// TestAbsentSubscriber: more than the in-flight window, published while the client is
// away, across a restart of the broker, comes in order and once; so does what comes after.
func TestAbsentSubscriber(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	b := startIn(t, folder, brokerConfig())
	var sub subscriber
	c := sub.persistent(t, b, "sub")
	mqtttest.Wait(t, c.Subscribe("plant/+/data", 1, nil))
	c.Disconnect(250)
	p := mqtttest.Connect(t, options(b, "pub"))
	for i := range 500 {
		mqtttest.Publish(t, p, "plant/M1/data", 1, fmt.Sprint(i))
	}
	p.Disconnect(250)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = startIn(t, folder, brokerConfig())
	if s := b.Stats(); s.Queued != 500 || s.Persistent != 1 || s.Subscriptions != 1 {
		t.Errorf("after the restart: %+v", s)
	}
	c = sub.persistent(t, b, "sub")
	p = mqtttest.Connect(t, options(b, "pub"))
	for i := 500; i < 600; i++ {
		mqtttest.Publish(t, p, "plant/M1/data", 1, fmt.Sprint(i))
	}
	for i, got := range sub.wait(t, 600) {
		if got != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, got)
		}
	}
	mqtttest.Eventually(t, "all acknowledged", func() bool { return b.Stats().Queued == 0 })
	c.Disconnect(250)
	if n := len(sub.list()); n != 600 {
		t.Errorf("%d messages came, want 600", n)
	}
}

// TestPacketIDsOfBothDirections: a client's own publications do not take away what is
// under way to it under the same packet ids. The server library does.
func TestPacketIDsOfBothDirections(t *testing.T) {
	t.Parallel()
	b := startIn(t, t.TempDir(), brokerConfig())
	raw := dialRaw(t, b, connectPacket(4, 0xc0, "both"))
	raw.expect(t, 0x20)
	raw.send(t, packet(0x82, []byte{0, 100}, text("to/both"), []byte{1}))
	raw.expect(t, 0x90)
	p := mqtttest.Connect(t, options(b, "pub"))
	mqtttest.Publish(t, p, "to/both", 1, "kept")
	first := raw.expect(t, 0x30)
	id := first[len(first)-6 : len(first)-4]
	raw.send(t, packet(0x32, text("elsewhere"), id, []byte("mine"))) // the same packet id
	raw.expect(t, 0x40)
	_ = raw.conn.Close()
	again := dialRaw(t, b, connectPacket(4, 0xc0, "both"))
	if ack := again.expect(t, 0x20); ack[2] != 1 {
		t.Errorf("CONNACK % x does not tell of the session", ack)
	}
	if second := again.expect(t, 0x30); string(second[len(second)-4:]) != "kept" || second[0]&8 == 0 {
		t.Errorf("% x came, want the message again with DUP", second)
	}
}

// TestSlowSubscriberLosesNothing: one that does not acknowledge gets no more than the
// window, and everything once it does.
func TestWindow(t *testing.T) {
	t.Parallel()
	cfg := brokerConfig()
	cfg.Limits.MaxInflight = 3
	b := startIn(t, "", cfg)
	raw := dialRaw(t, b, connectPacket(4, 0xc2, "slow"))
	raw.expect(t, 0x20)
	raw.send(t, packet(0x82, []byte{0, 100}, text("a"), []byte{1}))
	raw.expect(t, 0x90)
	p := mqtttest.Connect(t, options(b, "pub"))
	for i := range 9 {
		mqtttest.Publish(t, p, "a", 1, fmt.Sprint(i))
	}
	var ids [][]byte
	for range 3 {
		pk := raw.expect(t, 0x30)
		ids = append(ids, pk[len(pk)-3:len(pk)-1])
	}
	if s := b.Stats(); s.Inflight != 3 || s.Queued != 9 {
		t.Errorf("in flight %d of %d", s.Inflight, s.Queued)
	}
	raw.none(t)
	for i := 3; i < 9; i++ {
		raw.send(t, packet(0x40, ids[0]))
		ids = ids[1:]
		pk := raw.expect(t, 0x30)
		ids = append(ids, pk[len(pk)-3:len(pk)-1])
		if got := string(pk[len(pk)-1:]); got != fmt.Sprint(i) {
			t.Errorf("%s came, want %d", got, i)
		}
	}
}

func TestRetainedAcrossRestart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	b := startIn(t, folder, brokerConfig())
	p := mqtttest.Connect(t, options(b, "pub"))
	mqtttest.Wait(t, p.Publish("floor/order", 1, true, "old"))
	mqtttest.Wait(t, p.Publish("floor/order", 0, true, "new"))
	mqtttest.Wait(t, p.Publish("floor/other", 1, true, "x"))
	mqtttest.Wait(t, p.Publish("floor/other", 1, true, ""))
	p.Disconnect(250)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = startIn(t, folder, brokerConfig())
	var sub subscriber
	c := sub.persistent(t, b, "sub")
	mqtttest.Wait(t, c.Subscribe("floor/+", 1, nil))
	if got := sub.wait(t, 1); len(got) != 1 || got[0] != "new" || sub.retained != 1 {
		t.Errorf("%q, %d of them retained", got, sub.retained)
	}
	mqtttest.Publish(t, mqtttest.Connect(t, options(b, "pub")), "floor/order", 1, "live")
	if got := sub.wait(t, 2); got[1] != "live" || sub.retained != 1 {
		t.Errorf("%q, %d of them retained", got, sub.retained)
	}
}

// TestPublishOfTheProgram: Publish returns when persistent sessions will get it, and
// what it publishes is not stored as machine data.
func TestPublishOfTheProgram(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	b := startIn(t, folder, brokerConfig())
	var sub subscriber
	c := sub.persistent(t, b, "sub")
	mqtttest.Wait(t, c.Subscribe("#", 1, nil))
	c.Disconnect(250)
	for i := range 20 {
		if n, err := b.Publish(t.Context(), mqtt.Publication{Topic: "plant/M1/data", Payload: []byte(fmt.Sprint(i)), QoS: 1}); err != nil || n != 1 {
			t.Fatal(n, err)
		}
	}
	for _, bad := range []mqtt.Publication{{}, {Topic: "a/+"}, {Topic: "$SYS/x"}, {Topic: "a", QoS: 3}} {
		if _, err := b.Publish(t.Context(), bad); mes.ErrorCode(err) != mes.CodeInvalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Publish(gone, mqtt.Publication{Topic: "a"}); err == nil {
		t.Error("published under a context that has ended")
	}
	if n := b.Status().Received; n != 0 {
		t.Errorf("%d messages of the program were taken for machine data", n)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(t.Context(), mqtt.Publication{Topic: "a", Retained: true, Payload: []byte("x")}); mes.ErrorCode(err) != mes.CodeUnavailable {
		t.Errorf("after the end: %v", err)
	}
	b = startIn(t, folder, brokerConfig())
	sub.persistent(t, b, "sub")
	for i, got := range sub.wait(t, 20) {
		if got != fmt.Sprint(i) {
			t.Errorf("message %d is %s", i, got)
		}
	}
}

// TestPublishWithoutSubscriber: Publish tells how many sessions are subscribed, connected or
// not, and what nobody gets is counted.
func TestPublishWithoutSubscriber(t *testing.T) {
	t.Parallel()
	b := startIn(t, t.TempDir(), brokerConfig())
	var sub subscriber
	c := sub.persistent(t, b, "sub")
	mqtttest.Wait(t, c.Subscribe("a/+", 1, nil))
	c.Disconnect(250)
	for topic, want := range map[string]int{"a/b": 1, "b": 0} {
		if n, err := b.Publish(t.Context(), mqtt.Publication{Topic: topic, Payload: []byte("x"), QoS: 1}); err != nil || n != want {
			t.Errorf("%s: %d subscribers, %v, want %d", topic, n, err, want)
		}
	}
	if n := b.Stats().Unheard; n != 1 {
		t.Errorf("%d messages had no subscriber, want 1", n)
	}
}

// TestSharedSubscription: each message goes to one member, one that is there if there is.
func TestSharedSubscription(t *testing.T) {
	t.Parallel()
	b := startIn(t, "", brokerConfig())
	var subs [3]subscriber
	for i := range subs {
		c := subs[i].persistent(t, b, fmt.Sprint("member", i))
		mqtttest.Wait(t, c.Subscribe("$share/g/a/#", 1, nil))
		if i == 2 {
			c.Disconnect(250)
			mqtttest.Eventually(t, "two clients", func() bool { return b.Stats().Clients == 2 })
		}
	}
	p := mqtttest.Connect(t, options(b, "pub"))
	for i := range 100 {
		mqtttest.Publish(t, p, "a/b", 1, fmt.Sprint(i))
	}
	seen := map[string]int{}
	mqtttest.Eventually(t, "all messages", func() bool {
		clear(seen)
		for i := range subs {
			for _, m := range subs[i].list() {
				seen[m]++
			}
		}
		return len(seen) == 100
	})
	for m, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", m, n)
		}
	}
	if len(subs[2].list()) > 0 {
		t.Error("a member got messages that is away while others are there")
	}
}

// TestSessionsExpire: what is kept for a client ends with the time it asked for, and is
// counted.
func TestSessionsExpire(t *testing.T) {
	t.Parallel()
	cfg := brokerConfig()
	cfg.Limits.SessionExpiry = time.Second
	b := startIn(t, t.TempDir(), cfg)
	var sub subscriber
	c := sub.persistent(t, b, "sub")
	mqtttest.Wait(t, c.Subscribe("a", 1, nil))
	c.Disconnect(250)
	mqtttest.Publish(t, mqtttest.Connect(t, options(b, "pub")), "a", 1, "x")
	mqtttest.Eventually(t, "the end of the session", func() bool { return b.Stats().Persistent == 0 })
	if s := b.Stats(); s.Queued != 0 || s.Subscriptions != 0 || s.Sessions != 1 {
		t.Errorf("%+v", s)
	}
}

// TestQoS2AcrossRestart: a publication whose PUBREC the publisher did not get is not
// taken a second time, by either version of the protocol.
func TestQoS2AcrossRestart(t *testing.T) {
	t.Parallel()
	for _, version := range []byte{4, 5} {
		folder := t.TempDir()
		b := startIn(t, folder, brokerConfig())
		publish := func(header byte) []byte {
			body := [][]byte{text("plant/M1/data"), {0, 7}}
			if version == 5 {
				body = append(body, []byte{0})
			}
			return packet(header, append(body, []byte("once"))...)
		}
		raw := dialRaw(t, b, connectPacket(version, 0xc0, "p"))
		raw.expect(t, 0x20)
		raw.send(t, publish(0x34))
		raw.expect(t, 0x50)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = startIn(t, folder, brokerConfig())
		raw = dialRaw(t, b, connectPacket(version, 0xc0, "p"))
		raw.expect(t, 0x20)
		raw.send(t, publish(0x3c))
		if answer := raw.expect(t, 0x50); len(answer) > 4 && answer[4] >= 0x80 {
			t.Errorf("version %d: the repetition was answered % x", version, answer)
		}
		if n := b.Status().Received; n != 0 {
			t.Errorf("version %d: it was taken again", version)
		}
	}
}
