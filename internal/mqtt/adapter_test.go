package mqtt_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/mqtttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAcknowledgesOnlyAfterTheCommit(t *testing.T) {
	t.Parallel()
	hook := new(denying)
	addr := startBare(t, hook)
	primed(t, connection(addr))
	proxy := mqtttest.NewProxy(t, addr)
	c := mqtttest.Connect(t, mqtttest.Options("tcp://"+addr, "publisher"))

	ing := mqtttest.NewIngester()
	release := ing.Hold()
	a := newAdapter(t, connection(proxy.Addr()), ing)
	runUp(t, a)
	mqtttest.Publish(t, c, "plant/M1/data", 1, "first")
	ing.WaitCalls(t, 1)
	time.Sleep(100 * time.Millisecond) // an acknowledgement would be there by then
	if hook.acknowledged.Load() != 0 {
		t.Fatal("acknowledged before the commit")
	}

	// Cut between delivery and commit: the broker delivers again.
	proxy.Cut()
	mqtttest.Eventually(t, "the reconnect", func() bool { return a.Status().Received == 2 })
	release()
	ing.WaitRecords(t, 2)
	mqtttest.Eventually(t, "the acknowledgement", func() bool { return hook.acknowledged.Load() == 1 })

	// After the acknowledgement another cut brings nothing again.
	proxy.Cut()
	mqtttest.Eventually(t, "the second reconnect", func() bool { return a.Status().Reconnects == 2 })
	mqtttest.Publish(t, c, "plant/M1/data", 1, "second")
	ing.WaitRecords(t, 3)
	if got := ing.Payloads(); !slices.Equal(got, []string{"first", "first", "second"}) {
		t.Fatalf("stored %q", got)
	}
}

func TestKeepsTheOrderOfATopic(t *testing.T) {
	t.Parallel()
	b := startBroker(t, "127.0.0.1:0")
	primed(t, connection(b.Addr().String()))
	ing := mqtttest.NewIngester()
	ing.Delay = time.Millisecond
	runUp(t, newAdapter(t, connection(b.Addr().String()), ing))
	publish := publisher(t, b)
	var want []string
	for i := range 500 {
		want = append(want, fmt.Sprint(i))
		publish("plant/M1/data", 1, want[i])
	}
	ing.WaitRecords(t, len(want))
	if got := ing.Payloads(); !slices.Equal(got, want) {
		t.Errorf("out of order: %q", got)
	}
}

func TestSlowStoreDoesNotCostTheConnection(t *testing.T) {
	t.Parallel()
	b := startBroker(t, "127.0.0.1:0")
	cfg := connection(b.Addr().String())
	cfg.KeepAlive = 2 * time.Second // the shortest that the broker's rounding leaves time for
	primed(t, cfg)
	ing := mqtttest.NewIngester()
	release := ing.Hold()
	a := newAdapter(t, cfg, ing)
	runUp(t, a)
	publish := publisher(t, b)
	for i := range 50 {
		publish("plant/M1/data", 1, fmt.Sprint(i))
	}
	ing.WaitCalls(t, 1)
	time.Sleep(6 * time.Second) // the time itself is what is tested: three keep-alives
	release()
	ing.WaitRecords(t, 50)
	if s := a.Status(); s.Reconnects != 0 || s.State != mes.AdapterRunning || s.Received != 50 {
		t.Errorf("status %+v, want one running connection", s)
	}
}

func TestFullHandOverLosesNothing(t *testing.T) {
	t.Parallel()
	b := startBroker(t, "127.0.0.1:0")
	cfg := connection(b.Addr().String())
	cfg.KeepAlive = time.Second
	primed(t, cfg)
	ing := mqtttest.NewIngester()
	release := ing.Hold()
	a := newAdapter(t, cfg, ing)
	a.SetBounds(10, 1<<20)
	runUp(t, a)
	publish := publisher(t, b)
	for i := range 200 {
		publish("plant/M1/data", 1, fmt.Sprint(i))
	}
	waitState(t, a, mes.AdapterBackingOff)
	if held := a.Status().Received; held > 10 {
		t.Errorf("%d messages were taken, the bound is 10", held)
	}
	time.Sleep(3 * time.Second) // longer than the keep-alive
	release()
	ing.WaitDistinct(t, 200)
	waitState(t, a, mes.AdapterRunning)
}

