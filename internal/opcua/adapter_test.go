package opcua

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"
	"go.uber.org/goleak"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/opcuatest"
	"plantgate/internal/opcua/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit bounds each wait; the machine may be busy.
const limit = 20 * time.Second

// quick is the timing of tests: the same rules, a tenth of the time.
func quick() timing {
	t := defaultTiming()
	t.link = link.Timing{Open: time.Second, Request: time.Second, Close: 300 * time.Millisecond}
	t.backOffFirst, t.backOffMax = 20*time.Millisecond, 200*time.Millisecond
	t.refused = 300 * time.Millisecond
	t.nodeFirst, t.nodeMax = 100*time.Millisecond, time.Second
	t.cursors, t.look = 50*time.Millisecond, 20*time.Millisecond
	return t
}

// plantConfig subscribes to the three variables of the simulated plant.
func plantConfig(url string) config.OPCUAConnection {
	return config.OPCUAConnection{
		Name:               "sim",
		Endpoint:           url,
		SecurityPolicy:     config.PolicyNone,
		SecurityMode:       config.ModeNone,
		PublishingInterval: 50 * time.Millisecond,
		SamplingInterval:   50 * time.Millisecond,
		QueueSize:          10,
		Watchdog:           time.Second,
		Machines: []config.OPCUAMachine{
			{MachineID: "M001", Nodes: []config.OPCUANode{
				{NodeID: sim.StoredVariable},
				{NodeID: sim.SynchronousVariable},
				{NodeID: sim.AsynchronousVariable},
			}},
			{MachineID: "PRESS-01", Nodes: []config.OPCUANode{
				{NodeID: "nsu=" + sim.Namespace + ";s=Plant/PRESS-01/Force", Unit: "kN"},
				{NodeID: "ns=1;s=Plant/PRESS-01/State", Map: map[string]string{"0": "Stopped", "1": "Running", "2": "Idle", "3": "Maintenance"}},
			}},
		},
	}
}

// running starts an adapter that ends with the test.
func running(t *testing.T, cfg config.OPCUAConnection, to *opcuatest.Ingester, tm timing) *Adapter {
	t.Helper()
	a, err := newAdapter(cfg, Deps{
		Ingester: to,
		Logger:   slog.New(slog.DiscardHandler),
		SiteID:   "main",
		Folder:   t.TempDir(),
	}, tm)
	if err != nil {
		t.Fatal(err)
	}
	start(t, a)
	return a
}

// start runs an adapter until the end of the test.
func start(t *testing.T, a *Adapter) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(limit):
			t.Error("Run did not end")
		}
	})
}

