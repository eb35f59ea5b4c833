//go:build integration

package opcua

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
)

// plants are peers with machines that come and go, in namespaces of the given order.
func plants() map[string]func(*testing.T) *peer {
	return map[string]func(*testing.T) *peer{
		"node-opcua": func(t *testing.T) *peer {
			newNodePeerInstalled(t)
			p := &peer{name: "node-opcua", command: []string{"node", filepath.Join(peersFolder(t), "node-plant.js"), "PORT", "FOLDER", "urn:plant", "urn:other"}}
			return p.launch(t)
		},
		"asyncua": func(t *testing.T) *peer {
			p := &peer{name: "asyncua", command: []string{pythonOfPeers(t), filepath.Join(peersFolder(t), "asyncua_plant.py"), "PORT", "urn:plant", "urn:other"}}
			return p.launch(t)
		},
	}
}

// plantByName names nodes in every way that there is.
func plantByName(url string) config.OPCUAConnection {
	cfg := peerConfig(url)
	cfg.PublishingInterval, cfg.SamplingInterval = 200*time.Millisecond, 50*time.Millisecond
	cfg.BrowseInterval = 10 * time.Second // asyncua tells no changes of its model
	const status = "/Objects/nsu=urn:plant;Machines/nsu=urn:plant;M%d/nsu=urn:plant;Status/nsu=urn:plant;%s"
	cfg.Machines = []config.OPCUAMachine{
		{MachineID: "single", Nodes: []config.OPCUANode{
			{Path: fmt.Sprintf(status, 1, "Speed"), Signal: "absolute", Deadband: "5"},
			{NodeID: "nsu=urn:plant;s=M2/Speed", Signal: "percent", Deadband: "2%"},
			{NodeID: "nsu=urn:plant;s=M3/Plain", Signal: "no_range", Deadband: "2%"},
			{NodeID: "nsu=urn:plant;s=M4", Path: "/nsu=urn:plant;Status/nsu=urn:plant;Good", Role: "good_count"},
			{Path: fmt.Sprintf(status, 5, "Mode"), Map: map[string]string{"Producing": "Running", "Off": "Stopped"}},
			{NodeID: "nsu=urn:plant;s=M5/Plain", Signal: "scaled", Scale: "0.001", Offset: "1"},
		}},
		{MachineID: "{machine}", Nodes: []config.OPCUANode{
			{Path: "Objects/nsu=urn:plant;Machines/{machine}/*:Status/nsu=urn:plant;{signal}"},
		}},
	}
	return cfg
}

// numbers lists a signal's values in the order of their times, each once.
func numbers(records []mes.Record, machine, signal string) []float64 {
	var list []float64
	for _, r := range records {
		if r.MachineID == machine && r.Fault == nil && r.Signals[0].Name == signal && r.StatusCode == 0 {
			if f, ok := r.Signals[0].Value.Float64(); ok && (len(list) == 0 || list[len(list)-1] != f) {
				list = append(list, f)
			}
		}
	}
	return list
}

func TestPeersByName(t *testing.T) {
	t.Parallel()
	for name, start := range plants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			to := opcuatest.NewIngester()
			cfg := plantByName("opc.tcp://" + p.addr())
			if name == "asyncua" {
				// It takes a percentage, and then tells nothing: as an absolute value.
				cfg.Machines[0].Nodes[1].Deadband = "4"
			} else {
				cfg.Discover = []string{config.DiscoverMachinery, config.DiscoverPackML}
			}
			a := running(t, cfg, to, defaultTiming())
			to.Wait(t, time.Minute, "ramps", func(r []mes.Record) bool {
				return len(numbers(r, "single", "absolute")) > 3 && len(numbers(r, "single", "percent")) > 3 && len(numbers(r, "M6", "Speed")) > 3
			})
			deadbandsAreKept(t, to.Records())
			valuesMean(t, name, to.Records())
			if s := a.Status(); name == "node-opcua" && (s.State != mes.AdapterDegraded || !strings.Contains(s.Detail, "EURange")) {
				t.Errorf("a percentage without a range: %s (%s)", s.State, s.Detail)
			}
			newNodeIsFound(t, p, to, cfg.BrowseInterval)
			namespacesMove(t, p, to)
		})
	}
}

// deadbandsAreKept: no two values are nearer than the server was asked to tell.
func deadbandsAreKept(t *testing.T, records []mes.Record) {
	t.Helper()
	for signal, least := range map[string]float64{"absolute": 5, "percent": 4} {
		list := numbers(records, "single", signal)
		for i := 1; i < len(list); i++ {
			if list[i]-list[i-1] < least {
				t.Errorf("%s: %v then %v, nearer than %v", signal, list[i-1], list[i], least)
			}
		}
	}
	list := numbers(records, "M6", "Speed")
	for i := 1; i < len(list); i++ {
		if list[i]-list[i-1] < 4 {
			return
		}
	}
	t.Errorf("without a deadband come %v: the test proves nothing", list)
}

