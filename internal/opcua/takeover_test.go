package opcua

import (
	"context"
	"fmt"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
	"plantgate/internal/opcua/sim"
)

// counting is a server whose variables count, and the connection that reads them.
func counting(t *testing.T, g sim.Group) (*sim.Load, *opcuatest.Proxy, config.OPCUAConnection) {
	t.Helper()
	plant, err := sim.StartLoad(context.Background(), "127.0.0.1:0", g)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plant.Close() })
	proxy := opcuatest.NewProxy(t, plant.Addr())
	cfg := plantConfig(proxy.URL())
	cfg.QueueSize = 1000
	cfg.Machines = []config.OPCUAMachine{{MachineID: "M001"}}
	for i := range g.Nodes {
		cfg.Machines[0].Nodes = append(cfg.Machines[0].Nodes, config.OPCUANode{NodeID: g.NodeID(i), Signal: fmt.Sprint(i)})
	}
	return plant, proxy, cfg
}

// eachOnce waits for every change of the plant, and fails if a value is missing or came
// twice.
func eachOnce(t *testing.T, plant *sim.Load, to *opcuatest.Ingester, nodes int) {
	t.Helper()
	plant.Halt()
	want := int(plant.Changes()) + nodes
	seen := map[string]int{}
	done := 0
	to.Wait(t, limit, fmt.Sprintf("%d values", want), func(records []mes.Record) bool {
		for _, r := range records[done:] {
			seen[r.Signals[0].Name+" "+r.Signals[0].Value.Text()]++
		}
		done = len(records)
		return len(seen) >= want
	})
	for value, n := range seen {
		if n != 1 {
			t.Errorf("the value %s came %d times", value, n)
		}
	}
	if len(seen) != want {
		t.Errorf("%d values, want %d", len(seen), want)
	}
}

// TestNothingIsMissingAfterACut: the subscription of before is taken up, with what it
// queued meanwhile and what was sent to nobody.
func TestNothingIsMissingAfterACut(t *testing.T) {
	t.Parallel()
	g := sim.Group{Name: "Fast", Nodes: 20, Every: 20 * time.Millisecond}
	plant, proxy, cfg := counting(t, g)
	cfg.MaxNodesPerSubscription = 15
	to := opcuatest.NewIngester()
	a := running(t, cfg, to, quick())
	inState(t, a, mes.AdapterRunning, "")
	plant.Run(t.Context())
	for i, fault := range []func(){proxy.Cut, proxy.BlackHole, proxy.CutOne, proxy.HalfOpen, proxy.Cut, proxy.Cut} {
		before := a.Status().Reconnects
		fault()
		for end := time.Now().Add(limit); a.Status().Reconnects == before && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if a.Status().State == mes.AdapterBackingOff {
				proxy.Resume()
			}
		}
		proxy.Resume()
		if a.Status().Reconnects == before {
			t.Fatalf("fault %d disturbed nothing", i)
		}
		inState(t, a, mes.AdapterRunning, "")
	}
	eachOnce(t, plant, to, g.Nodes)
	if s := a.Status(); s.Gaps != 0 || s.GapsOpen != 0 {
		t.Errorf("%d gap records, %d nodes miss something", s.Gaps, s.GapsOpen)
	}
}

// TestUnstoredIsNotAcknowledged: a message is the server's until its values are stored.
func TestUnstoredIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	plant, _, cfg := counting(t, sim.Group{Name: "Slow", Nodes: 2, Every: 100 * time.Millisecond})
	to := opcuatest.NewIngester()
	a := running(t, cfg, to, quick())
	inState(t, a, mes.AdapterRunning, "")
	eventually(t, "everything acknowledged", func() bool { return plant.Unacknowledged() <= 1 })
	to.Fail(fmt.Errorf("the disk is full"))
	plant.Run(t.Context())
	eventually(t, "messages that are not acknowledged", func() bool { return plant.Unacknowledged() >= 10 })
	to.Fail(nil)
	plant.Halt()
	eventually(t, "everything acknowledged", func() bool { return plant.Unacknowledged() <= 1 })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %s in vain: %s", limit, what)
		}
	}
}

// TestSubscriptionOfAnotherIsLeftAlone: after a start of the server the number of a
// subscription is somebody else's.
func TestSubscriptionOfAnotherIsLeftAlone(t *testing.T) {
	t.Parallel()
	plant, proxy, cfg := counting(t, still)
	other := cfg
	other.Endpoint = plant.URL()
	part := func(from int) []config.OPCUAMachine {
		return []config.OPCUAMachine{{MachineID: "M001", Nodes: cfg.Machines[0].Nodes[from : from+3]}}
	}
	cfg.Machines, other.Machines = part(0), part(3)
	to, toOther := opcuatest.NewIngester(), opcuatest.NewIngester()
	a := running(t, cfg, to, quick())
	hasCounts(t, to, map[int]int{0: 0, 1: 0, 2: 0})

	proxy.BlackHole()
	inState(t, a, mes.AdapterBackingOff, "")
	if err := plant.Close(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // by what a start differs from the one before
	again, err := sim.StartLoad(t.Context(), plant.Addr(), still)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	b := running(t, other, toOther, quick())
	hasCounts(t, toOther, map[int]int{3: 0, 4: 0, 5: 0})
	inState(t, b, mes.AdapterRunning, "")

	proxy.Resume()
	inState(t, a, mes.AdapterRunning, "")
	for i := range 3 {
		again.Change(i)
		for range i + 2 {
			again.Change(i + 3)
		}
	}
	hasCounts(t, to, map[int]int{0: 1, 1: 1, 2: 1})
	hasCounts(t, toOther, map[int]int{3: 2, 4: 3, 5: 4})
	for _, r := range to.Records() {
		if text := r.Signals[0].Value.Text(); r.DataType != mes.Event && text != "0" && text != "1" {
			t.Errorf("%s has the value %s of another", r.Signals[0].Name, text)
		}
	}
	if n := b.Status().Reconnects; n != 0 || again.Subscriptions() != 2 {
		t.Errorf("the other has connected again %d times, there are %d subscriptions", n, again.Subscriptions())
	}
}
