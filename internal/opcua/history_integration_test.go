//go:build integration

package opcua

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
)

const historyCounters = 4

// historyConfig has counters with a history, and the variable without one.
func historyConfig(url string) config.OPCUAConnection {
	cfg := peerConfig(url)
	cfg.PublishingInterval, cfg.SamplingInterval = 200*time.Millisecond, 0
	cfg.History.ValuesPerNode = 10
	for i := range historyCounters {
		cfg.Machines[0].Nodes = append(cfg.Machines[0].Nodes, config.OPCUANode{NodeID: fmt.Sprintf("ns=1;s=History/Counter%d", i)})
	}
	return cfg
}

// counted are the ids that the values of a counter have, by number, of values since a time.
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

// newest is the highest number of a counter so far.
func newest(records []mes.Record, signal string) int {
	most := 0
	for n := range counted(records, signal, time.Time{}) {
		most = max(most, n)
	}
	return most
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

func gapRecords(records []mes.Record) []mes.Record {
	var list []mes.Record
	for _, r := range records {
		if r.DataType == mes.Event {
			list = append(list, r)
		}
	}
	return list
}

func textOf(r mes.Record, signal string) string {
	for _, s := range r.Signals {
		if s.Name == signal {
			return s.Value.Text()
		}
	}
	return ""
}

// closed waits until nothing is missing any more.
func closed(t *testing.T, a *Adapter) {
	t.Helper()
	for end := time.Now().Add(time.Minute); a.Status().GapsOpen > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d gaps are open", a.Status().GapsOpen)
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
// once, by the ids of live values, and of what has no history there is one record that it
// may be lost. The servers have kept the subscription, whose queues are too short for the
// time, which asyncua does not tell. The pages are small: asyncua cuts what it gives without
// a word.
func TestPeersHistoryFillsGap(t *testing.T) {
	t.Parallel()
	for name, start := range peers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			proxy := opcuatest.NewProxy(t, p.addr())
			to := opcuatest.NewIngester()
			cfg, why, tm := historyConfig(proxy.URL()), reasonNoHistory, historyTiming()
			cfg.QueueSize, tm.overflows = 10, time.Second
			if name == "node-opcua" {
				why = reasonOverflow
			}
			a, _ := stoppable(t, cfg, to, opcuatest.NewCursors(), tm)
			counts(t, to, 20)
			before := time.Now()
			proxy.BlackHole()
			time.Sleep(8 * time.Second)
			proxy.Resume()
			fresh(t, to, time.Now())
			closed(t, a)
			counts(t, to, newest(to.Records(), "Counter0")-5)
			s := a.Status()
			t.Logf("%d values, %d of them from history, %d gap records", completeOnce(t, to.Records(), time.Time{}), s.Backfilled, s.Gaps)
			if s.Backfilled < 8*10*historyCounters/2 {
				t.Errorf("%d values from history", s.Backfilled)
			}
			gaps := gapRecords(to.Records())
			if len(gaps) != 1 {
				t.Fatalf("%d gap records, want one of the machine: %v", len(gaps), gaps)
			}
			g := gaps[0]
			from, err := time.Parse(time.RFC3339Nano, textOf(g, mes.SignalGapFrom))
			if err != nil || from.Sub(before).Abs() > 3*time.Second || g.Time.Sub(from) < 6*time.Second ||
				textOf(g, mes.SignalGapReason) != string(why) ||
				textOf(g, mes.SignalGapSignals) != `["MyAsynchronousVariable","MySynchronousVariable"]` {
				t.Errorf("the gap record says %v (interrupted at %v)", g.Signals, before)
			}
			if err := g.Validate(); err != nil {
				t.Error(err)
			}
			readAgain(t, a, to)
		})
	}
}

// readAgain has the history read of what is there already.
func readAgain(t *testing.T, a *Adapter, to *opcuatest.Ingester) {
	t.Helper()
	live := to.Records()
	now := time.Now()
	a.cursors.mu.Lock()
	for _, track := range a.cursors.tracks {
		if strings.HasPrefix(track.node.signal, "Counter") {
			a.cursors.widen(track, live[0].Time, track.received, now, now, false)
		}
	}
	a.cursors.mu.Unlock()
	closed(t, a)
	if again := len(to.Records()) - len(live); again < 20*historyCounters {
		t.Errorf("%d values came again by history", again)
	}
	completeOnce(t, to.Records(), time.Time{})
}

