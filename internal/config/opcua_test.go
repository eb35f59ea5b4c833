package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// goodOPCUA returns a connection without faults.
func goodOPCUA() OPCUAConnection {
	c := Config{OPCUA: OPCUA{Connections: []OPCUAConnection{{
		Name:     "line1",
		Endpoint: "opc.tcp://plc.example:4840/path",
		Machines: []OPCUAMachine{{MachineID: "M001", Nodes: []OPCUANode{
			{NodeID: "ns=1;s=Objects/MyFolder/MyStoredVariable"},
			{NodeID: "nsu=urn:example:line;i=1001", Signal: "state", Map: map[string]string{"1": "Running"}},
		}}},
	}}}}
	c.ApplyElementDefaults()
	return c.OPCUA.Connections[0]
}

// withEvents gives the machine a notifier.
func withEvents(e OPCUAEvents) func(*OPCUAConnection) {
	return func(c *OPCUAConnection) { c.Machines[0].Events = []OPCUAEvents{e} }
}

func TestOPCUAEvents(t *testing.T) {
	t.Parallel()
	c := goodOPCUA()
	c.Acknowledge = true
	c.Machines[0].Nodes = nil
	c.Machines[0].Events = []OPCUAEvents{{
		Types: []string{"AlarmConditionType", "nsu=urn:example;i=7"}, MinSeverity: 1000,
		Sources: []OPCUAEventSource{{"Press 2", "M2", "pune"}, {"nsu=urn:example;s=Press3", "M3", ""}},
	}, {NodeID: "ns=1;s=Area", Path: "/1:Cell"}}
	if faults := c.Validate(); len(faults) > 0 {
		t.Fatalf("refused: %v", faults)
	}
	e := c.Machines[0].Events
	if got := e[0].TypeIDs(); !slices.Equal(got, []string{"i=2915", "nsu=urn:example;i=7"}) {
		t.Errorf("types are %v", got)
	}
	if e[0].Notifier() != "i=2253" || e[1].Notifier() != "ns=1;s=Area /1:Cell" || e[0].Queue() != 1000 {
		t.Errorf("notifiers are %q and %q, the queue %d", e[0].Notifier(), e[1].Notifier(), e[0].Queue())
	}
}

