//go:build integration

package opcua

import (
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
)

// TestPeerUndecodableHistory: a value that the library can't decode, and that comes too late
// to be read from the server's queue, is read from history in vain. Of that node the loss is
// recorded; the others miss nothing.
func TestPeerUndecodableHistory(t *testing.T) {
	t.Parallel()
	p := newNodePeer(t)
	proxy := opcuatest.NewProxy(t, p.addr())
	cfg := historyConfig(proxy.URL())
	cfg.Machines[0].Nodes = append(cfg.Machines[0].Nodes, config.OPCUANode{NodeID: "ns=1;s=History/Mixed"})
	to := opcuatest.NewIngester()
	tm := historyTiming()
	tm.backOffMax, tm.link.Open = 500*time.Millisecond, 2*time.Second
	a, _ := stoppable(t, cfg, to, opcuatest.NewCursors(), tm)
	counts(t, to, 20)
	proxy.Cut()
	proxy.BlackHole()
	p.order(t, "undecodable")
	time.Sleep(300 * time.Millisecond)
	proxy.Resume()
	returned := time.Now()
	to.Wait(t, 2*time.Minute, "the gap record", func(records []mes.Record) bool {
		for _, g := range gapRecords(records) {
			if textOf(g, mes.SignalGapReason) == string(reasonFailed) {
				return true
			}
		}
		return false
	})
	t.Logf("%d sessions, given up after %s", a.Status().Reconnects, time.Since(returned).Round(100*time.Millisecond))
	closed(t, a)
	completeOnce(t, to.Records(), time.Time{})
	for _, g := range gapRecords(to.Records()) {
		if textOf(g, mes.SignalGapReason) == string(reasonFailed) && textOf(g, mes.SignalGapSignals) != `["Mixed"]` {
			t.Errorf("given up are %s", textOf(g, mes.SignalGapSignals))
		}
	}
}
