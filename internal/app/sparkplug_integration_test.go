//go:build integration

package app_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"plantgate/internal/app/apptest"
	"plantgate/internal/config"
	"plantgate/internal/mqtt/brokertest"
	"plantgate/internal/mqtt/mqtttest"
)

// edgeNode is Eclipse Tahu's client for Node, in a process of its own.
type edgeNode struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.Writer
	events chan string
}

func startEdgeNode(t *testing.T, b *brokertest.Broker, name string, session int) *edgeNode {
	t.Helper()
	folder := filepath.Join("testdata", "sparkplug")
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(folder, "edge-node.js"), //nolint:gosec // of the test
		"mqtt://"+b.Addr(), b.Username, b.Password, name, strconv.Itoa(session))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("this test needs node and npm ci in internal/app/%s: %v", folder, err)
	}
	n := &edgeNode{t: t, cmd: cmd, stdin: stdin, events: make(chan string, 100)}
	go func() {
		defer close(n.events)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var e struct{ Event, Detail string }
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				n.events <- e.Event + e.Detail
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(stderr.String())
		}
	})
	n.await("connected")
	return n
}

func (n *edgeNode) await(want string) {
	n.t.Helper()
	deadline := time.After(apptest.Patience)
	for {
		select {
		case e, open := <-n.events:
			if e == want {
				return
			}
			if !open {
				n.t.Fatalf("the edge node ended before %q", want)
			}
		case <-deadline:
			n.t.Fatalf("the edge node did not say %q", want)
		}
	}
}

// do sends a command, whose members are in pairs of name and value.
func (n *edgeNode) do(what string, members ...any) {
	n.t.Helper()
	c := map[string]any{"do": what}
	for i := 0; i+1 < len(members); i += 2 {
		c[members[i].(string)] = members[i+1]
	}
	line, err := json.Marshal(c)
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := n.stdin.Write(append(line, '\n')); err != nil {
		n.t.Fatal(err)
	}
}

// kill ends the process without a word to anybody.
func (n *edgeNode) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}

// sparkplugPlant is a server that is the host application of a broker's edge nodes, what
// it should have stored, and what the broker says of it.
type sparkplugPlant struct {
	*apptest.Server
	t      *testing.T
	base   time.Time
	want   map[string][]string
	states chan string
}

func startSparkplugPlant(t *testing.T, b *brokertest.Broker) *sparkplugPlant {
	t.Helper()
	p := &sparkplugPlant{t: t, base: time.Now().Add(-time.Hour).Truncate(time.Second), want: map[string][]string{}, states: make(chan string, 100)}
	watcher := mqtttest.Connect(t, mqtttest.Options(b.URL(), "watcher").SetUsername(b.Username).SetPassword(b.Password))
	mqtttest.Wait(t, watcher.Subscribe("spBv1.0/STATE/plantgate", 1, func(_ paho.Client, m paho.Message) {
		var s struct {
			Online    bool
			Timestamp int64
		}
		if json.Unmarshal(m.Payload(), &s) == nil && s.Timestamp > 0 {
			p.states <- strconv.FormatBool(s.Online)
		}
	}))
	p.Server = apptest.Start(t, func(c *config.Config) {
		c.MQTT.Connections = []config.MQTTConnection{{
			Name: "line", URL: b.URL(), Username: b.Username, Password: b.Password,
			Sparkplug: config.Sparkplug{Enabled: true, Groups: []string{"Plant 1"}, RebirthInterval: time.Second},
		}}
	})
	p.awaitState("true")
	return p
}

func (p *sparkplugPlant) awaitState(want string) {
	p.t.Helper()
	deadline := time.After(apptest.Patience)
	for {
		select {
		case s := <-p.states:
			if s == want {
				return
			}
		case <-deadline:
			p.t.Fatalf("the state of the host did not become %s", want)
		}
	}
}

