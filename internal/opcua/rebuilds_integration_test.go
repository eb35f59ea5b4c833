//go:build integration

package opcua

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
)

// rebuilds is how often connections are taken away, and for how long keys are renewed
// meanwhile: 8 times and 4 s unless PLANTGATE_TEST_REBUILDS gives another number; then for
// a day of renewals, of which there are 32.
func rebuilds(t *testing.T) (times int, renewals time.Duration, soak bool) {
	t.Helper()
	text := os.Getenv("PLANTGATE_TEST_REBUILDS")
	if text == "" {
		return 8, 4 * time.Second, false
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("PLANTGATE_TEST_REBUILDS must be a number from 1, not %q", text)
	}
	return n, 35 * time.Second, true
}

// TestSoakRebuilds: a day of renewed keys and lost connections leaves nothing behind, here
// or at the server. Keys are renewed every second, sessions are kept for two.
func TestSoakRebuilds(t *testing.T) {
	rounds, renewals, soak := rebuilds(t)
	if !soak {
		t.Parallel() // memory is that of all tests then
	}
	p := newNodePeer(t)
	proxy := opcuatest.NewProxy(t, p.addr())
	tm := quick()
	tm.link.Token, tm.link.Session = 2*time.Second, 2*time.Second
	cfg := peerConfig(proxy.URL())
	cfg.PublishingInterval, cfg.SamplingInterval, cfg.Watchdog = 100*time.Millisecond, 0, 2*time.Second
	cfg.MaxNodesPerSubscription, cfg.QueueSize = 1, 1000
	to := opcuatest.NewIngester()
	a := labelled(t, cfg, to, tm)
	fresh(t, to, time.Time{})
	whole := func() {
		t.Helper()
		eventually(t, "every session", func() bool { return a.Status().SessionsUp == 3 })
	}
	disturb := func(i int) {
		t.Helper()
		before := a.Status().Reconnects
		switch {
		case i%10 == 4: // longer than the server keeps a session
			proxy.BlackHole()
			time.Sleep(4 * time.Second)
			proxy.Resume()
		case i%3 == 0:
			proxy.CutOne()
		default:
			proxy.Cut()
		}
		eventually(t, "another connection", func() bool { return a.Status().Reconnects > before })
		whole()
	}
	whole()
	for i := range 3 { // what is made once is made
		disturb(i)
	}
	goroutines, heap := left(t, p, math.MaxInt)
	before := a.Status().Reconnects
	time.Sleep(renewals)
	if n := a.Status().Reconnects - before; n != 0 {
		t.Errorf("%d sessions were built anew while keys were renewed", n)
	}
	fresh(t, to, time.Now())
	for i := range rounds {
		disturb(i)
	}
	goroutinesAfter, heapAfter := left(t, p, goroutines)
	s := a.Status()
	t.Logf("%d connections taken away, %d sessions built anew, %s of renewals: goroutines %d before, %d after; heap %d KB, %d KB; %d records, %d gaps",
		rounds, s.Reconnects, renewals, goroutines, goroutinesAfter, heap>>10, heapAfter>>10, len(to.Records()), s.Gaps)
	if goroutinesAfter > goroutines {
		t.Errorf("%d goroutines were left", goroutinesAfter-goroutines)
	}
	grown := int64(heapAfter) - int64(heap) - int64(len(to.Records()))*1500 // what the test remembers
	if soak && grown > int64(rounds)*20<<10 {
		t.Errorf("%d KB were left", grown>>10)
	}
	once(t, to, int(s.Reconnects))
}

// rebuildsLabel marks the goroutines of the adapter under test, and those that they start.
const rebuildsLabel = "rebuilds"

// labelled runs an adapter whose goroutines bear the label.
func labelled(t *testing.T, cfg config.OPCUAConnection, to *opcuatest.Ingester, tm timing) (a *Adapter) {
	t.Helper()
	pprof.Do(t.Context(), pprof.Labels("test", rebuildsLabel), func(context.Context) { a = running(t, cfg, to, tm) })
	return a
}

