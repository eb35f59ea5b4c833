//go:build integration

package mqtt_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/broker"
	"plantgate/internal/mqtt/brokertest"
	"plantgate/internal/mqtt/mqtttest"
)

// realBrokers are the brokers that plants run.
func realBrokers() map[string]func(testing.TB) *brokertest.Broker {
	return map[string]func(testing.TB) *brokertest.Broker{
		"mosquitto": brokertest.Mosquitto,
		"rabbitmq":  brokertest.RabbitMQ,
	}
}

// realDecoder reads the payloads as the program does.
func realDecoder(t *testing.T) ingest.Decoder {
	t.Helper()
	sites, err := ingest.NewSites("main", map[string]string{"main": "Asia/Kolkata"})
	if err != nil {
		t.Fatal(err)
	}
	return ingest.NewDecoder(ingest.Limits{MaxRecord: 256 << 10, MaxBatch: 10_000, MaxDepth: 32}, sites)
}

// connectionTo is a connection to a real broker with the bindings of the
// contracts.
func connectionTo(b *brokertest.Broker) config.MQTTConnection {
	c := connection(b.Addr())
	c.Username, c.Password = b.Username, b.Password
	c.Subscriptions = contractSubscriptions()
	return c
}

func contractSubscriptions() []config.Subscription {
	return []config.Subscription{
		{Topic: "mes/production/data"},
		{Topic: "opc_data/all_variables", Format: config.FormatSnapshot, MachineID: "OPC1"},
		{Topic: "opc_data/my_variable", Format: config.FormatValue, MachineID: "OPC1"},
		{Topic: "numbers/{machine}"},
	}
}

// publication is one line for the publisher in Python.
type publication struct {
	Topic   string `json:"topic"`
	QoS     int    `json:"qos"`
	Payload string `json:"payload"`
}

// publishPython publishes with Eclipse's paho-mqtt and returns a function that
// waits for the last acknowledgement.
func publishPython(t *testing.T, addr, user, password, clientID string, list []publication) (wait func()) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	var in bytes.Buffer
	encoder := json.NewEncoder(&in)
	for _, p := range list {
		if err := encoder.Encode(p); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), python(t), filepath.Join("testdata", "publish.py"), host, port, user, password, clientID, "120")
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := cmd.Wait(); err != nil {
			t.Fatalf("publishing with Python: %v\n%s", err, out.String())
		}
	}
}

// python returns an interpreter that has paho-mqtt.
func python(t *testing.T) string {
	t.Helper()
	path := os.Getenv("PLANTGATE_TEST_PYTHON")
	if path == "" {
		path = filepath.Join("..", "..", ".venv", "bin", "python")
	}
	if out, err := exec.Command(path, "-c", "import paho.mqtt.client").CombinedOutput(); err != nil {
		t.Fatalf("this test needs Python with paho-mqtt (pip install paho-mqtt), at .venv/bin/python or in PLANTGATE_TEST_PYTHON: %v\n%s", err, out)
	}
	return path
}

// contractCase is a message of the contracts and the record that it must become.
type contractCase struct {
	topic, payload string
	machine        string
	dataType       mes.DataType
	time           string // RFC 3339, "" for the time of receipt
	signals        string // name=value in order
}

func contractCases() []contractCase {
	return []contractCase{
		{"mes/production/data", `{"DataType":"Production","Payload":{"MachineID":"M3","Value":42.31,"Unit":"pcs"}}`,
			"M3", mes.Production, "", "production.value=42.31"},
		{"mes/production/data", `{"DataType":"Production","Payload":{"MachineID":"M3","Value":7}}`,
			"M3", mes.Production, "", "production.value=7"},
		{"mes/production/data", `{"DataType":"Quality","Payload":{"MachineID":"M4","Value":0.98,"Unit":"ratio"}}`,
			"M4", mes.Quality, "", "quality.value=0.98"},
		{"opc_data/all_variables", `{"timestamp":"2025-11-03 06:45:23.966780","variables":{"MyStoredVariable":29,"MySynchronousVariable":10,"MyAsynchronousVariable":null}}`,
			"OPC1", mes.Telemetry, "2025-11-03T06:45:23.96678Z", "MyAsynchronousVariable=null MyStoredVariable=29 MySynchronousVariable=10"},
		{"opc_data/all_variables", `{"timestamp":"2025-11-03 06:45:24","variables":{"MyStoredVariable":30}}`,
			"OPC1", mes.Telemetry, "2025-11-03T06:45:24Z", "MyStoredVariable=30"},
		{"opc_data/my_variable", `{"node_id":"ns=1;s=Objects/MyFolder/MyStoredVariable","value":29,"timestamp":"2025-11-03 06:45:23.966780"}`,
			"OPC1", mes.Telemetry, "2025-11-03T06:45:23.96678Z", "MyStoredVariable=29"},
	}
}

func checkContracts(t *testing.T, records []mes.Record) {
	t.Helper()
	cases := contractCases()
	if len(records) != len(cases) {
		t.Fatalf("%d records, want %d", len(records), len(cases))
	}
	for i, c := range cases {
		r := records[i]
		if r.Fault != nil {
			t.Errorf("%s became a fault: %v", c.payload, r.Fault)
			continue
		}
		var signals []string
		for _, s := range r.Signals {
			signals = append(signals, s.Name+"="+string(s.Value.AppendJSON(nil)))
		}
		at := ""
		if r.TimeOrigin == mes.TimeSource {
			at = r.Time.UTC().Format(time.RFC3339Nano)
		}
		if r.MachineID != c.machine || r.DataType != c.dataType || at != c.time || strings.Join(signals, " ") != c.signals {
			t.Errorf("%s\nbecame %s %s at %q: %v", c.payload, r.MachineID, r.DataType, at, signals)
		}
	}
}

