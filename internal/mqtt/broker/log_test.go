package broker_test

import (
	"log/slog"
	"strings"
	"testing"

	"plantgate/internal/config"
	"plantgate/internal/mqtt/broker"
	"plantgate/internal/mqtt/mqtttest"
)

// warnings are the lines of the log that are no information.
func warnings(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			list = append(list, line)
		}
	}
	return list
}

func startLogged(t *testing.T, cfg config.Broker) (*broker.Broker, *syncBuffer) {
	t.Helper()
	out := &syncBuffer{}
	return start(t, cfg, mqtttest.NewIngester(), slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))), out
}

// TestOrdinaryEndsAreQuiet: neither clients that go nor the stop of the broker are
// warnings, and what is told of them says who it was.
func TestOrdinaryEndsAreQuiet(t *testing.T) {
	t.Parallel()
	b, out := startLogged(t, brokerConfig())
	gone := dialRaw(t, b, connectPacket(4, 0xc2, "gone"))
	gone.expect(t, 0x20)
	address := gone.conn.LocalAddr().String()
	_ = gone.conn.Close()
	mqtttest.Eventually(t, "its end in the log", func() bool { return strings.Contains(out.String(), address) })
	mqtttest.Connect(t, options(b, "polite")).Disconnect(100)
	dialRaw(t, b, connectPacket(4, 0xc2, "stays")).expect(t, 0x20)
	dialRaw(t, b, connectPacket(5, 0xc2, "stays too")).expect(t, 0x20)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if list := warnings(out.String()); len(list) > 0 {
		t.Errorf("warnings: %q", list)
	}
	if text := out.String(); !strings.Contains(text, "client=gone user=plant address="+address) {
		t.Errorf("the log does not tell who is gone: %s", text)
	}
}

// TestBadEndsSayWho: a client that breaks the protocol is told of with its name and address.
func TestBadEndsSayWho(t *testing.T) {
	t.Parallel()
	b, out := startLogged(t, brokerConfig())
	bad := dialRaw(t, b, connectPacket(4, 0xc2, "bad"))
	bad.expect(t, 0x20)
	bad.send(t, packet(0x10, text("MQTT"), []byte{4, 2, 0, 30}, text("bad"))) // a second CONNECT
	bad.ended(t)
	who := "client=bad user=plant address=" + bad.conn.LocalAddr().String()
	mqtttest.Eventually(t, "a warning that says who", func() bool {
		return strings.Contains(strings.Join(warnings(out.String()), ""), who)
	})
}

// TestRefusalsAreTold: refused logins are warnings, a flood of them is not, and a client id
// that is another user's says so, to the client too.
func TestRefusalsAreTold(t *testing.T) {
	t.Parallel()
	cfg := brokerConfig()
	cfg.Users = append(cfg.Users, config.BrokerUser{Username: "other", Password: "the-secret"})
	b, out := startLogged(t, cfg)
	dialRaw(t, b, connectPacket(4, 0xc0, "mine")).expect(t, 0x20)
	connect := func(version byte, id, user, password string) []byte {
		head := []byte{version, 0xc2, 0, 30}
		if version == 5 {
			head = append(head, 0)
		}
		return packet(0x10, text("MQTT"), head, text(id), text(user), text(password))
	}
	if ack := dialRaw(t, b, connect(4, "mine", "other", "the-secret")).expect(t, 0x20); ack[3] != 2 {
		t.Errorf("CONNACK % x", ack)
	}
	if ack := dialRaw(t, b, connect(5, "mine", "other", "the-secret")).expect(t, 0x20); ack[3] != 0x85 || !strings.Contains(string(ack), "another user") {
		t.Errorf("CONNACK %q", ack)
	}
	list := warnings(out.String())
	if len(list) != 2 || !strings.Contains(list[0], "another user") || !strings.Contains(list[0], "client=mine user=other address=127.0.0.1:") {
		t.Errorf("warnings %q", list)
	}
	for range 30 {
		dialRaw(t, b, connect(4, "wrong", "other", "wrong")).expect(t, 0x20)
	}
	list = warnings(out.String())
	if len(list) < 5 || len(list) > 20 || !strings.Contains(list[2], "client=wrong user=other address=") {
		t.Errorf("%d warnings of 32 refusals: %q", len(list), list)
	}
}