// labelledNow is how many goroutines bear the label.
func labelledNow(t *testing.T) (n int) {
	t.Helper()
	var text bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		t.Fatal(err)
	}
	of := 0
	for line := range strings.Lines(text.String()) {
		if count, _, is := strings.Cut(line, " @ "); is {
			of, _ = strconv.Atoi(count)
		}
		if strings.HasPrefix(line, "# labels:") && strings.Contains(line, rebuildsLabel) {
			n += of
		}
	}
	if n == 0 {
		t.Fatalf("no goroutine bears the label:\n%s", &text)
	}
	return n
}

// left waits until the server has no other sessions than ours, and we have no more than so
// many goroutines; it tells how many, and how much memory, are in use.
func left(t *testing.T, p *peer, most int) (goroutines int, heap uint64) {
	t.Helper()
	eventually(t, "no sessions but ours", func() bool { return p.sessions(t) == 3 })
	least := math.MaxInt
	for range 30 { // a renewal of keys leaves two for as long as keys last
		if least = min(least, labelledNow(t)); least <= most && most != math.MaxInt {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return least, m.HeapAlloc
}

// sessions is how many the server has.
func (p *peer) sessions(t *testing.T) (n int) {
	t.Helper()
	if _, err := io.WriteString(p.input, "sessions\n"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.After(limit); ; {
		select {
		case line := <-p.lines:
			if line == "done sessions" {
				return n
			}
			_, _ = fmt.Sscanf(line, "sessions %d", &n)
		case <-deadline:
			t.Fatal("the server does not tell its sessions")
		}
	}
}

// TestFewSessions: where the server has fewer sessions than there are parts of the nodes,
// they are dealt out to those that there are.
func TestFewSessions(t *testing.T) {
	t.Parallel()
	p := newNodePeer(t, "few")
	cfg := peerConfig("opc.tcp://" + p.addr())
	cfg.MaxNodesPerSubscription = 1
	tm := quick()
	tm.crowded = 3 * time.Second
	to := opcuatest.NewIngester()
	a := running(t, cfg, to, tm)
	inState(t, a, mes.AdapterRunning, "")
	stored(t, to, 29)
	fresh(t, to, time.Time{})
	if s := a.Status(); s.Sessions != 2 || s.SessionsUp != 2 || s.Nodes != 3 {
		t.Errorf("%+v", s)
	}
}

// TestSecuredTakeover: a session is taken up on another secured channel, by a user with a
// password, so that nothing of what its queues held is missing.
func TestSecuredTakeover(t *testing.T) {
	t.Parallel()
	p := newNodePeer(t)
	proxy := opcuatest.NewProxy(t, p.addr())
	cfg := peerConfig(proxy.URL())
	cfg.SecurityPolicy, cfg.SecurityMode = config.PolicyBasic256Sha256, config.ModeSignAndEncrypt
	cfg.ServerThumbprint = serverThumbprint(t, "opc.tcp://"+p.addr())
	cfg.Username, cfg.Password = "plantgate", "correct horse"
	cfg.SamplingInterval, cfg.QueueSize, cfg.Watchdog = 20*time.Millisecond, 1000, 2*time.Second
	to := opcuatest.NewIngester()
	a := running(t, cfg, to, defaultTiming())
	fresh(t, to, time.Time{})
	inState(t, a, mes.AdapterRunning, "")
	began := time.Now()
	for _, fault := range []func(){proxy.BlackHole, proxy.Cut, proxy.HalfOpen} {
		before := a.Status().Reconnects
		fault()
		for end := time.Now().Add(limit); a.Status().State != mes.AdapterBackingOff && time.Now().Before(end); {
			time.Sleep(5 * time.Millisecond)
		}
		proxy.Resume()
		eventually(t, "another connection", func() bool { return a.Status().Reconnects > before })
		fresh(t, to, time.Now())
	}
	complete(t, to, began)
	if s := a.Status(); s.Gaps != 0 || p.sessions(t) != 1 {
		t.Errorf("%d gap records, %d sessions at the server", s.Gaps, p.sessions(t))
	}
}
