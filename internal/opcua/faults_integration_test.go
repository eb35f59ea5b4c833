//go:build integration

package opcua

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
)

// blackHole is how long the network swallows everything: 10 s unless
// PLANTGATE_TEST_BLACK_HOLE gives other seconds.
func blackHole(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("PLANTGATE_TEST_BLACK_HOLE")
	if text == "" {
		return 10 * time.Second
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("PLANTGATE_TEST_BLACK_HOLE must be seconds, not %q", text)
	}
	return time.Duration(n) * time.Second
}

// TestPeersNetworkFaults: whatever the network does, values flow within 15 s of its end,
// none twice, and none is missing of those that the server's queue kept.
func TestPeersNetworkFaults(t *testing.T) {
	t.Parallel()
	for name, start := range peers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			proxy := opcuatest.NewProxy(t, p.addr())
			to := opcuatest.NewIngester()
			cfg := peerConfig(proxy.URL())
			cfg.SamplingInterval, cfg.QueueSize = 20*time.Millisecond, 1000
			a := running(t, cfg, to, defaultTiming())
			fresh(t, to, time.Time{})
			inState(t, a, mes.AdapterRunning, "")

			began := time.Now()
			proxy.Delay(300*time.Millisecond, 2*time.Second)
			time.Sleep(8 * time.Second)
			proxy.Resume()
			fresh(t, to, time.Now())
			if n := a.Status().Reconnects; n != 0 {
				t.Errorf("%d reconnects by delays alone", n)
			}
			proxy.Hold()
			time.Sleep(2 * time.Second)
			proxy.Resume()
			fresh(t, to, time.Now())
			complete(t, to, began)

			for kind, fault := range map[string]func(){"cut": proxy.Cut, "black hole": proxy.BlackHole, "half open": proxy.HalfOpen} {
				fault()
				if kind != "cut" {
					time.Sleep(blackHole(t))
				}
				proxy.Resume()
				returned := time.Now()
				fresh(t, to, returned)
				t.Logf("%s: values again after %s", kind, time.Since(returned).Round(time.Millisecond))
			}
			if p.name == "node-opcua" { // asyncua ends a session with its connection
				complete(t, to, began)
				if s := a.Status(); s.Gaps != 0 || s.GapsOpen != 0 {
					t.Errorf("%d gap records, %d nodes miss something, though the server's queue kept everything", s.Gaps, s.GapsOpen)
				}
			}
			once(t, to, int(a.Status().Reconnects)+1)
		})
	}
}

// synchronous are the values of the counting variable by their numbers, since a time.
func synchronous(to *opcuatest.Ingester, since time.Time) map[string]int {
	seen := map[string]int{}
	for _, r := range to.Records() {
		if r.Signals[0].Name == "MySynchronousVariable" && r.Time.After(since) {
			seen[r.Signals[0].Value.Text()]++
		}
	}
	return seen
}

// complete fails if a number is missing between the first and the last.
func complete(t *testing.T, to *opcuatest.Ingester, since time.Time) {
	t.Helper()
	seen := synchronous(to, since)
	least, most := 1<<31, 0
	for text := range seen {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		least, most = min(least, n), max(most, n)
	}
	if missing := most - least + 1 - len(seen); missing != 0 || len(seen) < 10 {
		t.Errorf("%d values of %d to %d are missing", missing, least, most)
	}
	t.Logf("%d values, none missing", len(seen))
}

// once fails if a value at a time of the source came twice, but for the value that stands
// when a session begins, or is taken up by some servers: its identity is the same.
func once(t *testing.T, to *opcuatest.Ingester, sessions int) {
	t.Helper()
	again := 0
	for _, n := range synchronous(to, time.Time{}) {
		if n > 1 {
			again++
		}
	}
	if again > sessions {
		t.Errorf("%d values came more than once in %d sessions", again, sessions)
	}
}

// TestPeersClockJumps: a server whose clock is set an hour ahead, and back, is read on.
func TestPeersClockJumps(t *testing.T) {
	t.Parallel()
	for _, p := range []*peer{nodePeer(t), pythonPeer(t)} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.clock = filepath.Join(t.TempDir(), "clock")
			p.jump(t, 0)
			p.launch(t)
			to := opcuatest.NewIngester()
			a := running(t, peerConfig("opc.tcp://"+p.addr()), to, defaultTiming())
			fresh(t, to, time.Time{})
			for _, jump := range []time.Duration{time.Hour, 0, -time.Hour, 0} {
				p.jump(t, jump)
				jumped := time.Now()
				to.Wait(t, returnLimit, "a value by the clock that jumped to "+jump.String(), func(records []mes.Record) bool {
					last := records[len(records)-1]
					return last.ReceivedAt.After(jumped) && (last.Time.Sub(last.ReceivedAt)-jump).Abs() < time.Minute
				})
				t.Logf("by %s: values after %s", jump, time.Since(jumped).Round(time.Millisecond))
			}
			inState(t, a, mes.AdapterRunning, "")
		})
	}
}

// TestPeersNodeMadeAnew: a node that the server removes is bad by itself, and is read again
// when it is back.
func TestPeersNodeMadeAnew(t *testing.T) {
	t.Parallel()
	for name, start := range peers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			to := opcuatest.NewIngester()
			tm := defaultTiming()
			tm.nodeFirst, tm.nodeMax = time.Second, 2*time.Second
			a := running(t, peerConfig("opc.tcp://"+p.addr()), to, tm)
			stored(t, to, 29)
			inState(t, a, mes.AdapterRunning, "")
			p.order(t, "delete")
			inState(t, a, mes.AdapterDegraded, "MyStoredVariable")
			fresh(t, to, time.Now())
			p.order(t, "create")
			returned := time.Now()
			stored(t, to, 30)
			t.Logf("the node was read again after %s", time.Since(returned).Round(time.Millisecond))
			inState(t, a, mes.AdapterRunning, "")
			if n := a.Status().Reconnects; n != 0 {
				t.Errorf("%d reconnects", n)
			}
		})
	}
}