// metric is one with a time after the base, in milliseconds.
func (p *sparkplugPlant) metric(name string, alias int, kind string, after int, value any) map[string]any {
	m := map[string]any{"value": value, "type": kind, "timestamp": p.base.UnixMilli() + int64(after)}
	if alias > 0 {
		m["alias"] = alias
	}
	if name != "" {
		m["name"] = name
	}
	return m
}

// expect adds what has to be in the history of a machine: signal=value@milliseconds.
func (p *sparkplugPlant) expect(machine string, records ...string) {
	p.want[machine] = append(p.want[machine], records...)
}

// check waits until the histories are what is expected, and nothing else.
func (p *sparkplugPlant) check(when string) {
	p.t.Helper()
	var got map[string][]string
	differs := func() string {
		got = map[string][]string{}
		for machine := range p.want {
			for _, r := range apptest.Get[apptest.Page[apptest.Record]](p.Client, "/data?limit=1000&order=asc&machine_id="+machine).Items {
				for name, value := range r.Signals {
					text := fmt.Sprintf("%s=%s", name, value)
					if r.TimestampOrigin == "source" {
						text += fmt.Sprintf("@%d", r.Timestamp.Sub(p.base).Milliseconds())
					}
					got[machine] = append(got[machine], text)
				}
			}
		}
		for machine, want := range p.want {
			a, b := slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got[machine]))
			if !slices.Equal(a, b) {
				return fmt.Sprintf("%s has\n%v\nand should have\n%v", machine, b, a)
			}
		}
		return ""
	}
	deadline := time.Now().Add(apptest.Patience)
	for differs() != "" && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	if text := differs(); text != "" {
		p.t.Fatalf("%s: %s", when, text)
	}
}

// stale waits until the values of machines are stale, or not.
func (p *sparkplugPlant) stale(want map[string]bool) {
	p.t.Helper()
	apptest.Eventually(p.t, fmt.Sprintf("stale are %v", want), func() bool {
		got := map[string]bool{}
		for machine := range want {
			for name, l := range latestOf(p.Client, machine) {
				if name != "sparkplug.online" {
					got[machine] = got[machine] || l.Stale
				}
			}
		}
		return maps.Equal(got, want)
	})
}

// TestSparkplug: an edge node of another maker is born, sends, leaves a sequence number
// out, loses a device, is killed, comes back; the server restarts, and is away while it
// dies. The history is right in each case, and each value is in it once.
func TestSparkplug(t *testing.T) {
	for _, name := range []string{brokertest.NameMosquitto, brokertest.NameRabbitMQ} {
		t.Run(name, func(t *testing.T) { testSparkplug(t, brokertest.Start(t, name)) })
	}
}

