package mqtt_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/broker"
	"plantgate/internal/mqtt/mqtttest"
)

// startBroker starts a broker that stores nothing itself.
func startBroker(t *testing.T, listen string) *broker.Broker {
	t.Helper()
	cfg := config.Default().MQTT.Broker
	cfg.Listen = listen
	cfg.Users = []config.BrokerUser{{Username: "plant", Password: "secret"}}
	b, err := broker.Start(cfg, broker.Deps{
		Ingester: mqtttest.NewIngester(), Decoder: mqtttest.Decoder{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// connection returns the configuration of a connection to the address.
func connection(addr string, topics ...string) config.MQTTConnection {
	c := config.MQTTConnection{
		Name: "plant", URL: "tcp://" + addr, ClientID: "plantgate-plant",
		Username: "plant", Password: "secret", KeepAlive: 30 * time.Second,
	}
	if len(topics) == 0 {
		topics = []string{"plant/{machine}/#"}
	}
	for _, t := range topics {
		c.Subscriptions = append(c.Subscriptions, config.Subscription{Topic: t})
	}
	return c
}

func newAdapter(t *testing.T, cfg config.MQTTConnection, ing *mqtttest.Ingester) *mqtt.Adapter {
	t.Helper()
	a, err := mqtt.New(cfg, mqtt.Deps{Ingester: ing, Deliveries: ing, Decoder: mqtttest.Decoder{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// runUp runs the adapter and waits until it is connected. The bare server library,
// unlike the own broker, delivers what was kept for an absent session out of order, and
// can lose what comes just when a session returns.
func runUp(t *testing.T, a *mqtt.Adapter) {
	t.Helper()
	run(t, a)
	waitState(t, a, mes.AdapterRunning)
}

// run runs the adapter until stop is called or the test ends.
func run(t *testing.T, a *mqtt.Adapter) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	var ended bool
	stop = func() {
		cancel()
		if ended {
			return
		}
		ended = true
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run returned %v", err)
			}
		case <-time.After(mqtttest.Patience):
			t.Error("Run did not return")
		}
	}
	t.Cleanup(stop)
	return stop
}

func waitState(t *testing.T, a *mqtt.Adapter, want mes.AdapterState) {
	t.Helper()
	mqtttest.Eventually(t, "the state "+string(want), func() bool { return a.Status().State == want })
}

// primed makes the session of the connection, so that the broker keeps what is
// published from then on.
func primed(t *testing.T, cfg config.MQTTConnection) {
	t.Helper()
	c := mqtttest.Connect(t, mqtttest.Options(cfg.URL, cfg.ClientID).
		SetUsername(cfg.Username).SetPassword(cfg.Password).SetCleanSession(false))
	bindings, err := mqtt.NewBindings(cfg.Name, cfg.Subscriptions)
	if err != nil {
		t.Fatal(err)
	}
	for _, filter := range bindings.Filters() {
		mqtttest.Wait(t, c.Subscribe(filter, 1, nil))
	}
	c.Disconnect(250)
}

func publisher(t *testing.T, b *broker.Broker) func(topic string, qos byte, payload string) {
	t.Helper()
	c := mqtttest.Connect(t, mqtttest.Options(b.URL(), "publisher").SetUsername("plant").SetPassword("secret"))
	return func(topic string, qos byte, payload string) { mqtttest.Publish(t, c, topic, qos, payload) }
}

// denying is a hook of the bare server that refuses filters of one kind and
// counts the acknowledgements of subscribers.
type denying struct {
	mochi.HookBase
	acknowledged atomic.Int64
}

func (*denying) ID() string { return "denying" }
func (*denying) Provides(b byte) bool {
	return b == mochi.OnACLCheck || b == mochi.OnConnectAuthenticate || b == mochi.OnQosComplete
}
func (*denying) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }
func (*denying) OnACLCheck(_ *mochi.Client, topic string, _ bool) bool {
	return !strings.HasPrefix(topic, "forbidden")
}
func (d *denying) OnQosComplete(cl *mochi.Client, _ packets.Packet) {
	if cl.ID == "plantgate-plant" {
		d.acknowledged.Add(1)
	}
}

// startBare starts the server library with only that hook and returns its address.
func startBare(t *testing.T, hook mochi.Hook) string {
	t.Helper()
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := server.AddHook(hook, nil); err != nil {
		t.Fatal(err)
	}
	l := listeners.NewTCP(listeners.Config{ID: "main", Address: "127.0.0.1:0"})
	if err := server.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	// One more client than there are, until the end: the library counts the first of its
	// clients without regard to Close, which the race detector reports.
	server.Listeners.ClientsWg.Add(1)
	t.Cleanup(func() {
		server.Listeners.ClientsWg.Done()
		_ = server.Close()
	})
	return l.Address()
}