// valuesMean: counters, scales, names of enumerations and states of companion types.
func valuesMean(t *testing.T, name string, records []mes.Record) {
	t.Helper()
	if list := numbers(records, "single", "good_count"); len(list) < 2 || list[1] <= list[0] {
		t.Errorf("the counter says %v", list)
	}
	for i, want := range []struct {
		machine, signal, value string
		status                 mes.Status
		only                   string
	}{
		{"single", "Mode", "2", mes.Running, ""},
		{"M1", "Mode", "2", "", ""},
		{"Saw", "MachineryItemState", "Executing", mes.Running, "node-opcua"},
		{"Saw", "SerialNumber", "4711", "", "node-opcua"},
		{"Filler", "BaseState", "Cleared", "", "node-opcua"},
		{"Filler", "MachineState", "Running", "", "node-opcua"},
		{"Filler", "ExecuteState", "Execute", mes.Running, "node-opcua"},
		{"Filler", "CurMachSpeed", "120", "", "node-opcua"},
	} {
		if want.only != "" && want.only != name {
			continue
		}
		if !slices.ContainsFunc(records, func(r mes.Record) bool {
			return r.Fault == nil && r.MachineID == want.machine && r.Signals[0].Name == want.signal &&
				r.Signals[0].Value.Text() == want.value && r.Status == want.status
		}) {
			t.Errorf("case %d: no %s of %s with %q and status %q", i, want.signal, want.machine, want.value, want.status)
		}
	}
	for _, r := range records {
		if len(r.Signals) == 1 && r.Signals[0].Name == "scaled" && r.Signals[0].Value.Kind() == mes.KindNumber {
			if f, _ := r.Signals[0].Value.Float64(); f < 1 || f > 2 {
				t.Errorf("scaled is %v", f)
			}
		}
	}
}

// newNodeIsFound: a machine that is added is read, and after it was deleted and made anew
// it is read again.
func newNodeIsFound(t *testing.T, p *peer, to *opcuatest.Ingester, interval time.Duration) {
	t.Helper()
	command(t, p, "add M7")
	asked := time.Now()
	to.Wait(t, returnLimit, "the new machine", func(r []mes.Record) bool { return len(numbers(r, "M7", "Speed")) > 1 })
	took := time.Since(asked)
	t.Logf("%s: a new machine after %s", p.name, took.Round(time.Millisecond))
	if p.name == "node-opcua" && took > interval/2 {
		t.Errorf("the server tells that its model changes, and the machine was found after %s only", took)
	}
	command(t, p, "remove M7")
	if p.name == "asyncua" {
		// It does not tell subscribers that a node is gone: a look at it has to notice.
		time.Sleep(interval + 2*time.Second)
	} else {
		time.Sleep(time.Second)
	}
	command(t, p, "add M7")
	asked = time.Now()
	to.Wait(t, returnLimit, "the machine that was made anew", func(r []mes.Record) bool {
		return slices.ContainsFunc(r, func(r mes.Record) bool {
			return r.MachineID == "M7" && r.Time.After(asked) && r.StatusCode == 0 && r.Fault == nil
		})
	})
	t.Logf("%s: the same machine made anew after %s", p.name, time.Since(asked).Round(time.Millisecond))
}

// namespacesMove: after a restart with other indices the same nodes are read.
func namespacesMove(t *testing.T, p *peer, to *opcuatest.Ingester) {
	t.Helper()
	p.kill()
	n := len(p.command)
	p.command[n-2], p.command[n-1] = p.command[n-1], p.command[n-2]
	p.start(t)
	returned := time.Now()
	to.Wait(t, returnLimit, "values by the new indices", func(records []mes.Record) bool {
		seen := map[string]bool{}
		for _, r := range records {
			if r.Time.After(returned) && r.StatusCode == 0 && r.Fault == nil {
				seen[r.MachineID+"."+r.Signals[0].Name] = true
			}
		}
		return seen["single.absolute"] && seen["single.percent"] && seen["single.good_count"] && seen["M6.Speed"]
	})
	t.Logf("%s: other indices, values after %s", p.name, time.Since(returned).Round(time.Millisecond))
	for _, r := range to.Records() {
		if r.DataType != mes.Event && !strings.HasPrefix(r.Origin.Address, "nsu=") && !strings.HasPrefix(r.Origin.Address, "i=") {
			t.Errorf("the address %s moves", r.Origin.Address)
			break
		}
	}
}

// command writes to the plant's Command.
func command(t *testing.T, p *peer, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := opcua.NewClient("opc.tcp://"+p.addr(), opcua.AutoReconnect(false), opcua.SecurityMode(ua.MessageSecurityModeNone))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	index, err := c.FindNamespace(ctx, "urn:plant")
	if err != nil {
		t.Fatal(err)
	}
	dv := &ua.DataValue{Value: ua.MustVariant(text)}
	dv.UpdateMask()
	res, err := c.Write(ctx, &ua.WriteRequest{NodesToWrite: []*ua.WriteValue{
		{NodeID: ua.NewStringNodeID(index, "Command"), AttributeID: ua.AttributeIDValue, Value: dv},
	}})
	if err != nil || res.Results[0] != ua.StatusOK {
		t.Fatalf("write the command %q: %v, %v", text, err, res)
	}
}

// newNodePeerInstalled fails where node-opcua is missing.
func newNodePeerInstalled(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(peersFolder(t), "node_modules", "node-opcua")); err != nil {
		t.Fatalf("node-opcua is not installed: run npm ci in %s", peersFolder(t))
	}
}