func testSparkplug(t *testing.T, b *brokertest.Broker) {
	p := startSparkplugPlant(t, b)
	n := startEdgeNode(t, b, "edge1", 0)
	births := []any{
		"metrics", []any{p.metric("Inlet/Temperature", 1, "Float", 0, 21.5), p.metric("Node Control/Rebirth", 2, "Boolean", 0, false)},
		"devices", map[string]any{"press": []any{p.metric("Count", 10, "Int32", 1, -7), p.metric("State", 11, "String", 2, "idle")}},
	}
	n.do("birth", births...)
	p.expect("edge1", "sparkplug.online=true", "Inlet/Temperature=21.5@0")
	p.expect("edge1.press", "sparkplug.online=true", "Count=-7@1", `State="idle"@2`)
	p.check("born")

	n.do("data", "metrics", []any{p.metric("", 1, "Float", 10, 22.5)})
	n.do("device", "device", "press", "metrics", []any{p.metric("", 10, "Int32", 11, -8), p.metric("", 11, "String", 12, "running")})
	n.do("device", "device", "press", "compress", true, "metrics", []any{p.metric("", 10, "Int32", 13, -9)})
	p.expect("edge1", "Inlet/Temperature=22.5@10")
	p.expect("edge1.press", "Count=-8@11", `State="running"@12`, "Count=-9@13")
	p.check("data by alias")
	p.stale(map[string]bool{"edge1": false, "edge1.press": false})

	// What follows the gap counts; the births that are asked for repeat what is there.
	n.do("skip")
	n.do("device", "device", "press", "metrics", []any{p.metric("", 10, "Int32", 20, -10)})
	p.expect("edge1.press", "Count=-10@20")
	n.await("rebirth")
	n.do("data", "metrics", []any{p.metric("", 1, "Float", 21, 23)})
	p.expect("edge1", "Inlet/Temperature=23@21")
	p.check("after a gap")

	n.do("death", "device", "press")
	p.expect("edge1.press", "sparkplug.online=false")
	p.check("a device died")
	p.stale(map[string]bool{"edge1": false, "edge1.press": true})
	n.do("birth", births...)
	p.expect("edge1.press", "sparkplug.online=true")
	p.check("the device is back")
	p.stale(map[string]bool{"edge1": false, "edge1.press": false})

	n.kill()
	p.expect("edge1", "sparkplug.online=false")
	p.expect("edge1.press", "sparkplug.online=false")
	p.check("killed")
	p.stale(map[string]bool{"edge1": true, "edge1.press": true})

	n = startEdgeNode(t, b, "edge1", 1)
	n.do("birth", births...)
	p.expect("edge1", "sparkplug.online=true")
	p.expect("edge1.press", "sparkplug.online=true")
	p.check("back after the kill")

	// After a restart aliases are still known; the node is asked all the same.
	p.Restart()
	p.awaitState("false")
	p.awaitState("true")
	n.do("device", "device", "press", "metrics", []any{p.metric("", 10, "Int32", 30, -11)})
	p.expect("edge1.press", "Count=-11@30")
	p.check("data after a restart")
	n.await("rebirth")
	n.do("data", "metrics", []any{p.metric("", 1, "Float", 31, 24)})
	p.expect("edge1", "Inlet/Temperature=24@31")
	p.check("born after the restart")

	// A death while the server is away waits for it at the broker.
	p.Stop()
	p.awaitState("false")
	n.kill()
	time.Sleep(4 * time.Second) // more than the keep-alive of the node
	p.Restart()
	p.expect("edge1", "sparkplug.online=false")
	p.expect("edge1.press", "sparkplug.online=false")
	p.check("died while nobody listened")
	p.stale(map[string]bool{"edge1": true, "edge1.press": true})
	if items := apptest.Get[apptest.Page[json.RawMessage]](p.Client, "/api/v1/quarantine").Items; len(items) > 0 {
		t.Errorf("in quarantine are %s", items)
	}
}

// TestSparkplugUnknownAliases: data of a node that was not heard of go to quarantine, the
// node is asked, and what is in quarantine can be read by its births.
func TestSparkplugUnknownAliases(t *testing.T) {
	b := brokertest.Mosquitto(t)
	n := startEdgeNode(t, b, "edge2", 0)
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	n.do("birth", "metrics", []any{(&sparkplugPlant{base: base}).metric("Speed", 1, "Int16", 0, 5)})
	n.await("done")
	p := startSparkplugPlant(t, b) // the broker does not keep births
	p.base = base
	n.do("data", "metrics", []any{p.metric("", 1, "Int16", 10, -6)})
	n.await("rebirth")
	var items []apptest.Quarantined
	apptest.Eventually(t, "the message is in quarantine", func() bool {
		items = apptest.Get[apptest.Page[apptest.Quarantined]](p.Client, "/api/v1/quarantine").Items
		return len(items) == 1
	})
	if items[0].Format != "sparkplug" || !strings.Contains(items[0].Reason.Detail, "no birth gives the alias 1") {
		t.Errorf("it is there as %s %s", items[0].Format, items[0].Reason.Detail)
	}
	p.expect("edge2", "sparkplug.online=true", "Speed=5@0")
	p.check("asked for its birth")
	p.Do("POST", "/api/v1/quarantine/"+items[0].ID+"/replay", "{}").Want(200)
	p.expect("edge2", "Speed=-6@10")
	p.check("replayed")
}
