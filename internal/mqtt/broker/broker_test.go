package broker_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"go.uber.org/goleak"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt/broker"
	"plantgate/internal/mqtt/mqtttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// brokerConfig has one user and takes plant/{machine}/data.
func brokerConfig() config.Broker {
	cfg := config.Default().MQTT.Broker
	cfg.Listen = "127.0.0.1:0"
	cfg.Users = []config.BrokerUser{{Username: "plant", Password: "the-secret"}}
	cfg.Subscriptions = []config.Subscription{{Topic: "plant/{machine}/data"}}
	return cfg
}

func start(t *testing.T, cfg config.Broker, ing *mqtttest.Ingester, log *slog.Logger) *broker.Broker {
	t.Helper()
	b, err := broker.Start(cfg, broker.Deps{Ingester: ing, Decoder: mqtttest.Decoder{}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func options(b *broker.Broker, id string) *paho.ClientOptions {
	return mqtttest.Options(b.URL(), id).SetUsername("plant").SetPassword("the-secret")
}

func TestAcknowledgesAfterTheCommit(t *testing.T) {
	t.Parallel()
	for _, qos := range []byte{1, 2} {
		ing := mqtttest.NewIngester()
		b := start(t, brokerConfig(), ing, slog.New(slog.DiscardHandler))
		release := ing.Hold()
		c := mqtttest.Connect(t, options(b, "machine"))
		token := c.Publish("plant/M1/data", qos, false, "value")
		ing.WaitCalls(t, 1)
		if token.WaitTimeout(200 * time.Millisecond) {
			t.Fatalf("QoS %d: acknowledged before the commit", qos)
		}
		release()
		mqtttest.Wait(t, token)
		r := ing.WaitRecords(t, 1)[0]
		if r.MachineID != "M1" || string(r.Payload) != "value" || r.Origin.Connection != broker.Name {
			t.Errorf("QoS %d: record %+v", qos, r)
		}
		if s := b.Status(); s.Received != 1 || s.State != mes.AdapterRunning {
			t.Errorf("QoS %d: status %+v", qos, s)
		}
	}
}

// TestNoAcknowledgementOnFailure also shows that the client gets to send again.
func TestNoAcknowledgementOnFailure(t *testing.T) {
	t.Parallel()
	for _, qos := range []byte{1, 2} {
		ing := mqtttest.NewIngester()
		ing.Fail(mes.Errorf(mes.CodeUnavailable, "the store is away"))
		b := start(t, brokerConfig(), ing, slog.New(slog.DiscardHandler))
		lost := make(chan struct{}, 1)
		store := paho.NewMemoryStore()
		opts := options(b, "machine").SetCleanSession(false).SetStore(store).
			SetConnectionLostHandler(func(paho.Client, error) { lost <- struct{}{} })
		subscriber := mqtttest.Connect(t, options(b, "subscriber"))
		passedOn := make(chan string, 10)
		mqtttest.Wait(t, subscriber.Subscribe("plant/#", 1, func(_ paho.Client, m paho.Message) { passedOn <- string(m.Payload()) }))

		c := mqtttest.Connect(t, opts)
		token := c.Publish("plant/M1/data", qos, false, "value")
		select {
		case <-lost:
		case <-token.Done():
			t.Fatalf("QoS %d: the publication ended (%v) though nothing was stored", qos, token.Error())
		case <-time.After(mqtttest.Patience):
			t.Fatalf("QoS %d: the connection stays though nothing was stored", qos)
		}
		if len(passedOn) > 0 {
			t.Errorf("QoS %d: passed on before it was stored", qos)
		}

		ing.Fail(nil)
		mqtttest.Wait(t, c.Connect()) // sends again what has no acknowledgement
		mqtttest.Wait(t, token)
		ing.WaitRecords(t, 1)
		if got := <-passedOn; got != "value" {
			t.Errorf("QoS %d: passed on %q", qos, got)
		}
		c.Disconnect(250)
	}
}

func TestQoS0IsTriedUntilStored(t *testing.T) {
	t.Parallel()
	ing := mqtttest.NewIngester()
	ing.Fail(mes.Errorf(mes.CodeUnavailable, "the store is away"))
	b := start(t, brokerConfig(), ing, slog.New(slog.DiscardHandler))
	mqtttest.Publish(t, mqtttest.Connect(t, options(b, "machine")), "plant/M1/data", 0, "value")
	ing.WaitCalls(t, 2)
	ing.Fail(nil)
	ing.WaitRecords(t, 1)
	if b.Lost() != 0 {
		t.Errorf("%d lost", b.Lost())
	}
}

func TestWillIsStored(t *testing.T) {
	t.Parallel()
	ing := mqtttest.NewIngester()
	b := start(t, brokerConfig(), ing, slog.New(slog.DiscardHandler))
	proxy := mqtttest.NewProxy(t, b.Addr().String())
	opts := mqtttest.Options("tcp://"+proxy.Addr(), "machine").SetUsername("plant").SetPassword("the-secret").
		SetWill("plant/M1/data", "gone", 1, false)
	mqtttest.Connect(t, opts)
	proxy.Cut()
	if r := ing.WaitRecords(t, 1)[0]; string(r.Payload) != "gone" {
		t.Errorf("record %+v", r)
	}
}

// TestClientsCommitSideBySide would never end if one client's commit held up
// another's.
func TestClientsCommitSideBySide(t *testing.T) {
	t.Parallel()
	ing := mqtttest.NewIngester()
	b := start(t, brokerConfig(), ing, slog.New(slog.DiscardHandler))
	release := ing.Hold()
	var wg sync.WaitGroup
	for _, id := range []string{"a", "b", "c", "d"} {
		c := mqtttest.Connect(t, options(b, id))
		wg.Go(func() { mqtttest.Publish(t, c, "plant/"+id+"/data", 1, id) })
	}
	ing.WaitCalls(t, 4)
	release()
	wg.Wait()
}

// An empty retained message removes the one that the topic has; it is no reading.
func TestClearingARetainedMessageIsNotStored(t *testing.T) {
	t.Parallel()
	ing := mqtttest.NewIngester()
	b := start(t, brokerConfig(), ing, slog.New(slog.DiscardHandler))
	c := mqtttest.Connect(t, options(b, "machine"))
	mqtttest.Wait(t, c.Publish("plant/M1/data", 1, true, "value"))
	mqtttest.Wait(t, c.Publish("plant/M1/data", 1, true, ""))
	mqtttest.Wait(t, c.Publish("plant/M1/data", 1, false, ""))
	if n := len(ing.Records()); n != 2 {
		t.Errorf("%d records, want the value and the empty message that was not retained", n)
	}
}

func TestPassesOnWhatItDoesNotStore(t *testing.T) {
	t.Parallel()
	ing := mqtttest.NewIngester()
	b := start(t, brokerConfig(), ing, slog.New(slog.DiscardHandler))
	got := make(chan string, 2)
	subscriber := mqtttest.Connect(t, options(b, "subscriber"))
	mqtttest.Wait(t, subscriber.Subscribe("#", 1, func(_ paho.Client, m paho.Message) { got <- m.Topic() }))
	c := mqtttest.Connect(t, options(b, "machine"))
	mqtttest.Publish(t, c, "floor/orders", 1, "order")
	mqtttest.Publish(t, c, "plant/M1/data", 1, "value")
	if first, second := <-got, <-got; first != "floor/orders" || second != "plant/M1/data" {
		t.Errorf("passed on %s, %s", first, second)
	}
	if n := len(ing.Records()); n != 1 {
		t.Errorf("%d records, want 1", n)
	}
}

func TestRefusesClients(t *testing.T) {
	t.Parallel()
	b := start(t, brokerConfig(), mqtttest.NewIngester(), slog.New(slog.DiscardHandler))
	tests := map[string]*paho.ClientOptions{
		"wrong password": mqtttest.Options(b.URL(), "c").SetUsername("plant").SetPassword("the-secre"),
		"unknown user":   mqtttest.Options(b.URL(), "c").SetUsername("plants").SetPassword("the-secret"),
		"no password":    mqtttest.Options(b.URL(), "c").SetUsername("plant"),
		"anonymous":      mqtttest.Options(b.URL(), "c"),
	}
	for name, opts := range tests {
		token := paho.NewClient(opts).Connect().(*paho.ConnectToken)
		if !token.WaitTimeout(mqtttest.Patience) || token.ReturnCode() != packets.ErrRefusedNotAuthorised {
			t.Errorf("%s: return code %d, error %v", name, token.ReturnCode(), token.Error())
		}
	}
}

func TestPasswordFromAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("of-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := brokerConfig()
	cfg.Users = []config.BrokerUser{{Username: "filed", PasswordFile: file}}
	b := start(t, cfg, mqtttest.NewIngester(), slog.New(slog.DiscardHandler))
	mqtttest.Connect(t, mqtttest.Options(b.URL(), "c").SetUsername("filed").SetPassword("of-a-file"))

	cfg.Users[0].PasswordFile = file + ".missing"
	_, err := broker.Start(cfg, broker.Deps{Log: slog.New(slog.DiscardHandler)})
	if mes.ErrorCode(err) != mes.CodeInvalid || strings.Contains(err.Error(), file) {
		t.Errorf("with a missing file: %v", err)
	}
}

func TestAnonymous(t *testing.T) {
	t.Parallel()
	cfg := brokerConfig()
	cfg.AllowAnonymous, cfg.Users = true, nil
	b := start(t, cfg, mqtttest.NewIngester(), slog.New(slog.DiscardHandler))
	mqtttest.Connect(t, mqtttest.Options(b.URL(), "c"))

	cfg.Listen = "0.0.0.0:0"
	_, err := broker.Start(cfg, broker.Deps{Log: slog.New(slog.DiscardHandler)})
	if mes.ErrorCode(err) != mes.CodeInvalid || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("anonymous on all addresses: %v", err)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	cfg := brokerConfig()
	cfg.MaxPacket, cfg.MaxClients = 1024, 2
	b := start(t, cfg, mqtttest.NewIngester(), slog.New(slog.DiscardHandler))
	lost := make(chan struct{}, 1)
	c := mqtttest.Connect(t, options(b, "one").SetConnectionLostHandler(func(paho.Client, error) { lost <- struct{}{} }))
	mqtttest.Connect(t, options(b, "two"))
	if third := paho.NewClient(options(b, "three")).Connect(); !third.WaitTimeout(mqtttest.Patience) || third.Error() == nil {
		t.Error("a third client was taken, the limit is 2")
	}
	c.Publish("plant/M1/data", 1, false, strings.Repeat("x", 2000))
	select {
	case <-lost:
	case <-time.After(mqtttest.Patience):
		t.Error("a packet above the limit was taken")
	}
}

// TestLogsHaveNoPayloads: the server library logs whole packets.
func TestLogsHaveNoPayloads(t *testing.T) {
	t.Parallel()
	var out syncBuffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg := brokerConfig()
	ing := mqtttest.NewIngester()
	ing.Fail(mes.Errorf(mes.CodeUnavailable, "the store is away"))
	b := start(t, cfg, ing, log)
	lost := make(chan struct{}, 1)
	c := mqtttest.Connect(t, options(b, "c").SetConnectionLostHandler(func(paho.Client, error) { lost <- struct{}{} }))
	c.Publish("plant/M1/data", 1, false, "payload-text")
	<-lost
	wrong := paho.NewClient(mqtttest.Options(b.URL(), "c").SetUsername("plant").SetPassword("wrong-text"))
	wrong.Connect().WaitTimeout(mqtttest.Patience)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if text == "" {
		t.Error("the log is empty")
	}
	for _, secret := range []string{"payload-text", "the-secret", "wrong-text"} {
		asBytes := strings.Trim(fmt.Sprint([]byte(secret)), "[]") // as packets are printed
		if strings.Contains(text, secret) || strings.Contains(text, asBytes) {
			t.Errorf("the log tells %q: %s", secret, text)
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
