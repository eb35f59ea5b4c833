package opcua

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/opcuatest"
	"plantgate/internal/opcua/sim"
)

// patternConfig reads the machines of the simulated plant by one pattern.
func patternConfig(url string) config.OPCUAConnection {
	cfg := plantConfig(url)
	cfg.Machines = []config.OPCUAMachine{{MachineID: "{machine}", Nodes: []config.OPCUANode{
		{Path: "/Objects/**/{machine}/{signal}"},
	}}}
	return cfg
}

// signals lists what records have, as MACHINE.SIGNAL.
func signals(records []mes.Record) []string {
	var names []string
	for _, r := range records {
		for _, s := range r.Signals {
			names = append(names, r.MachineID+"."+s.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestPatternLeadsToNodes(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	to := opcuatest.NewIngester()
	a := running(t, patternConfig(server.URL()), to, quick())
	to.Wait(t, limit, "a value of the press", func(r []mes.Record) bool {
		names := signals(r)
		return slices.Contains(names, "PRESS-01.Force") && slices.Contains(names, "MyFolder.MyStoredVariable")
	})
	inState(t, a, mes.AdapterRunning, "")
	for _, r := range to.Records() {
		if r.Signals[0].Name == "Force" && r.Origin.Address != "nsu="+sim.Namespace+";s=Plant/PRESS-01/Force" {
			t.Errorf("the address %q moves with indices", r.Origin.Address)
		}
	}
}

// TestWhatASingleNodeSaysComesFirst: a pattern leaves out what is configured singly, and
// of two nodes that would be one signal takes the first.
func TestWhatASingleNodeSaysComesFirst(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	cfg := patternConfig(server.URL())
	cfg.Machines = append(cfg.Machines, config.OPCUAMachine{MachineID: "press", Nodes: []config.OPCUANode{
		{NodeID: "ns=1;s=Plant/PRESS-01/Force", Unit: "N", Scale: "1000", Offset: "0.5", Signal: "force"},
		{Path: "/Objects/**/*:Force", Signal: "other"},
	}})
	to := opcuatest.NewIngester()
	a := running(t, cfg, to, quick())
	to.Wait(t, limit, "the press by both", func(r []mes.Record) bool {
		names := signals(r)
		return slices.Contains(names, "press.force") && slices.Contains(names, "PRESS-01.State")
	})
	if names := signals(to.Records()); slices.Contains(names, "PRESS-01.Force") || slices.Contains(names, "press.other") {
		t.Errorf("the force is there twice: %q", names)
	}
	for _, r := range to.Records() {
		if s := r.Signals[0]; s.Name == "force" && (s.Unit != "N" || !strings.HasSuffix(s.Value.Text(), ".5")) {
			t.Errorf("force is %s %s, not scaled", s.Value.Text(), s.Unit)
		}
	}
	if s := a.Status(); s.State == mes.AdapterDegraded && !strings.Contains(s.Detail, "other") && !strings.Contains(s.Detail, "no variable") {
		t.Errorf("%s: %s", s.State, s.Detail)
	}
}

func TestFaultsOfPaths(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	cfg := patternConfig(server.URL())
	cfg.MaxNodes = 3
	cfg.Discover = []string{config.DiscoverPackML}
	cfg.Machines = append(cfg.Machines, config.OPCUAMachine{MachineID: "x", Nodes: []config.OPCUANode{
		{Path: "/Objects/1:Nothing"},
		{Path: "/Objects/nsu=urn:gone;A/*", Signal: "y"},
		{Path: "/Objects/No*/*", Signal: "z"},
	}})
	to := opcuatest.NewIngester()
	a := running(t, cfg, to, quick())
	s := inState(t, a, mes.AdapterDegraded, "5 of 8 nodes bad")
	for _, want := range []string{"more than 3 nodes", "no node at /Objects/1:Nothing", "no namespace urn:gone", "leads to no variable", "no namespace http://opcfoundation.org/UA/PackML/"} {
		if !strings.Contains(s.Detail, want) {
			t.Errorf("the detail does not say %q: %s", want, s.Detail)
		}
	}
}

// TestNodesAreTheSameInEverySession: what is known of a node outlives its sessions, so
// that an equal value without a time of its own is not stored again.
func TestNodesAreTheSameInEverySession(t *testing.T) {
	t.Parallel()
	a := &Adapter{}
	b := binding{siteID: "main", machineID: "m", signal: "s", nodeID: "nsu=urn:x;s=a"}
	f := &found{targets: []target{{binding: b, key: "k"}, {binding: b, key: "l", absent: "gone"}}}
	first := a.adopt(f)
	moved := b
	moved.nodeID = "nsu=urn:x;s=b"
	f.targets = []target{{binding: b, key: "n"}, {binding: b, key: "k"}, {binding: moved, key: "l"}}
	again := a.adopt(f)
	if again[1] != first[0] || again[0] == first[0] || again[0] == first[1] {
		t.Error("a node is not the same in the next session")
	}
	if again[2] == first[1] || first[1].nodeID != b.nodeID {
		t.Error("a node that another lane may use was changed")
	}
}

func TestConversion(t *testing.T) {
	t.Parallel()
	number := func(text string) mes.Value {
		v, err := mes.Number(text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	scaled := newConversion(config.OPCUANode{Scale: "-0.1", Offset: "3"})
	counter := newConversion(config.OPCUANode{Role: "good_count"})
	state := newConversion(config.OPCUANode{Map: map[string]string{"Execute": "Running", "0": "Stopped", "true": "Idle"}})
	state.names = map[string]string{"4": "Execute"}
	named := conversion{named: true, names: map[string]string{"ns=3;i=36": "Execute"}, status: map[string]mes.Status{"Execute": mes.Running}}
	for name, tc := range map[string]struct {
		c      conversion
		v      mes.Value
		bad    bool
		want   mes.Value
		status mes.Status
		fault  string
	}{
		"scaled":                 {scaled, number("3"), false, number("2.7"), "", ""},
		"null":                   {scaled, mes.Value{}, false, mes.Value{}, "", ""},
		"not a number":           {scaled, mes.String("NaN"), false, mes.String("NaN"), "", ""},
		"infinity":               {scaled, mes.String("Infinity"), false, mes.String("-Infinity"), "", ""},
		"minus infinity":         {scaled, mes.String("-Infinity"), false, mes.String("Infinity"), "", ""},
		"text scaled":            {scaled, mes.String("x"), false, mes.Value{}, "", "number"},
		"counter":                {counter, number("12"), false, number("12"), "", ""},
		"half a piece":           {counter, number("0.5"), false, number("0.5"), "", "whole number"},
		"a counter that is bad":  {counter, number("-1"), true, number("-1"), "", ""},
		"by name":                {state, number("4"), false, number("4"), mes.Running, ""},
		"by number":              {state, number("0"), false, number("0"), mes.Stopped, ""},
		"by text itself":         {state, mes.String("Execute"), false, mes.String("Execute"), mes.Running, ""},
		"boolean":                {state, mes.Bool(true), false, mes.Bool(true), mes.Idle, ""},
		"bad":                    {state, number("4"), true, number("4"), "", ""},
		"unknown":                {state, number("5"), false, number("5"), "", ""},
		"state of a machine":     {named, mes.String("ns=3;i=36"), false, mes.String("Execute"), mes.Running, ""},
		"state of another maker": {named, mes.String("ns=4;i=1"), false, mes.String("ns=4;i=1"), "", ""},
	} {
		got, status, err := tc.c.of(tc.v, tc.bad)
		if (err == nil) != (tc.fault == "") || err != nil && !strings.Contains(err.Error(), tc.fault) {
			t.Errorf("%s: fault %v, want %q", name, err, tc.fault)
		}
		if err == nil && (got != tc.want || status != tc.status) {
			t.Errorf("%s: %v and %q, want %v and %q", name, got, status, tc.want, tc.status)
		}
	}
	r := (&binding{convert: counter, nodeID: "i=1", signal: "good_count"}).record(dataValue(-1.5), nil, time.Now())
	if r.Fault == nil || len(r.Payload) == 0 {
		t.Errorf("a counter of -1.5 makes %+v", r)
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	cfg := config.OPCUAConnection{SamplingInterval: time.Second, QueueSize: 7}
	m := newMonitoring(cfg, config.OPCUANode{})
	if m.filter != nil || m.sampling != time.Second || m.queue != 7 {
		t.Errorf("nothing configured: %+v", m)
	}
	m = newMonitoring(cfg, config.OPCUANode{Deadband: "2.5%", Trigger: config.TriggerStatusValueTimestamp, SamplingInterval: 5, QueueSize: 9})
	if m.filter == nil || m.filter.Trigger != 2 || m.filter.DeadbandType != 2 || m.filter.DeadbandValue != 2.5 || m.sampling != 5 || m.queue != 9 {
		t.Errorf("percent: %+v", m)
	}
	m = newMonitoring(cfg, config.OPCUANode{Deadband: "0.5"})
	if m.filter == nil || m.filter.Trigger != 1 || m.filter.DeadbandType != 1 || m.filter.DeadbandValue != 0.5 {
		t.Errorf("absolute: %+v", m)
	}
	m = newMonitoring(cfg, config.OPCUANode{Trigger: config.TriggerStatus})
	if m.filter == nil || m.filter.Trigger != 0 || m.filter.DeadbandType != 0 {
		t.Errorf("status: %+v", m)
	}
}

// TestDuplicatesOfPatterns: the first has a node and a signal; who is left out is told. An
// id that a machine can't have is a fault of the node, not of the others.
func TestDuplicatesOfPatterns(t *testing.T) {
	t.Parallel()
	cfg := config.OPCUAConnection{Machines: []config.OPCUAMachine{
		{MachineID: "m", Nodes: []config.OPCUANode{{NodeID: "ns=1;s=a", Signal: "speed"}}},
		{MachineID: "{machine}", Nodes: []config.OPCUANode{{Path: "/x/{machine}/{signal}"}, {Path: "/y/{machine}/*", Signal: "speed"}}},
	}}
	all := specs(cfg, "main")
	l := &lookup{found: found{counts: make([]int, len(all))}, namespaces: []string{"", "urn:x"}, taken: map[[3]string]string{}, nodes: map[string]string{}}
	if err := l.single(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	add := func(s *spec, node, machine, signal string) {
		l.add(s, s.bind("nsu=urn:x;s="+node, signal, []string{"{machine}", machine, "{signal}", signal}))
	}
	first, second := all[1], all[2]
	add(first, "a", "m", "Speed")    // configured singly: silently left out
	add(first, "b", "m", "speed")    // its signal is configured singly
	add(first, "c", "n", "Force")    // good
	add(first, "c", "o", "Force")    // the same node again, by a circle
	add(second, "c", "n", "Force")   // of another pattern: silently left out
	add(second, "d", "n", "any")     // good, as speed
	add(second, "e", "n", "other")   // would be speed too
	add(first, "f", "a/b", "Force")  // no id of a machine
	add(first, "g", "n", "status")   // no name of a signal
	add(second, "h", "n~1", "Force") // no id of a machine
	var got []string
	for _, t := range l.found.targets {
		got = append(got, t.nodeID+" "+t.machineID+" "+t.signal+" "+t.absent)
	}
	for i, want := range []string{"ns=1;s=a m speed ", "nsu=urn:x;s=c n Force ", "nsu=urn:x;s=d n speed ", `machine_id "a/b"`, "name of a signal", `machine_id "n~1"`} {
		if i >= len(got) || !strings.Contains(got[i], want) {
			t.Errorf("target %d of %q is not %q", i, got, want)
		}
	}
	for i, want := range []string{"s=b of /x/{machine}/{signal} would be speed of m", "s=c is found twice", "s=e of /y/{machine}/* would be speed of n"} {
		if i >= len(l.found.warnings) || !strings.Contains(l.found.warnings[i], want) {
			t.Errorf("warning %d of %q is not %q", i, l.found.warnings, want)
		}
	}
	if len(got) != 6 || len(l.found.warnings) != 3 {
		t.Errorf("%d targets, %d warnings", len(got), len(l.found.warnings))
	}
}

// TestWhatIsLearntOutlivesTheSession: the simulated server does not translate paths, and
// the library ends a session in which it says so. The next does without.
func TestWhatIsLearntOutlivesTheSession(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	cfg := patternConfig(server.URL())
	a, err := newAdapter(cfg, Deps{SiteID: "main"}, quick())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		c, err := link.Open(t.Context(), cfg, a.deps.link(), a.timing.link)
		if err != nil {
			t.Fatal(err)
		}
		nodes, err := a.resolve(t.Context(), c)
		link.Close(t.Context(), c, a.timing.link)
		if i == 0 && !errors.Is(err, errLearnt) || i == 1 && (err != nil || len(nodes) != 24) {
			t.Errorf("session %d: %d nodes, %v", i+1, len(nodes), err)
		}
	}
}

// TestPatternOverSeveralSessions: what a pattern leads to is dealt out like other nodes.
func TestPatternOverSeveralSessions(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	cfg := patternConfig(server.URL())
	cfg.MaxNodesPerSubscription = 10
	to := opcuatest.NewIngester()
	a := running(t, cfg, to, quick())
	to.Wait(t, limit, "a value of each session", func(r []mes.Record) bool {
		names := signals(r)
		return slices.Contains(names, "MyFolder.MyStoredVariable") && slices.Contains(names, "MILL-01.State") && slices.Contains(names, "OVEN-01.Energy")
	})
	inState(t, a, mes.AdapterRunning, "")
}

// TestAuditComparesWhatIsStored: a node whose values are scaled is not taken for one that
// has changed without a notification; one with a deadband may have.
func TestAuditComparesWhatIsStored(t *testing.T) {
	t.Parallel()
	a, err := newAdapter(plantConfig("opc.tcp://127.0.0.1:1"), Deps{Ingester: opcuatest.NewIngester()}, quick())
	if err != nil {
		t.Fatal(err)
	}
	s := &session{lane: a.newLane(0)}
	scaled := &node{binding: binding{convert: newConversion(config.OPCUANode{Scale: "2"})}, itemID: 1}
	quiet := &node{binding: binding{ask: newMonitoring(a.cfg, config.OPCUANode{Deadband: "5"})}, itemID: 2}
	s.nodes = []*node{quiet, scaled}
	r := scaled.record(dataValue(int32(3)), nil, time.Now())
	scaled.repeats(&r)
	for range 3 {
		s.compare(scaled, dataValue(int32(3)))
	}
	if scaled.fault != "" || !scaled.doubtedAt.IsZero() {
		t.Errorf("a scaled value that did not change: %q", scaled.fault)
	}
	if list := s.quiet(); len(list) != 1 || list[0] != scaled {
		t.Errorf("%d nodes are audited, one of two has a deadband", len(list))
	}
}