// TestPeersHistoryGoesOn: a process that ends in the middle of a back-fill, with nothing
// said, is followed by one that fills the rest.
func TestPeersHistoryGoesOn(t *testing.T) {
	t.Parallel()
	for name, start := range peers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			proxy := opcuatest.NewProxy(t, p.addr())
			to, kept := opcuatest.NewIngester(), opcuatest.NewCursors()
			tm := historyTiming()
			tm.batch, tm.drain = 20, 500*time.Millisecond
			_, stop := stoppable(t, historyConfig(proxy.URL()), to, kept, tm)
			counts(t, to, 20)
			stop()
			time.Sleep(4 * time.Second)

			// The second stores a part of history, and then nothing more; what it knew by
			// then is all that is left of it.
			limited := &stuck{next: to, room: 100}
			second, stopSecond := stoppable(t, historyConfig(proxy.URL()), limited, kept, tm)
			select {
			case <-limited.full():
			case <-time.After(time.Minute):
				t.Fatal("the second stored nothing")
			}
			time.Sleep(1500 * time.Millisecond)
			left := kept.Copy()
			open := 0
			for _, c := range left.Kept() {
				if !c.Gap.IsZero() {
					open++
				}
			}
			if open == 0 {
				t.Error("no gap is kept in the middle of a back-fill")
			}
			stopSecond()
			t.Logf("%d gaps were kept, %d values filled in", open, second.Status().Backfilled)

			third, _ := stoppable(t, historyConfig(proxy.URL()), to, left, tm)
			fresh(t, to, time.Now())
			closed(t, third)
			t.Logf("%d values once, %d by the third", completeOnce(t, to.Records(), time.Time{}), third.Status().Backfilled)
		})
	}
}

// TestPeersHistoryLost: a server that lost its history with its restart makes a gap record.
func TestPeersHistoryLost(t *testing.T) {
	t.Parallel()
	for name, start := range peers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			to := opcuatest.NewIngester()
			a, _ := stoppable(t, historyConfig("opc.tcp://"+p.addr()), to, opcuatest.NewCursors(), historyTiming())
			counts(t, to, 20)
			p.kill()
			p.start(t)
			restarted := time.Now()
			fresh(t, to, restarted)
			closed(t, a)
			reasons := map[string]string{}
			for _, g := range gapRecords(to.Records()) {
				reasons[textOf(g, mes.SignalGapReason)] = textOf(g, mes.SignalGapSignals)
			}
			if got := reasons[string(reasonBeginsLater)]; got != `["Counter0","Counter1","Counter2","Counter3"]` {
				t.Errorf("the gap records name %v", reasons)
			}
			if got := reasons[string(reasonNoHistory)]; got != `["MyAsynchronousVariable","MyStoredVariable","MySynchronousVariable"]` {
				t.Errorf("the gap records name %v", reasons)
			}
			to.Wait(t, time.Minute, "changes since the restart", func(r []mes.Record) bool {
				return len(counted(r, "Counter0", restarted)) >= 20
			})
			completeOnce(t, to.Records(), restarted)
		})
	}
}

// TestPeerOverflow: what the server's queues lost is read from history, and is recorded,
// but not each time, where there is none. Of the two servers node-opcua tells.
func TestPeerOverflow(t *testing.T) {
	t.Parallel()
	p := newNodePeer(t)
	cfg := historyConfig("opc.tcp://" + p.addr())
	cfg.PublishingInterval, cfg.QueueSize = time.Second, 2
	to := opcuatest.NewIngester()
	tm := historyTiming()
	tm.overflows = 3 * time.Second
	stoppable(t, cfg, to, opcuatest.NewCursors(), tm)
	time.Sleep(8 * time.Second)
	records := to.Records()
	ids := counted(records, "Counter1", time.Time{})
	least := 1 << 31
	for n := range ids {
		least = min(least, n)
	}
	hole := least
	for ids[hole] != nil {
		hole++
	}
	overflows := 0
	for _, r := range records {
		if r.HasFlag(mes.FlagOverflow) && r.Signals[0].Name == "Counter1" {
			overflows++
		}
	}
	if overflows < 4 || hole-least < 20 {
		t.Errorf("%d overflows; the first %d values are complete", overflows, hole-least)
	}
	gaps := gapRecords(records)
	if len(gaps) < 1 || len(gaps) > 4 {
		t.Errorf("%d gap records in 8 s", len(gaps))
	}
	for _, g := range gaps {
		if textOf(g, mes.SignalGapReason) != string(reasonOverflow) {
			t.Errorf("the gap record says %v", g.Signals)
		}
	}
	t.Logf("%d overflows of a node, %d of %d values without a hole, %d gap records", overflows, hole-least, len(ids), len(gaps))
}
