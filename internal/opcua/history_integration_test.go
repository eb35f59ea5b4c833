//go:build integration

package opcua

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
)

const historyCounters = 4

// historyConfig has counters with a history, and variables without one.
func historyConfig(url string) config.OPCUAConnection {
	cfg := peerConfig(url)
	cfg.PublishingInterval, cfg.SamplingInterval = 200*time.Millisecond, 0
	for i := range historyCounters {
		cfg.Machines[0].Nodes = append(cfg.Machines[0].Nodes, config.OPCUANode{NodeID: fmt.Sprintf("ns=1;s=History/Counter%d", i)})
	}
	return cfg
}

// stoppable runs an adapter until stop is called, or the end of the test.
func stoppable(t *testing.T, cfg config.OPCUAConnection, to *opcuatest.Ingester, kept Notebook, tm timing) (a *Adapter, stop func()) {
	t.Helper()
	a, err := newAdapter(cfg, Deps{Ingester: to, Logger: slog.New(slog.DiscardHandler), SiteID: "main", Folder: t.TempDir(), Notebook: kept}, tm)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := a.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return a, stop
}

// counted are the ids that the values of a counter have, by number.
func counted(records []mes.Record, signal string, since time.Time) map[int]map[mes.ID]bool {
	ids := map[int]map[mes.ID]bool{}
	for _, r := range records {
		if r.Signals[0].Name != signal || r.Time.Before(since) {
			continue
		}
		n, err := strconv.Atoi(r.Signals[0].Value.Text())
		if err != nil {
			continue
		}
		r.Identify(mes.ID{})
		if ids[n] == nil {
			ids[n] = map[mes.ID]bool{}
		}
		ids[n][r.ID] = true
	}
	return ids
}

// completeOnce fails unless every number from the first to the last came, each by one id.
func completeOnce(t *testing.T, records []mes.Record, since time.Time) (values int) {
	t.Helper()
	for i := range historyCounters {
		signal := fmt.Sprintf("Counter%d", i)
		ids := counted(records, signal, since)
		least, most := 1<<31, 0
		for n, of := range ids {
			least, most = min(least, n), max(most, n)
			if len(of) != 1 {
				t.Errorf("%s: the value %d has %d ids", signal, n, len(of))
			}
		}
		if missing := most - least + 1 - len(ids); missing != 0 || len(ids) < 10 {
			t.Errorf("%s: %d of %d values are missing", signal, missing, most-least+1)
		}
		values += len(ids)
	}
	return values
}

func gapsOf(records []mes.Record) (list []string) {
	for _, r := range records {
		if r.DataType != mes.Event {
			continue
		}
		text := map[string]string{}
		for _, s := range r.Signals {
			text[s.Name] = s.Value.Text()
		}
		list = append(list, text[gapSignals]+" "+text[gapReason])
	}
	return list
}

// nothingMissing waits until nothing is missing any more.
func nothingMissing(t *testing.T, a *Adapter) {
	t.Helper()
	for end := time.Now().Add(time.Minute); a.Status().Missing > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d nodes miss something", a.Status().Missing)
		}
	}
}

func counts(t *testing.T, to *opcuatest.Ingester, n int) {
	t.Helper()
	to.Wait(t, time.Minute, fmt.Sprintf("%d changes", n), func(r []mes.Record) bool {
		return len(counted(r, "Counter0", time.Time{})) >= n
	})
}

// TestPeersHistoryFillsGap: what changed while the network was away is there afterwards,
// by the ids of live values, and of what has no history there is a record that it may be
// lost.
func TestPeersHistoryFillsGap(t *testing.T) {
	t.Parallel()
	for name, start := range peers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			proxy := opcuatest.NewProxy(t, p.addr())
			to := opcuatest.NewIngester()
			a, _ := stoppable(t, historyConfig(proxy.URL()), to, nil, defaultTiming())
			counts(t, to, 20)
			proxy.BlackHole()
			time.Sleep(8 * time.Second)
			proxy.Resume()
			fresh(t, to, time.Now())
			time.Sleep(2 * a.timing.recover)
			nothingMissing(t, a)
			s := a.Status()
			t.Logf("%d values, %d read from history, %d gap records", completeOnce(t, to.Records(), time.Time{}), s.Backfilled, s.Gaps)
			if s.Backfilled < 8*10*historyCounters/2 {
				t.Errorf("%d values from history", s.Backfilled)
			}
			gaps := gapsOf(to.Records())
			if len(gaps) != 1 || !strings.HasPrefix(gaps[0], `["MyAsynchronousVariable","MySynchronousVariable"] the server offers no history`) {
				t.Errorf("the gap records are %q", gaps)
			}
		})
	}
}

// TestPeersHistoryGoesOn: a process that ends in the middle of filling in, with nothing
// said, is followed by one that fills in all of it.
func TestPeersHistoryGoesOn(t *testing.T) {
	t.Parallel()
	for name, start := range peers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			to, kept := opcuatest.NewIngester(), &memory{all: map[string][]byte{}}
			tm := defaultTiming()
			tm.flush = 100 * time.Millisecond
			_, stop := stoppable(t, historyConfig("opc.tcp://"+p.addr()), to, kept, tm)
			counts(t, to, 20)
			stop()
			time.Sleep(4 * time.Second)

			// The second stores what is live for a while, and then nothing more; what it kept
			// by then is all that is left of it.
			lost := opcuatest.NewIngester()
			tm.recover, tm.drain = 500*time.Millisecond, 200*time.Millisecond
			second, stopSecond := stoppable(t, historyConfig("opc.tcp://"+p.addr()), lost, kept, tm)
			counts(t, lost, 3)
			lost.Fail(fmt.Errorf("killed"))
			time.Sleep(time.Second)
			left := kept.copy()
			if second.Status().Missing == 0 {
				t.Error("nothing is missing when it ends")
			}
			stopSecond()
			for _, r := range lost.Records() {
				_, _ = to.Ingest(t.Context(), []mes.Record{r})
			}

			third, _ := stoppable(t, historyConfig("opc.tcp://"+p.addr()), to, left, tm)
			fresh(t, to, time.Now())
			time.Sleep(2 * time.Second)
			nothingMissing(t, third)
			t.Logf("%d values once, %d by the third from history", completeOnce(t, to.Records(), time.Time{}), third.Status().Backfilled)
		})
	}
}

// TestPeersHistoryLost: a server that lost its history with its restart makes gap records.
func TestPeersHistoryLost(t *testing.T) {
	t.Parallel()
	for name, start := range peers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			to := opcuatest.NewIngester()
			a, _ := stoppable(t, historyConfig("opc.tcp://"+p.addr()), to, nil, defaultTiming())
			counts(t, to, 20)
			p.kill()
			p.start(t)
			restarted := time.Now()
			fresh(t, to, restarted)
			time.Sleep(2 * a.timing.recover)
			nothingMissing(t, a)
			gaps := strings.Join(gapsOf(to.Records()), "\n")
			for _, want := range []string{`["Counter0","Counter1","Counter2","Counter3"] the server's history begins later`, `"MySynchronousVariable"] the server offers no history`} {
				if !strings.Contains(gaps, want) {
					t.Errorf("no gap record says %s, only\n%s", want, gaps)
				}
			}
			time.Sleep(2 * time.Second)
			completeOnce(t, to.Records(), restarted)
		})
	}
}