func TestFailingStore(t *testing.T) {
	t.Parallel()
	b := startBroker(t, "127.0.0.1:0")
	primed(t, connection(b.Addr().String()))
	ing := mqtttest.NewIngester()
	ing.Fail(mes.Errorf(mes.CodeUnavailable, "the store is away"))
	a := newAdapter(t, connection(b.Addr().String()), ing)
	runUp(t, a)
	publish := publisher(t, b)
	publish("plant/M1/data", 1, "0")
	publish("plant/M1/data", 1, "1")
	waitState(t, a, mes.AdapterDegraded)
	if d := a.Status().Detail; !strings.Contains(d, "the store is away") {
		t.Errorf("detail %q", d)
	}
	ing.WaitCalls(t, 2)
	ing.Fail(nil)
	ing.WaitRecords(t, 2)
	waitState(t, a, mes.AdapterRunning)
	if got := ing.Payloads(); !slices.Equal(got, []string{"0", "1"}) {
		t.Errorf("stored %q", got)
	}
}

func TestStopDrains(t *testing.T) {
	t.Parallel()
	b := startBroker(t, "127.0.0.1:0")
	cfg := connection(b.Addr().String())
	primed(t, cfg)
	publish := publisher(t, b)

	ing := mqtttest.NewIngester()
	release := ing.Hold()
	a := newAdapter(t, cfg, ing)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	waitState(t, a, mes.AdapterRunning)
	publish("plant/M1/data", 1, "in hand")
	ing.WaitCalls(t, 1)
	cancel()
	waitState(t, a, mes.AdapterStopped)
	publish("plant/M1/data", 1, "after the stop")
	select {
	case <-done:
		t.Fatal("stopped before the commit")
	case <-time.After(100 * time.Millisecond):
	}
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if s := a.Status().State; s != mes.AdapterStopped {
		t.Errorf("state %s", s)
	}
	if got := ing.Payloads(); !slices.Equal(got, []string{"in hand"}) {
		t.Errorf("stored %q", got)
	}

	// The next start gets what came after the stop, and nothing twice.
	next := mqtttest.NewIngester()
	run(t, newAdapter(t, cfg, next))
	next.WaitRecords(t, 1)
	publish("plant/M1/data", 1, "last")
	next.WaitRecords(t, 2)
	if got := next.Payloads(); !slices.Equal(got, []string{"after the stop", "last"}) {
		t.Errorf("stored %q after the restart", got)
	}
}

func TestWaitsForABrokerThatIsAwayAndComesBack(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()

	ing := mqtttest.NewIngester()
	a := newAdapter(t, connection(addr), ing)
	run(t, a)
	waitState(t, a, mes.AdapterBackingOff)
	for round := range 2 {
		b := startBroker(t, addr)
		c := mqtttest.Connect(t, mqtttest.Options(b.URL(), "publisher").SetUsername("plant").SetPassword("secret"))
		mqtttest.Eventually(t, "a message", func() bool {
			mqtttest.Publish(t, c, "plant/M1/data", 1, fmt.Sprint(round))
			return slices.Contains(ing.Payloads(), fmt.Sprint(round))
		})
		c.Disconnect(100)
		_ = b.Close()
	}
	if s := a.Status(); s.Reconnects != 1 {
		t.Errorf("%d reconnects, want 1", s.Reconnects)
	}
}

func TestPoisonAndStaleTopicsAreQuarantined(t *testing.T) {
	t.Parallel()
	b := startBroker(t, "127.0.0.1:0")
	former := connection(b.Addr().String(), "plant/#", "old/{machine}/+/data")
	primed(t, former)

	ing := mqtttest.NewIngester()
	a := newAdapter(t, connection(b.Addr().String()), ing)
	runUp(t, a)
	publish := publisher(t, b)
	publish("plant/M1/data", 1, "poison")
	publish("old/M1/x/data", 1, "stale")
	ing.WaitRecords(t, 2)
	mqtttest.Eventually(t, "two in quarantine", func() bool { return a.Status().Quarantined == 2 })
	stale := ing.Records()[1]
	if stale.Fault == nil || stale.Origin.Address != "old/M1/x/data" || string(stale.Payload) != "stale" {
		t.Errorf("the stale message became %+v", stale)
	}

	// The former filter is unsubscribed: sooner or later nothing comes of it.
	mqtttest.Eventually(t, "the end of the former subscription", func() bool {
		before := len(ing.Records())
		publish("old/M1/x/data", 1, "stale again")
		publish("plant/M1/data", 1, "mark")
		ing.WaitRecords(t, before+1)
		mqtttest.Eventually(t, "the mark", func() bool { return slices.Contains(ing.Payloads()[before:], "mark") })
		return !slices.Contains(ing.Payloads()[before:], "stale again")
	})
}