func TestOPCUAFaults(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*OPCUAConnection)
		key    string
	}{
		"no name":                  {func(c *OPCUAConnection) { c.Name = "" }, "name"},
		"http endpoint":            {func(c *OPCUAConnection) { c.Endpoint = "http://plc" }, "endpoint"},
		"password in endpoint":     {func(c *OPCUAConnection) { c.Endpoint = "opc.tcp://u:p@plc" }, "endpoint"},
		"unknown policy":           {func(c *OPCUAConnection) { c.SecurityPolicy = "Basic256" }, "security_policy"},
		"mode without policy":      {func(c *OPCUAConnection) { c.SecurityMode = ModeSign }, "security_mode"},
		"user's certificate alone": {func(c *OPCUAConnection) { c.UserCertFile = "a.pem" }, "user_cert_file"},
		"two users":                {func(c *OPCUAConnection) { c.Username, c.UserCertFile, c.UserKeyFile = "u", "c", "k" }, "user_cert_file"},
		"short thumbprint":         {func(c *OPCUAConnection) { c.ServerThumbprint = "00:11" }, "server_thumbprint"},
		"certificate alone":        {func(c *OPCUAConnection) { c.CertFile = "a.pem" }, "cert_file"},
		"two passwords":            {func(c *OPCUAConnection) { c.Username, c.Password, c.PasswordFile = "u", "p", "f" }, "password_file"},
		"password without user":    {func(c *OPCUAConnection) { c.Password = "p" }, "username"},
		"no publishing interval":   {func(c *OPCUAConnection) { c.PublishingInterval = 0 }, "publishing_interval"},
		"no queue":                 {func(c *OPCUAConnection) { c.QueueSize = 0 }, "queue_size"},
		"history":                  {func(c *OPCUAConnection) { c.History.Mode = "on" }, "history.mode"},
		"future history":           {func(c *OPCUAConnection) { c.History.MaxAge = -1 }, "history.max_age"},
		"history by one value":     {func(c *OPCUAConnection) { c.History.ValuesPerNode = 1 }, "history.values_per_node"},
		"history of a node":        {func(c *OPCUAConnection) { c.Machines[0].Nodes[1].History = "yes" }, "machines[0].nodes[1].history"},
		"sessions without nodes":   {func(c *OPCUAConnection) { c.MaxNodesPerSubscription = -1 }, "max_nodes_per_subscription"},
		"watchdog too short":       {func(c *OPCUAConnection) { c.Watchdog = time.Second }, "watchdog"},
		"no machine":               {func(c *OPCUAConnection) { c.Machines = nil }, "machines"},
		"machine id":               {func(c *OPCUAConnection) { c.Machines[0].MachineID = "a/b" }, "machines[0].machine_id"},
		"events of a pattern": {func(c *OPCUAConnection) {
			c.Machines[0].MachineID, c.Machines[0].Events = "{m}", []OPCUAEvents{{}}
		}, "machines[0].events"},
		"one notifier twice": {func(c *OPCUAConnection) {
			c.Machines[0].Events = []OPCUAEvents{{}, {NodeID: "i=2253"}}
		}, "machines[0].events[1]"},
		"notifier":               {withEvents(OPCUAEvents{NodeID: "Server"}), "machines[0].events[0].node_id"},
		"path of a notifier":     {withEvents(OPCUAEvents{Path: "/a//b"}), "machines[0].events[0].path"},
		"pattern of notifiers":   {withEvents(OPCUAEvents{Path: "/Objects/*"}), "machines[0].events[0].path"},
		"event type":             {withEvents(OPCUAEvents{Types: []string{"ConditionType", "Alarm"}}), "machines[0].events[0].types[1]"},
		"many event types":       {withEvents(OPCUAEvents{Types: slices.Repeat([]string{"i=2041"}, 21)}), "machines[0].events[0].types"},
		"severity":               {withEvents(OPCUAEvents{MinSeverity: 1001}), "machines[0].events[0].min_severity"},
		"queue of events":        {withEvents(OPCUAEvents{QueueSize: 100_001}), "machines[0].events[0].queue_size"},
		"no source":              {withEvents(OPCUAEvents{Sources: []OPCUAEventSource{{MachineID: "M1"}}}), "machines[0].events[0].sources[0].source"},
		"source twice":           {withEvents(OPCUAEvents{Sources: []OPCUAEventSource{{"a", "M1", ""}, {"a", "M2", ""}}}), "machines[0].events[0].sources[1].source"},
		"source of no machine":   {withEvents(OPCUAEvents{Sources: []OPCUAEventSource{{"a", "a/b", ""}}}), "machines[0].events[0].sources[0].machine_id"},
		"source of no site":      {withEvents(OPCUAEvents{Sources: []OPCUAEventSource{{"a", "M1", "a/b"}}}), "machines[0].events[0].sources[0].site_id"},
		"nothing to acknowledge": {func(c *OPCUAConnection) { c.Acknowledge = true }, "acknowledge"},
		"no node":                {func(c *OPCUAConnection) { c.Machines[0].Nodes = nil }, "machines[0].nodes"},
		"node id":                {func(c *OPCUAConnection) { c.Machines[0].Nodes[1].NodeID = "Temperature" }, "machines[0].nodes[1].node_id"},
		"same signal twice":      {func(c *OPCUAConnection) { c.Machines[0].Nodes[1].Signal = "MyStoredVariable" }, "machines[0].nodes[1].signal"},
		"reserved signal":        {func(c *OPCUAConnection) { c.Machines[0].Nodes[1].Signal = "status" }, "machines[0].nodes[1].signal"},
		"unknown discovery":      {func(c *OPCUAConnection) { c.Discover = []string{"machinery", "euromap"} }, "discover[1]"},
		"discovered twice":       {func(c *OPCUAConnection) { c.Discover = []string{"packml", "packml"} }, "discover[1]"},
		"no bound":               {func(c *OPCUAConnection) { c.MaxNodes = -1 }, "max_nodes"},
		"browses all the time":   {func(c *OPCUAConnection) { c.BrowseInterval = time.Second }, "browse_interval"},
		"no address":             {func(c *OPCUAConnection) { c.Machines[0].Nodes[0].NodeID = "" }, "machines[0].nodes[0].node_id"},
		"path":                   {func(c *OPCUAConnection) { c.Machines[0].Nodes[0].Path = "/a//b" }, "machines[0].nodes[0].path"},
		"pattern without signal": {func(c *OPCUAConnection) { c.Machines[0].Nodes[0].Path = "/a/*" }, "machines[0].nodes[0].signal"},
		"unknown capture":        {func(c *OPCUAConnection) { c.Machines[0].Nodes[0].Signal = "{line}.x" }, "machines[0].nodes[0].signal"},
		"machine not captured":   {func(c *OPCUAConnection) { c.Machines[0].MachineID = "{machine}" }, "machines[0].nodes[1].machine_id"},
		"same node twice": {func(c *OPCUAConnection) {
			n := c.Machines[0].Nodes[0]
			n.Signal = "again"
			c.Machines[0].Nodes = append(c.Machines[0].Nodes, n)
		}, "machines[0].nodes[2]"},
		"same role twice": {func(c *OPCUAConnection) {
			for i, id := range []string{"i=1", "i=2"} {
				c.Machines[0].Nodes = append(c.Machines[0].Nodes, OPCUANode{NodeID: id, Role: "good_count", Signal: "count" + string(rune('a'+i))})
			}
		}, "machines[0].nodes[3].role"},
		"unknown role":        {func(c *OPCUAConnection) { c.Machines[0].Nodes[0].Role = "count" }, "machines[0].nodes[0].role"},
		"state without a map": {func(c *OPCUAConnection) { c.Machines[0].Nodes[0].Role = "state" }, "machines[0].nodes[0].role"},
		"counter with a map":  {func(c *OPCUAConnection) { c.Machines[0].Nodes[1].Role = "good_count" }, "machines[0].nodes[1].role"},
		"counter with a deadband": {func(c *OPCUAConnection) {
			c.Machines[0].Nodes[0].Role, c.Machines[0].Nodes[0].Deadband = "good_count", "2"
		}, "machines[0].nodes[0].deadband"},
		"scale":                {func(c *OPCUAConnection) { c.Machines[0].Nodes[0].Scale = "a tenth" }, "machines[0].nodes[0].scale"},
		"scale of nothing":     {func(c *OPCUAConnection) { c.Machines[0].Nodes[0].Scale = "0.0" }, "machines[0].nodes[0].scale"},
		"offset":               {func(c *OPCUAConnection) { c.Machines[0].Nodes[0].Offset = "x" }, "machines[0].nodes[0].offset"},
		"deadband":             {func(c *OPCUAConnection) { c.Machines[0].Nodes[0].Deadband = "-1" }, "machines[0].nodes[0].deadband"},
		"deadband of too much": {func(c *OPCUAConnection) { c.Machines[0].Nodes[0].Deadband = "101%" }, "machines[0].nodes[0].deadband"},
		"trigger":              {func(c *OPCUAConnection) { c.Machines[0].Nodes[0].Trigger = "value" }, "machines[0].nodes[0].trigger"},
		"trigger with deadband": {func(c *OPCUAConnection) {
			c.Machines[0].Nodes[0].Trigger, c.Machines[0].Nodes[0].Deadband = "status", "1"
		}, "machines[0].nodes[0].trigger"},
		"sampling":           {func(c *OPCUAConnection) { c.Machines[0].Nodes[0].SamplingInterval = -1 }, "machines[0].nodes[0].sampling_interval"},
		"queue of a node":    {func(c *OPCUAConnection) { c.Machines[0].Nodes[0].QueueSize = 1e6 }, "machines[0].nodes[0].queue_size"},
		"unknown status":     {func(c *OPCUAConnection) { c.Machines[0].Nodes[1].Map["2"] = "Broken" }, "machines[0].nodes[1].map"},
		"unknown enum":       {func(c *OPCUAConnection) { c.Machines[0].Nodes[1].Enum = "texts" }, "machines[0].nodes[1].enum"},
		"what is writable":   {func(c *OPCUAConnection) { c.Writable = []OPCUAWritable{{Node: "Setpoint"}} }, "writable[0].node"},
		"writable twice":     {func(c *OPCUAConnection) { c.Writable = []OPCUAWritable{{Node: "i=1"}, {Node: "i=1"}} }, "writable[1].node"},
		"whose it is":        {func(c *OPCUAConnection) { c.Writable = []OPCUAWritable{{Node: "i=1", MachineID: "a/b"}} }, "writable[0].machine_id"},
		"what is callable":   {func(c *OPCUAConnection) { c.Callable = []OPCUACallable{{Object: "i=1"}} }, "callable[0].method"},
		"callable of a site": {func(c *OPCUAConnection) { c.Callable = []OPCUACallable{{Object: "i=1", Method: "i=2", SiteID: "~"}} }, "callable[0].site_id"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := goodOPCUA()
			if f := c.Validate(); len(f) != 0 {
				t.Fatalf("the good connection has faults: %v", f)
			}
			tc.change(&c)
			got := OPCUA{Connections: []OPCUAConnection{c}}.validate()
			want := "opcua.connections[0]." + tc.key
			if !slices.ContainsFunc(got, func(f Fault) bool { return f.Key == want }) {
				t.Errorf("no fault at %s in %v", want, got)
			}
			for _, f := range got {
				if strings.Contains(f.Detail, "u:p@") {
					t.Errorf("the fault tells a password: %v", f)
				}
			}
		})
	}
}