func plantServer(t *testing.T, addr string) *sim.Server {
	t.Helper()
	s, err := sim.Start(context.Background(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// stored waits until the stored variable's value v has come.
func stored(t *testing.T, to *opcuatest.Ingester, v int32) {
	t.Helper()
	to.Wait(t, limit, fmt.Sprintf("value %d of MyStoredVariable", v), func(r []mes.Record) bool {
		return opcuatest.Value(r, "MyStoredVariable", func(got mes.Value) bool { return got == mes.Int(int64(v)) })
	})
}

// inState waits for the adapter's state.
func inState(t *testing.T, a *Adapter, want mes.AdapterState, detail string) mes.AdapterStatus {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		s := a.Status()
		if s.State == want && strings.Contains(s.Detail, detail) {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("the adapter is %s (%s), want %s (%s)", s.State, s.Detail, want, detail)
		}
	}
}

func TestValuesArriveWithTimesAndStatus(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	to := opcuatest.NewIngester()
	a := running(t, plantConfig(server.URL()), to, quick())
	stored(t, to, 29)
	server.Write(30)
	stored(t, to, 30)
	to.Wait(t, limit, "null, force and state", func(r []mes.Record) bool {
		return opcuatest.Value(r, "MyAsynchronousVariable", mes.Value.IsNull) &&
			opcuatest.Value(r, "Force", func(v mes.Value) bool { return v.Kind() == mes.KindNumber }) &&
			opcuatest.Value(r, "State", func(v mes.Value) bool { return v == mes.Int(1) })
	})
	for _, r := range to.Records() {
		if err := r.Validate(); err != nil {
			t.Errorf("record of %s: %v", r.Origin.Address, err)
		}
		if r.TimeOrigin != mes.TimeSource || r.Time.IsZero() || r.ServerTime.Before(r.Time) || r.StatusCode != 0 {
			t.Errorf("record of %s: time %v (%s), server time %v, status %x", r.Origin.Address, r.Time, r.TimeOrigin, r.ServerTime, uint32(r.StatusCode))
		}
		if r.Signals[0].Name == "State" && (r.Status != mes.Running || r.DataType != mes.State) {
			t.Errorf("the mapped state is %q in a %s record", r.Status, r.DataType)
		}
		if r.SiteID != "main" || r.Origin.Connection != "sim" {
			t.Errorf("record of %s: site %q, connection %q", r.Origin.Address, r.SiteID, r.Origin.Connection)
		}
	}
	if s := inState(t, a, mes.AdapterRunning, ""); s.Received == 0 || s.LastMessage.IsZero() {
		t.Errorf("status %+v counts nothing", s)
	}
}

func TestRecoversFromCut(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	proxy := opcuatest.NewProxy(t, server.Addr())
	to := opcuatest.NewIngester()
	a := running(t, plantConfig(proxy.URL()), to, quick())
	stored(t, to, 29)
	for v := range int32(3) {
		proxy.Cut()
		server.Write(100 + v)
		stored(t, to, 100+v)
	}
	if s := inState(t, a, mes.AdapterRunning, ""); s.Reconnects < 3 {
		t.Errorf("%d reconnects after three cuts", s.Reconnects)
	}
}

func TestRecoversFromRestartOfServer(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	to := opcuatest.NewIngester()
	a := running(t, plantConfig(server.URL()), to, quick())
	stored(t, to, 29)
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	inState(t, a, mes.AdapterBackingOff, "")
	server = plantServer(t, server.Addr())
	server.Write(77)
	stored(t, to, 77)
}

func TestWatchdogNoticesFrozenServer(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	proxy := opcuatest.NewProxy(t, server.Addr())
	to := opcuatest.NewIngester()
	a := running(t, plantConfig(proxy.URL()), to, quick())
	stored(t, to, 29)
	proxy.BlackHole()
	inState(t, a, mes.AdapterBackingOff, "no notification")
	proxy.Resume()
	server.Write(55)
	stored(t, to, 55)
}

func TestBadNodeDoesNotSpoilGoodOnes(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	cfg := plantConfig(server.URL())
	cfg.Machines[0].Nodes = append(cfg.Machines[0].Nodes,
		config.OPCUANode{NodeID: "ns=1;s=Objects/MyFolder/Missing"},
		config.OPCUANode{NodeID: "nsu=urn:unknown;s=Elsewhere"})
	to := opcuatest.NewIngester()
	a := running(t, cfg, to, quick())
	s := inState(t, a, mes.AdapterDegraded, "2 of 7 nodes bad")
	for _, name := range []string{"Missing", "Elsewhere", "StatusBadNodeIDUnknown", "urn:unknown"} {
		if !strings.Contains(s.Detail, name) {
			t.Errorf("the detail %q does not name %s", s.Detail, name)
		}
	}
	stored(t, to, 29)
	server.Write(31)
	stored(t, to, 31)
	to.Wait(t, limit, "two seconds, in which the node is retried often", func(records []mes.Record) bool {
		seconds := map[mes.Value]bool{}
		for _, r := range records {
			if r.Signals[0].Name == "MySynchronousVariable" {
				seconds[r.Signals[0].Value] = true
			}
		}
		return len(seconds) >= 3
	})
	missing := 0
	for _, r := range to.Records() {
		if r.Signals[0].Name == "Missing" {
			missing++
			if r.StatusCode != mes.StatusCode(ua.StatusBadNodeIDUnknown) || !r.Signals[0].Value.IsNull() {
				t.Errorf("the bad node's record has status %x and value %v", uint32(r.StatusCode), r.Signals[0].Value)
			}
		}
	}
	if missing != 1 {
		t.Errorf("the bad node made %d records, want 1 through all retries", missing)
	}
}

func TestManyNodes(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	cfg := plantConfig(server.URL())
	const more = 2*maxItemsPerCall + 1
	for i := range more {
		cfg.Machines[0].Nodes = append(cfg.Machines[0].Nodes, config.OPCUANode{NodeID: fmt.Sprintf("ns=1;s=Many/%d", i)})
	}
	tm := quick()
	tm.nodeFirst, tm.nodeMax = time.Hour, time.Hour
	to := opcuatest.NewIngester()
	a := running(t, cfg, to, tm)
	inState(t, a, mes.AdapterDegraded, fmt.Sprintf("%d of %d nodes bad", more, more+5))
	server.Write(32)
	stored(t, to, 32)
}

func TestNothingIsDroppedWhileStoreFails(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	to := opcuatest.NewIngester()
	to.Fail(errors.New("the disk is full"))
	tm := quick()
	tm.queue, tm.batch = 2, 1
	cfg := plantConfig(server.URL())
	running(t, cfg, to, tm)
	to.Wait(t, limit, "retries", func([]mes.Record) bool { return to.Calls() >= 5 })
	to.Fail(nil)
	stored(t, to, 29)
	to.Wait(t, limit, "every node's first value", func(r []mes.Record) bool {
		for _, name := range []string{"MyStoredVariable", "MySynchronousVariable", "MyAsynchronousVariable", "Force", "State"} {
			if !opcuatest.Value(r, name, func(mes.Value) bool { return true }) {
				return false
			}
		}
		return true
	})
}

func TestStopStoresWhatWasReceived(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	to := opcuatest.NewIngester()
	to.Fail(errors.New("busy"))
	a, err := newAdapter(plantConfig(server.URL()), Deps{Ingester: to, Logger: slog.New(slog.DiscardHandler), SiteID: "main"}, quick())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	to.Wait(t, limit, "first try", func([]mes.Record) bool { return to.Calls() > 0 })
	cancel()
	to.Fail(nil)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got, want := int64(len(to.Records())), a.Status().Received; got != want || want == 0 {
		t.Errorf("%d of %d received values are stored", got, want)
	}
	inState(t, a, mes.AdapterStopped, "")
}

func TestNewNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := New(config.OPCUAConnection{Name: "x", Endpoint: "http://x"}, Deps{Logger: slog.New(slog.DiscardHandler)})
	if mes.ErrorCode(err) != mes.CodeInvalid || !strings.Contains(err.Error(), "endpoint") || !strings.Contains(err.Error(), "machines") {
		t.Errorf("got %v, want an invalid configuration with endpoint and machines named", err)
	}
}

// TestPausesHaveALongest: what varies a pause makes none longer than the longest.
func TestPausesHaveALongest(t *testing.T) {
	t.Parallel()
	for _, longest := range []time.Duration{20 * time.Millisecond, 3 * time.Second} {
		timing := timing{backOffFirst: 500 * time.Millisecond, backOffMax: longest}
		pause := timing.newBackOff()
		var most time.Duration
		for range 1000 {
			most = max(most, pause.NextBackOff())
		}
		if most > longest || most < longest*9/10 {
			t.Errorf("the longest pause is %v, not %v", most, longest)
		}
	}
}