func contractPublications(qos int) []publication {
	var list []publication
	for _, c := range contractCases() {
		list = append(list, publication{c.topic, qos, c.payload})
	}
	return list
}

func TestContractsThroughRealBrokers(t *testing.T) {
	for name, start := range realBrokers() {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			cfg := connectionTo(b)
			primed(t, cfg)
			for qos := range 2 {
				ing := mqtttest.NewIngester()
				a, err := mqtt.New(cfg, mqtt.Deps{Ingester: ing, Decoder: realDecoder(t), Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				stop := run(t, a)
				waitState(t, a, mes.AdapterRunning)
				publishPython(t, b.Addr(), b.Username, b.Password, "machines", contractPublications(qos))()
				checkContracts(t, ing.WaitRecords(t, len(contractCases())))
				if s := a.Status(); s.State != mes.AdapterRunning {
					t.Errorf("status %+v", s)
				}
				stop()
			}
		})
	}
}

func TestContractsThroughTheOwnBroker(t *testing.T) {
	for qos := range 2 {
		cfg := config.Default().MQTT.Broker
		cfg.Listen = "127.0.0.1:0"
		cfg.Users = []config.BrokerUser{{Username: "plant", Password: "plant-secret"}}
		cfg.Subscriptions = contractSubscriptions()
		ing := mqtttest.NewIngester()
		b, err := broker.Start(cfg, broker.Deps{Ingester: ing, Decoder: realDecoder(t), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		publishPython(t, b.Addr().String(), "plant", "plant-secret", "machines", contractPublications(qos))()
		checkContracts(t, ing.WaitRecords(t, len(contractCases())))
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRestartWhileUnacknowledged: what was delivered and not committed when the
// broker went away comes again; what was committed does not.
func TestRestartWhileUnacknowledged(t *testing.T) {
	for name, start := range realBrokers() {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			cfg := connectionTo(b)
			primed(t, cfg)
			ing := mqtttest.NewIngester()
			release := ing.Hold()
			a := newAdapter(t, cfg, ing)
			stop := run(t, a)
			waitState(t, a, mes.AdapterRunning)
			publishPython(t, b.Addr(), b.Username, b.Password, "machines", numbers(5))()
			mqtttest.Eventually(t, "five deliveries", func() bool { return a.Status().Received == 5 })

			b.Restart(t)
			waitLong(t, "the second delivery", func() bool { return a.Status().Received == 10 })
			release()
			ing.WaitRecords(t, 10)
			stop() // drains, so that the acknowledgements are out

			next := mqtttest.NewIngester()
			run(t, newAdapter(t, cfg, next))
			publishPython(t, b.Addr(), b.Username, b.Password, "machines", []publication{{"numbers/M1", 1, "last"}})()
			if got := next.WaitRecords(t, 1)[0]; string(got.Payload) != "last" {
				t.Errorf("%q came again after its commit", got.Payload)
			}
		})
	}
}

// TestRestartUnderLoad: the broker restarts while machines send. RabbitMQ is
// killed, for it has written what it acknowledged; Mosquitto writes only now
// and then, and gets to stop.
func TestRestartUnderLoad(t *testing.T) {
	const n = 3000
	for name, start := range realBrokers() {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			cfg := connectionTo(b)
			primed(t, cfg)
			ing := mqtttest.NewIngester()
			ing.Delay = time.Millisecond
			a := newAdapter(t, cfg, ing)
			run(t, a)
			waitState(t, a, mes.AdapterRunning)
			wait := publishPython(t, b.Addr(), b.Username, b.Password, "machines", numbers(n))
			ing.WaitDistinct(t, n/10)
			if b.Name == "rabbitmq" {
				b.Kill(t)
				b.Start(t)
			} else {
				b.Restart(t)
			}
			wait()
			ing.WaitDistinct(t, n)
			if s := a.Status(); s.Reconnects != 1 {
				t.Errorf("status %+v, want one reconnect", s)
			}
			t.Logf("%d messages acknowledged to the sender, %d records, each number at least once", n, len(ing.Records()))
		})
	}
}

// TestFullHandOverKeepsTheOrder: real brokers deliver again in order.
func TestFullHandOverKeepsTheOrder(t *testing.T) {
	for name, start := range realBrokers() {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			cfg := connectionTo(b)
			cfg.KeepAlive = time.Second
			primed(t, cfg)
			ing := mqtttest.NewIngester()
			release := ing.Hold()
			a := newAdapter(t, cfg, ing)
			a.SetBounds(4, 1<<20) // below the broker's window
			run(t, a)
			waitState(t, a, mes.AdapterRunning)
			publishPython(t, b.Addr(), b.Username, b.Password, "machines", numbers(100))()
			waitState(t, a, mes.AdapterBackingOff)
			release()
			ing.WaitDistinct(t, 100)
			next := 0
			for _, p := range ing.Payloads() {
				if p == fmt.Sprint(next) {
					next++
				}
			}
			if next != 100 {
				t.Errorf("number %d is out of order", next)
			}
		})
	}
}

func numbers(n int) []publication {
	list := make([]publication, n)
	for i := range list {
		list[i] = publication{"numbers/M1", 1, fmt.Sprint(i)}
	}
	return list
}

// waitLong waits for what takes as long as a start of RabbitMQ.
func waitLong(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(2 * time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