func TestOPCUANamesAreUnique(t *testing.T) {
	t.Parallel()
	got := OPCUA{Connections: []OPCUAConnection{goodOPCUA(), goodOPCUA()}}.validate()
	if len(got) != 1 || got[0].Key != "opcua.connections[1].name" {
		t.Errorf("got %v, want one fault at opcua.connections[1].name", got)
	}
}

func TestSignalName(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"ns=1;s=Objects/MyFolder/MyStoredVariable": "MyStoredVariable",
		"ns=2;s=Line1.Press.Temperature":           "Temperature",
		"nsu=http://example.org/UA/;s=Speed":       "Speed",
		"ns=3;i=1001":                              "1001",
		"s=ends with/":                             "ends with/",
		"nonsense":                                 "",
	} {
		if got := (OPCUANode{NodeID: id}).SignalName(); got != want {
			t.Errorf("SignalName(%q) = %q, want %q", id, got, want)
		}
	}
	for path, want := range map[string]string{
		"/Objects/2:Line.2:Speed": "Speed", "/Objects/{machine}/{signal}": "{signal}", "/a/*:Speed": "Speed", "/a/*": "", "//": "",
	} {
		if got := (OPCUANode{Path: path}).SignalName(); got != want {
			t.Errorf("SignalName(%q) = %q, want %q", path, got, want)
		}
	}
	if got := (OPCUANode{NodeID: "i=1", Role: "good_count"}).SignalName(); got != "good_count" {
		t.Errorf("a counter is called %q", got)
	}
	if got := (OPCUANode{Signal: "speed", NodeID: "i=1"}).SignalName(); got != "speed" {
		t.Errorf("the configured name is not kept: %q", got)
	}
}

