package opcua

import (
	"strings"
	"testing"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
)

// TestLanes: a connection with more nodes than one subscription may have brings all of
// them by several sessions, each of which is built anew by itself.
func TestLanes(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	proxy := opcuatest.NewProxy(t, strings.TrimPrefix(server.URL(), "opc.tcp://"))
	cfg := plantConfig(proxy.URL())
	cfg.MaxNodesPerSubscription = 2
	to := opcuatest.NewIngester()
	a := running(t, cfg, to, quick())
	inState(t, a, mes.AdapterRunning, "")
	if n := proxy.Connections(); n != 3 {
		t.Errorf("%d connections for 5 nodes, two a subscription", n)
	}
	to.Wait(t, limit, "a value of every node", func(r []mes.Record) bool {
		for _, name := range []string{"MyStoredVariable", "MySynchronousVariable", "MyAsynchronousVariable", "Force", "State"} {
			if !opcuatest.Value(r, name, func(mes.Value) bool { return true }) {
				return false
			}
		}
		return true
	})
	before := a.Status().Reconnects
	proxy.CutOne()
	for end := time.Now().Add(limit); a.Status().Reconnects == before && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	inState(t, a, mes.AdapterRunning, "")
	if got := a.Status().Reconnects - before; got != 1 {
		t.Errorf("%d sessions were built anew after one was cut", got)
	}
	server.Write(77)
	stored(t, to, 77)
}

func TestAggregate(t *testing.T) {
	t.Parallel()
	up := standing{state: mes.AdapterRunning, nodes: 10}
	partly := standing{state: mes.AdapterDegraded, nodes: 10, bad: 2, named: []string{"a (gone)", "b (gone)"}}
	down := standing{state: mes.AdapterBackingOff, detail: "reset", nodes: 10}
	silent := standing{state: mes.AdapterStale, detail: "silent", nodes: 10}
	for name, tc := range map[string]struct {
		lanes  []standing
		state  mes.AdapterState
		detail string
	}{
		"one":             {[]standing{up}, mes.AdapterRunning, ""},
		"one with faults": {[]standing{partly}, mes.AdapterDegraded, "2 of 10 nodes bad: a (gone), b (gone)"},
		"one down":        {[]standing{down}, mes.AdapterBackingOff, "reset"},
		"one stale":       {[]standing{silent}, mes.AdapterStale, "silent"},
		"all up":          {[]standing{up, up}, mes.AdapterRunning, ""},
		"some down":       {[]standing{up, silent, partly}, mes.AdapterDegraded, "nothing comes by 1 of 3 sessions: silent; 2 of 30 nodes bad: a (gone), b (gone)"},
		"beginning":       {[]standing{up, {state: mes.AdapterConnecting, nodes: 10}}, mes.AdapterDegraded, "nothing comes by 1 of 2 sessions yet"},
		"all down":        {[]standing{down, silent}, mes.AdapterBackingOff, "reset"},
	} {
		if state, detail := aggregate(tc.lanes); state != tc.state || detail != tc.detail {
			t.Errorf("%s: %s (%s), want %s (%s)", name, state, detail, tc.state, tc.detail)
		}
	}
}

// TestStaleIsShown: a subscription that says nothing is stale before it is given up, and
// runs again without a new session if it speaks in time.
func TestStaleIsShown(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	proxy := opcuatest.NewProxy(t, strings.TrimPrefix(server.URL(), "opc.tcp://"))
	cfg := plantConfig(proxy.URL())
	cfg.Watchdog = 4 * time.Second
	to := opcuatest.NewIngester()
	a := running(t, cfg, to, quick())
	inState(t, a, mes.AdapterRunning, "")
	proxy.Hold()
	inState(t, a, mes.AdapterStale, "no notification for 2s")
	proxy.Resume()
	inState(t, a, mes.AdapterRunning, "")
	if n := a.Status().Reconnects; n != 0 {
		t.Errorf("%d reconnects", n)
	}
	proxy.Hold()
	inState(t, a, mes.AdapterBackingOff, "no notification for 4s")
	proxy.Resume()
	inState(t, a, mes.AdapterRunning, "")
}

// TestAudit: a quiet node whose value is another at two looks has lost its notifications.
func TestAudit(t *testing.T) {
	t.Parallel()
	a, err := newAdapter(plantConfig("opc.tcp://127.0.0.1:1"), Deps{Ingester: opcuatest.NewIngester()}, quick())
	if err != nil {
		t.Fatal(err)
	}
	s := &session{lane: a.newLane(0)}
	n := &node{binding: *oneBinding()}
	n.begin()
	says := func(v any) { r := n.record(dataValue(v), nil, time.Now()); n.repeats(&r) }
	says(int32(1))
	for i, step := range []struct {
		value any
		known bool
		bad   bool
	}{
		{int32(1), false, false}, {int32(2), false, false}, {int32(1), false, false}, {int32(2), false, false},
		{int32(3), true, false}, {int32(4), false, false}, {int32(4), false, true},
	} {
		if step.known { // it is notified meanwhile
			n.notifiedNow(time.Now())
			says(step.value)
		}
		s.compare(n, dataValue(step.value))
		if (n.fault != "") != step.bad {
			t.Errorf("step %d: the fault is %q", i, n.fault)
		}
	}
	if n.retryAt.After(time.Now()) {
		t.Error("it is not monitored anew at once")
	}
}

// TestAuditOfSlowNodes: one that is sampled seldom has the time to tell.
func TestAuditOfSlowNodes(t *testing.T) {
	t.Parallel()
	a, err := newAdapter(plantConfig("opc.tcp://127.0.0.1:1"), Deps{Ingester: opcuatest.NewIngester()}, defaultTiming())
	if err != nil {
		t.Fatal(err)
	}
	s := &session{lane: a.newLane(0)}
	quick, slow := &node{binding: *oneBinding(), itemID: 1}, &node{binding: *oneBinding(), itemID: 2}
	slow.ask.sampling = time.Minute
	s.nodes = []*node{quick, slow}
	r := slow.record(dataValue(int32(1)), nil, time.Now())
	slow.repeats(&r)
	for _, n := range s.nodes {
		n.notifiedNow(time.Now().Add(-time.Minute))
	}
	if quiet := s.quiet(); len(quiet) != 1 || quiet[0] != quick {
		t.Errorf("%d nodes are quiet", len(quiet))
	}
	slow.notifiedNow(time.Now().Add(-3 * time.Minute))
	if quiet := s.quiet(); len(quiet) != 2 {
		t.Errorf("%d nodes are quiet", len(quiet))
	}
	for range 3 {
		if s.compare(slow, dataValue(int32(2))); slow.fault != "" {
			t.Fatalf("it had no time to tell: %s", slow.fault)
		}
	}
	slow.doubtedAt = slow.doubtedAt.Add(-2 * time.Minute)
	if s.compare(slow, dataValue(int32(2))); slow.fault == "" {
		t.Error("it tells nothing, and is not monitored anew")
	}
}