func TestSeveralConnections(t *testing.T) {
	t.Parallel()
	ing := mqtttest.NewIngester()
	for i := range 3 {
		b := startBroker(t, "127.0.0.1:0")
		cfg := connection(b.Addr().String(), "plant/{machine}/#")
		cfg.Name = fmt.Sprint("line-", i)
		primed(t, cfg)
		runUp(t, newAdapter(t, cfg, ing))
		publisher(t, b)("plant/M1/data", 1, "x")
	}
	seen := make(map[string]bool)
	for _, r := range ing.WaitRecords(t, 3) {
		seen[r.Origin.Connection] = true
	}
	if len(seen) != 3 {
		t.Errorf("records of the connections %v", seen)
	}
}

func TestRefusedConnection(t *testing.T) {
	t.Parallel()
	b := startBroker(t, "127.0.0.1:0")
	cfg := connection(b.Addr().String())
	cfg.Password = "wrong-password"
	a := newAdapter(t, cfg, mqtttest.NewIngester())
	run(t, a)
	waitState(t, a, mes.AdapterRefused)
	if d := a.Status().Detail; !strings.Contains(d, "refuses") || strings.Contains(d, "wrong-password") {
		t.Errorf("detail %q", d)
	}
}

func TestRefusedSubscription(t *testing.T) {
	t.Parallel()
	addr := startBare(t, new(denying))
	ing := mqtttest.NewIngester()
	a := newAdapter(t, connection(addr, "forbidden/#", "plant/{machine}/data"), ing)
	run(t, a)
	waitState(t, a, mes.AdapterDegraded)
	if d := a.Status().Detail; !strings.Contains(d, "forbidden/#") {
		t.Errorf("detail %q", d)
	}
	c := mqtttest.Connect(t, mqtttest.Options("tcp://"+addr, "publisher"))
	mqtttest.Publish(t, c, "plant/M1/data", 1, "granted")
	ing.WaitRecords(t, 1)
}

func TestTakeoverIsNoWar(t *testing.T) {
	t.Parallel()
	b := startBroker(t, "127.0.0.1:0")
	one := newAdapter(t, connection(b.Addr().String()), mqtttest.NewIngester())
	two := newAdapter(t, connection(b.Addr().String()), mqtttest.NewIngester())
	runUp(t, one) // two that come at the same instant the library would both keep
	run(t, two)
	time.Sleep(5 * time.Second) // the number of attempts in a time is what is tested
	if n := one.Status().Reconnects + two.Status().Reconnects; n > 10 || n == 0 {
		t.Errorf("%d reconnects of two clients with one id in 5 s", n)
	}
}

func TestRetainedMessagesAreMarked(t *testing.T) {
	t.Parallel()
	b := startBroker(t, "127.0.0.1:0")
	c := mqtttest.Connect(t, mqtttest.Options(b.URL(), "publisher").SetUsername("plant").SetPassword("secret"))
	mqtttest.Wait(t, c.Publish("plant/M1/data", 1, true, "kept"))
	ing := mqtttest.NewIngester()
	run(t, newAdapter(t, connection(b.Addr().String()), ing))
	if r := ing.WaitRecords(t, 1)[0]; !r.HasFlag(mes.FlagRetained) || r.MachineID != "M1" {
		t.Errorf("the retained message became %+v", r)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]func(c *config.MQTTConnection){
		"no URL":       func(c *config.MQTTConnection) { c.URL = "" },
		"credentials":  func(c *config.MQTTConnection) { c.URL = "tcp://user:pass@127.0.0.1:1883" },
		"no client id": func(c *config.MQTTConnection) { c.ClientID = "" },
		"topic":        func(c *config.MQTTConnection) { c.Subscriptions[0].Topic = "a/#/b" },
		"no CA":        func(c *config.MQTTConnection) { c.URL = "ssl://127.0.0.1:1"; c.TLS.CAFile = "/nonexistent" },
		"no password":  func(c *config.MQTTConnection) { c.PasswordFile = "/nonexistent" },
	}
	for name, change := range tests {
		cfg := connection("127.0.0.1:1883")
		change(&cfg)
		_, err := mqtt.New(cfg, mqtt.Deps{Log: slog.New(slog.DiscardHandler)})
		if mes.ErrorCode(err) != mes.CodeInvalid || strings.Contains(err.Error(), "pass@") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFiltersOf(t *testing.T) {
	t.Parallel()
	got := mqtt.FiltersOf("a/b")
	want := []string{"#", "a/#", "+/#", "a/b", "a/b/#", "a/+", "a/+/#", "+/b", "+/b/#", "+/+", "+/+/#"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := mqtt.FiltersOf("a/b/c/d/e/f/g"); !slices.Equal(got, []string{"a/b/c/d/e/f/g"}) {
		t.Errorf("got %d filters of a deep topic", len(got))
	}
}
