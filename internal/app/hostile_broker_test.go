package app_test

import (
	"bufio"
	"bytes"
	"fmt"

	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"plantgate/internal/app/apptest"
	"plantgate/internal/config"
	"plantgate/internal/passwords"
)

// TestHostileClients: a flood of wrong passwords, clients that take everything and read
// nothing, and one that tries what it may not, hold up neither machines nor the HTTP
// interface; what they did is counted.
func TestHostileClients(t *testing.T) {
	t.Parallel()
	hash, err := passwords.Argon2id([]byte("edge-secret"))
	if err != nil {
		t.Fatal(err)
	}
	s := apptest.Start(t, func(c *config.Config) {
		b := &c.MQTT.Broker
		b.Users = append(b.Users, config.BrokerUser{Username: "edge", PasswordHash: hash, Publish: []string{"plant/line-1/{username}/data"}})
		b.Limits.MaxQueued, b.Limits.ConnectsPerSecond = 100, 0
	})
	machine := publisher(t, s.BrokerURL, "machine")
	reader := paho.NewClient(paho.NewClientOptions().AddBroker(s.BrokerURL).SetClientID("never-reads").SetUsername(apptest.MQTTUser).
		SetPassword(apptest.MQTTPassword).SetProtocolVersion(4).SetCleanSession(false).SetAutoReconnect(false))
	finished(t, reader.Connect())
	finished(t, reader.Subscribe("#", 1, nil))
	reader.Disconnect(0)
	edge := paho.NewClient(paho.NewClientOptions().AddBroker(s.BrokerURL).SetClientID("edge").SetUsername("edge").
		SetPassword("edge-secret").SetProtocolVersion(4).SetAutoReconnect(false))
	finished(t, edge.Connect())
	finished(t, edge.Publish("plant/line-1/edge/data", 1, false, `{"x":1}`))
	sub := edge.Subscribe("#", 1, nil)
	if !sub.WaitTimeout(apptest.Patience) || sub.(*paho.SubscribeToken).Result()["#"] != 0x80 {
		t.Error("a client without that right subscribed to everything")
	}
	edge.Publish("mes/production/data", 1, true, `{"DataType":"Production","Payload":{"MachineID":"M9","Value":1}}`)
	apptest.Eventually(t, "the end of the client's connection", func() bool { return !edge.IsConnectionOpen() })

	address := strings.TrimPrefix(s.BrokerURL, "tcp://")
	for range 200 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = conn.Write([]byte("\x10\x17\x00\x04MQTT\x04\xc2\x00\x1e\x00\x01x\x00\x04edge\x00\x02no"))
	}
	began := time.Now()
	for i := range 300 {
		finished(t, machine.Publish("plant/line-1/M1/data", 1, false, fmt.Sprintf(`{"n":%d}`, i)))
	}
	s.Do(http.MethodGet, "/readyz", "").Want(http.StatusOK)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("300 publications took %s", took)
	}
	records := apptest.Get[apptest.Page[apptest.Record]](s.Client, "/data?limit=1000").Items
	if len(records) != 301 {
		t.Errorf("%d records, want 301", len(records))
	}
	apptest.Eventually(t, "answers to all logins", func() bool {
		m := metrics(t, s.Client)
		return m[`plantgate_mqtt_broker_auth_failures_total{reason="wrong_password"}`]+m[`plantgate_mqtt_broker_auth_failures_total{reason="busy"}`] == 200
	})
	m := metrics(t, s.Client)
	for name, want := range map[string]float64{
		`plantgate_mqtt_broker_denied_total{reason="publish"}`:      1,
		`plantgate_mqtt_broker_denied_total{reason="subscribe"}`:    1,
		`plantgate_mqtt_broker_dropped_total{reason="queue_full"}`:  201,
		`plantgate_mqtt_broker_queued_messages`:                     100,
		`plantgate_mqtt_broker_sessions{persistent="true"}`:         1,
		`plantgate_mqtt_broker_subscriptions`:                       1,
		`plantgate_mqtt_broker_clients`:                             1,
		`plantgate_mqtt_broker_retained_messages`:                   0,
		`plantgate_mqtt_broker_messages_total{direction="in"}`:      302,
		`plantgate_mqtt_broker_lost_total`:                          0,
		`plantgate_mqtt_broker_denied_total{reason="connect_rate"}`: 0,
	} {
		if got, ok := m[name]; got != want || !ok {
			t.Errorf("%s is %v (%v), want %v", name, got, ok, want)
		}
	}
}

// metrics reads what /metrics says.
func metrics(t *testing.T, c *apptest.Client) map[string]float64 {
	t.Helper()
	answer := c.Do(http.MethodGet, "/metrics", "")
	values := map[string]float64{}
	lines := bufio.NewScanner(bytes.NewReader(answer.Body))
	for lines.Scan() {
		if i := strings.LastIndexByte(lines.Text(), ' '); i > 0 && lines.Text()[0] != '#' {
			var v float64
			_, _ = fmt.Sscan(lines.Text()[i+1:], &v)
			values[lines.Text()[:i]] = v
		}
	}
	return values
}