func FuzzCheckNodeID(f *testing.F) {
	for _, s := range []string{"ns=1;s=a/b", "i=2258", "ns=70000;i=1", "g=72962B91-FA75-4AE6-8D28-B404DC7DAF63", "b=AAE=", "nsu=urn:x;s=é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if CheckNodeID(id) == nil && (OPCUANode{NodeID: id}).SignalName() == "" {
			t.Errorf("%q is accepted but names no signal", id)
		}
	})
}

func TestGoodPattern(t *testing.T) {
	t.Parallel()
	c := goodOPCUA()
	c.Discover = []string{DiscoverMachinery, DiscoverPackML}
	c.Machines = append(c.Machines, OPCUAMachine{MachineID: "{machine}", Nodes: []OPCUANode{
		{Path: "Objects/nsu=urn:x;Machines/{machine}/Status/{signal}", Deadband: "0.5"},
		{Path: "Objects/nsu=urn:x;Machines/{machine}/nsu=urn:x;Counters/nsu=urn:x;Good", Role: "good_count", Trigger: TriggerStatusValueTimestamp},
		{NodeID: "nsu=urn:x;i=5", Path: ".{machine}.*:Temperature", Scale: "0.1", Offset: "-40", Deadband: "2%"},
	}})
	if f := c.Validate(); len(f) != 0 {
		t.Error(f)
	}
	c = goodOPCUA()
	c.Machines, c.Discover = nil, []string{DiscoverPackML}
	if f := c.Validate(); len(f) != 0 {
		t.Errorf("discovery alone: %v", f)
	}
}

func FuzzParseDeadband(f *testing.F) {
	for _, s := range []string{"", "0.5", "2%", "1e400", "NaN", "-1", "%", "0x1p3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if v, percent, err := ParseDeadband(text); err == nil && (v < 0 || v != v || percent && v > 100 || text != "" && v == 0) {
			t.Errorf("%q is the deadband %v (percent %v)", text, v, percent)
		}
	})
}
