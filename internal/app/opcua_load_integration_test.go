//go:build integration

package app_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"plantgate/internal/app/apptest"
	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/sim"
)

// soakSeconds is for how long many nodes change: 5 s unless PLANTGATE_TEST_OPCUA_SOAK gives
// other seconds; then each form of the load is on its own as well.
func soakSeconds(t *testing.T) (lasts time.Duration, soak bool) {
	t.Helper()
	text := os.Getenv("PLANTGATE_TEST_OPCUA_SOAK")
	if text == "" {
		return 5 * time.Second, false
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("PLANTGATE_TEST_OPCUA_SOAK must be seconds, not %q", text)
	}
	return time.Duration(n) * time.Second, true
}

// loadConnection reads every node, 1,000 to a machine.
func loadConnection(plant *sim.Load, groups []sim.Group) config.OPCUAConnection {
	c := config.OPCUAConnection{
		Name: "load", Endpoint: plant.URL(), SecurityPolicy: config.PolicyNone, SecurityMode: config.ModeNone,
		PublishingInterval: 500 * time.Millisecond, SamplingInterval: 50 * time.Millisecond, QueueSize: 100, Watchdog: 5 * time.Second,
	}
	for _, g := range groups {
		for i := range g.Nodes {
			if i%1000 == 0 {
				c.Machines = append(c.Machines, config.OPCUAMachine{MachineID: fmt.Sprintf("%s-%d", g.Name, i/1000), SiteID: "pune"})
			}
			m := &c.Machines[len(c.Machines)-1]
			m.Nodes = append(m.Nodes, config.OPCUANode{NodeID: g.NodeID(i), Signal: fmt.Sprintf("v%d", i)})
		}
	}
	return c
}

// TestSoakOPCUALoad: of 10,000 nodes that change once a second, and 1,000 that do ten times,
// each change is stored, once.
func TestSoakOPCUALoad(t *testing.T) {
	slow, fast := sim.Group{Name: "Slow", Nodes: 10_000, Every: time.Second}, sim.Group{Name: "Fast", Nodes: 1000, Every: 100 * time.Millisecond}
	lasts, soak := soakSeconds(t)
	if soak {
		t.Run("10,000 nodes at 1 Hz", func(t *testing.T) { load(t, lasts, slow) })
		t.Run("1,000 nodes at 10 Hz", func(t *testing.T) { load(t, lasts, fast) })
	} else {
		t.Parallel()
	}
	t.Run("both", func(t *testing.T) { load(t, lasts, slow, fast) })
}

// load lets the variables of groups change for so long.
func load(t *testing.T, lasts time.Duration, groups ...sim.Group) {
	plant, err := sim.StartLoad(t.Context(), "127.0.0.1:0", groups...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plant.Close() })
	c := loadConnection(plant, groups)
	s := apptest.StartProcess(t, os.Getenv("PLANTGATE_TEST_CPUPROFILE"), c)
	nodes := 0.0
	for _, g := range groups {
		nodes += float64(g.Nodes)
	}
	const created = `plantgate_ingest_records_total{outcome="created"}`
	apptest.Eventually(t, "the first value of every node", func() bool { return s.Metric(created) == nodes })
	before, began := s.CPU(), time.Now()
	plant.Run(t.Context())
	time.Sleep(lasts)
	cpu := s.CPU() - before
	plant.Halt()
	want := float64(plant.Changes())
	apptest.Eventually(t, "every change", func() bool { return s.Metric(created) >= nodes+want })
	settled := time.Since(began) - lasts
	if got := s.Metric(created) - nodes; got != want {
		t.Errorf("%.0f records are stored of %.0f changes", got, want)
	}
	for _, name := range []string{"plantgate_connection_gaps_total", "plantgate_connection_reconnects_total", "plantgate_connection_quarantined_total"} {
		if n := s.Metric(name + `{connection="load",door="opcua"}`); n != 0 {
			t.Errorf("%s is %g", name, n)
		}
	}
	apptest.Eventually(t, "the newest values, of every change", func() bool {
		total := 0.0
		for _, m := range c.Machines {
			if s.Do("GET", "/api/v1/equipment/pune~"+m.MachineID+"/latest", "").Status != http.StatusOK {
				return false
			}
			for _, n := range newest(s, m.MachineID) {
				total += n
			}
		}
		return total == want
	})
	now, peak := s.Memory()
	t.Logf("%.0f changes in %s (%.0f a second), all stored %s after the last; lag p50 %s, p99 %s; CPU %.2f of a core (%.1f µs a record); memory %d MB, at its peak %d MB",
		want, lasts, want/lasts.Seconds(), settled.Round(time.Millisecond), lagOf(t, s, 0.5), lagOf(t, s, 0.99),
		cpu.Seconds()/lasts.Seconds(), float64(cpu.Microseconds())/want, now>>20, peak>>20)
}

// newest are the newest values of a machine.
func newest(s *apptest.Process, machine string) []float64 {
	var values []float64
	for cursor := ""; ; {
		page := apptest.Get[apptest.Page[apptest.Latest]](s.Client, "/api/v1/equipment/pune~"+machine+"/latest?limit=1000"+cursor)
		for _, l := range page.Items {
			v, _ := strconv.ParseFloat(string(l.Value), 64)
			values = append(values, v)
		}
		if page.NextCursor == nil {
			return values
		}
		cursor = "&cursor=" + *page.NextCursor
	}
}

// lagOf is a percentile of the time from the source to the commit, by the histogram of the
// metrics: within a bucket values are taken to lie evenly.
func lagOf(t *testing.T, s *apptest.Process, part float64) time.Duration {
	t.Helper()
	var counts []float64
	total := s.Metric(`plantgate_connection_lag_seconds_count{connection="load",door="opcua"}`)
	lines := bufio.NewScanner(strings.NewReader(string(s.Do("GET", "/metrics", "").Body)))
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), `plantgate_connection_lag_seconds_bucket{connection="load",door="opcua",le=`); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(text[strings.Index(text, "}")+1:]), 64)
			if err != nil {
				t.Fatal(err)
			}
			counts = append(counts, n)
		}
	}
	low, below := 0.0, 0.0
	for i, bound := range mes.LagBounds() {
		if counts[i] >= part*total {
			return time.Duration((low + (bound-low)*(part*total-below)/(counts[i]-below)) * float64(time.Second)).Round(time.Millisecond)
		}
		low, below = bound, counts[i]
	}
	return time.Duration(low * float64(time.Second))
}
