package broker_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"plantgate/internal/config"
	"plantgate/internal/mqtt/broker"
	"plantgate/internal/mqtt/mqtttest"
	"plantgate/internal/passwords"
)

// limitedUser may publish to its own topics and plant/+/data, and read its orders; the
// user plant may do everything.
func limitedConfig() config.Broker {
	cfg := brokerConfig()
	cfg.Users = append(cfg.Users, config.BrokerUser{
		Username: "edge", Password: "edge-secret",
		Publish: []string{"plant/+/data", "own/{username}/#"}, Subscribe: []string{"orders/{username}/#", "shared/+"},
	})
	return cfg
}

func edge(b *broker.Broker, id string) *paho.ClientOptions {
	return mqtttest.Options(b.URL(), id).SetUsername("edge").SetPassword("edge-secret")
}

func edgePacket(version, flags byte, id string, will ...[]byte) []byte {
	head := []byte{version, flags, 0, 30}
	if version == 5 {
		head = append(head, 0)
	}
	parts := append([][]byte{text("MQTT"), head, text(id)}, will...)
	return packet(0x10, append(parts, text("edge"), text("edge-secret"))...)
}

// TestDeniedSubscriptions tries the ways around rights: wildcards that are wider than
// what is granted, shared subscriptions in any spelling, topics of others.
func TestDeniedSubscriptions(t *testing.T) {
	t.Parallel()
	b := start(t, limitedConfig(), mqtttest.NewIngester(), slog.New(slog.DiscardHandler))
	denied := []string{
		"#", "+/#", "orders/#", "orders/+/x", "orders/other/x", "+/edge/x", "shared/#", "shared", "secret",
		"$share/g/#", "$SHARE/g/orders/#", "$share/orders/edge/#", "$share/edge/secret", "$SYS/#", "$share/g/$SYS/#", "orders/{username}/x",
	}
	granted := []string{"orders/edge/#", "orders/edge/+", "orders/edge", "shared/+", "shared/x", "$share/g/shared/x"}
	for _, version := range []byte{4, 5} {
		raw := dialRaw(t, b, edgePacket(version, 0xc2, "reader"))
		raw.expect(t, 0x20)
		ask := func(filter string) byte {
			body := []byte{0, 9}
			if version == 5 {
				body = append(body, 0)
			}
			raw.send(t, packet(0x82, body, text(filter), []byte{1}))
			answer := raw.expect(t, 0x90)
			return answer[len(answer)-1]
		}
		refusal := map[byte]byte{4: 0x80, 5: 0x87}[version]
		for _, filter := range denied {
			if got := ask(filter); got != refusal {
				t.Errorf("version %d: %s was answered %x, want %x", version, filter, got, refusal)
			}
		}
		for _, filter := range granted {
			if got := ask(filter); got != 1 {
				t.Errorf("version %d: %s was answered %x", version, filter, got)
			}
		}
		_ = raw.conn.Close()
	}
	if n := b.Stats().Denied["subscribe"]; n != 2*int64(len(denied)) {
		t.Errorf("%d refusals were counted", n)
	}
}

// TestDeniedPublications: MQTT 3.1.1 is disconnected, MQTT 5 answered, QoS 0 dropped;
// nothing is stored, passed on or retained, an alias is of no help.
func TestDeniedPublications(t *testing.T) {
	t.Parallel()
	ing := mqtttest.NewIngester()
	cfg := limitedConfig()
	cfg.Subscriptions = []config.Subscription{{Topic: "plant/{machine}/data"}, {Topic: "secret/{machine}"}}
	b := start(t, cfg, ing, slog.New(slog.DiscardHandler))
	var spy subscriber
	all := mqtttest.Connect(t, options(b, "spy").SetDefaultPublishHandler(spy.take))
	mqtttest.Wait(t, all.Subscribe("#", 1, nil))

	for _, topic := range []string{"secret/M1", "own/other/x", "$SYS/x", "$other", "plant/M1/data/x"} {
		for qos, id := range []string{"", "\x00\x07", "\x00\x07"} {
			header := byte(0x31 | qos<<1) // retained
			raw := dialRaw(t, b, edgePacket(4, 0xc2, "old"))
			raw.expect(t, 0x20)
			raw.send(t, packet(header, text(topic), []byte(id), []byte("forbidden")))
			if qos > 0 {
				raw.ended(t)
			} else {
				raw.none(t)
				_ = raw.conn.Close()
			}
			v5 := dialRaw(t, b, edgePacket(5, 0xc2, "new"))
			v5.expect(t, 0x20)
			v5.send(t, packet(header, text(topic), []byte(id), []byte{0}, []byte("forbidden")))
			switch qos {
			case 0:
				v5.none(t)
			default:
				answer := v5.expect(t, []byte{0, 0x40, 0x50}[qos])
				if answer[4] != 0x87 {
					t.Errorf("%s with QoS %d was answered % x", topic, qos, answer)
				}
			}
			_ = v5.conn.Close()
		}
	}
	// The alias is made on a topic that is denied, and used.
	v5 := dialRaw(t, b, edgePacket(5, 0xc2, "alias"))
	v5.expect(t, 0x20)
	v5.send(t, packet(0x32, text("secret/M1"), []byte{0, 7, 3, 0x23, 0, 1}, []byte("forbidden")))
	first := v5.expect(t, 0x40)
	v5.send(t, packet(0x32, text(""), []byte{0, 8, 3, 0x23, 0, 1}, []byte("forbidden")))
	second := v5.expect(t, 0x40)
	if first[4] != 0x87 || second[4] != 0x87 {
		t.Errorf("answers to aliases: % x, % x", first, second)
	}
	// What is granted goes through, so that nothing of the rest is still under way.
	mqtttest.Publish(t, mqtttest.Connect(t, edge(b, "granted")), "own/edge/x", 1, "granted")
	spy.wait(t, 1)
	if got := spy.list(); len(got) != 1 || got[0] != "granted" || len(ing.Records()) != 0 || b.Stats().Retained != 0 {
		t.Errorf("passed on %q, stored %d, retained %d", got, len(ing.Records()), b.Stats().Retained)
	}
	if n := b.Stats().Denied["publish"]; n != 5*3*2+2 {
		t.Errorf("%d refusals were counted", n)
	}
}

// TestDeniedWill: a will to a topic that the user may not publish to keeps the client out.
func TestDeniedWill(t *testing.T) {
	t.Parallel()
	b := start(t, limitedConfig(), mqtttest.NewIngester(), slog.New(slog.DiscardHandler))
	for topic, code := range map[string]byte{"secret": 5, "$SYS/x": 5, "own/+/x": 3, "own/other/x": 5} {
		raw := dialRaw(t, b, edgePacket(4, 0xee, "w", text(topic), text("gone"))) // retained, QoS 1
		if answer := raw.expect(t, 0x20); answer[3] == 0 || code == 5 && answer[3] != code {
			t.Errorf("a will to %s was answered % x", topic, answer)
		}
	}
	raw := dialRaw(t, b, edgePacket(4, 0xee, "w", text("own/edge/state"), text("gone")))
	if answer := raw.expect(t, 0x20); answer[3] != 0 {
		t.Errorf("a will that is granted was answered % x", answer)
	}
}

// TestWillDoesNotOutliveItsSession: a will that asks for a delay beyond the end of its
// session is sent when that ends, here at once.
func TestWillDoesNotOutliveItsSession(t *testing.T) {
	t.Parallel()
	ing := mqtttest.NewIngester()
	cfg := limitedConfig()
	cfg.Subscriptions = []config.Subscription{{Topic: "own/#", Format: config.FormatAuto}}
	b := start(t, cfg, ing, slog.New(slog.DiscardHandler))
	delayed := []byte{5, 0x18, 0xee, 0x6b, 0x28, 0x00} // 4,000,000,000 s
	raw := dialRaw(t, b, edgePacket(5, 0xce, "w", append(delayed, text("own/edge/state")...), text("gone")))
	if answer := raw.expect(t, 0x20); answer[3] != 0 {
		t.Fatalf("answered % x", answer)
	}
	if err := raw.conn.Close(); err != nil {
		t.Fatal(err)
	}
	if got := ing.WaitRecords(t, 1); string(got[0].Payload) != "gone" {
		t.Errorf("stored %q", got[0].Payload)
	}
}

// TestRightsOfKeptSessions: what a session was granted before does not outlive the right,
// nor does another user get at it by its client id.
func TestRightsOfKeptSessions(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	cfg := limitedConfig()
	cfg.Users[1].Subscribe = []string{"secret/#"}
	b := startIn(t, folder, cfg)
	var sub subscriber
	c := mqtttest.Connect(t, edge(b, "kept").SetCleanSession(false))
	mqtttest.Wait(t, c.Subscribe("secret/#", 1, sub.take))
	c.Disconnect(250)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = startIn(t, folder, limitedConfig())
	p := mqtttest.Connect(t, options(b, "pub"))
	mqtttest.Publish(t, p, "secret/x", 1, "forbidden")
	if s := b.Stats(); s.Queued != 0 {
		t.Errorf("%d messages wait for a user who may not have them", s.Queued)
	}
	thief := paho.NewClient(options(b, "kept").SetCleanSession(false)).Connect().(*paho.ConnectToken)
	if !thief.WaitTimeout(mqtttest.Patience) || thief.ReturnCode() != 2 {
		t.Errorf("another user with the client id: return code %d, %v", thief.ReturnCode(), thief.Error())
	}
}

// TestHashedPasswords: from the configuration and from a file, which is read again.
func TestHashedPasswords(t *testing.T) {
	t.Parallel()
	hash := func(password string) string {
		text, err := passwords.Argon2id([]byte(password))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	file := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(hash("first"))
	cfg := brokerConfig()
	cfg.Users = []config.BrokerUser{{Username: "a", PasswordHash: hash("of-a")}, {Username: "b", PasswordFile: file}}
	b := start(t, cfg, mqtttest.NewIngester(), slog.New(slog.DiscardHandler))
	login := func(user, password string) byte {
		c := paho.NewClient(mqtttest.Options(b.URL(), "c-"+user).SetUsername(user).SetPassword(password))
		token := c.Connect().(*paho.ConnectToken)
		if !token.WaitTimeout(mqtttest.Patience) {
			t.Fatal("no answer")
		}
		if token.ReturnCode() == 0 {
			c.Disconnect(250)
		}
		return token.ReturnCode()
	}
	for range 2 { // the second time from memory
		if login("a", "of-a") != 0 || login("b", "first") != 0 {
			t.Error("right passwords are refused")
		}
		if login("a", "first") == 0 || login("b", "of-a") == 0 || login("nobody", "of-a") == 0 || login("a", "") == 0 {
			t.Error("wrong passwords are taken")
		}
	}
	write(hash("second"))
	if login("b", "first") == 0 || login("b", "second") != 0 {
		t.Error("the file was not read again")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if login("b", "second") != 3 || login("a", "of-a") != 0 {
		t.Error("a file that is away is not told, or keeps others out")
	}
	if n := b.Stats().AuthFailures; n["wrong_password"] != 9 || n["password_file"] != 1 {
		t.Errorf("%v", n)
	}
}

// TestFloodOfLogins: wrong passwords with costly hashes do not keep clients that are
// connected, or those with the right password, from their work.
func TestFloodOfLogins(t *testing.T) {
	t.Parallel()
	hash, err := passwords.Argon2id([]byte("the-secret"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := brokerConfig()
	cfg.Users = []config.BrokerUser{{Username: "plant", PasswordHash: hash}}
	cfg.Limits.ConnectsPerSecond = 0
	ing := mqtttest.NewIngester()
	b := start(t, cfg, ing, slog.New(slog.DiscardHandler))
	c := mqtttest.Connect(t, options(b, "machine"))
	for range 300 {
		dialRaw(t, b, packet(0x10, text("MQTT"), []byte{4, 0xc2, 0, 30}, text("x"), text("nobody"), text("wrong")))
	}
	began := time.Now()
	for range 50 {
		mqtttest.Publish(t, c, "plant/M1/data", 1, "x")
	}
	mqtttest.Connect(t, options(b, "another")) // known from before
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a publisher and a login took %s", took)
	}
	mqtttest.Eventually(t, "answers to all", func() bool {
		n := b.Stats().AuthFailures
		return n["busy"]+n["wrong_password"] == 300
	})
	if n := b.Stats().AuthFailures; n["busy"] == 0 {
		t.Errorf("nobody was turned away: %v", n)
	}
}

// TestConnectLimits: too many connections from one address, and who never says CONNECT.
func TestConnectLimits(t *testing.T) {
	t.Parallel()
	cfg := brokerConfig()
	cfg.Limits.ConnectsPerSecond, cfg.Limits.ConnectTimeout = 3, 300*time.Millisecond
	b := start(t, cfg, mqtttest.NewIngester(), slog.New(slog.DiscardHandler))
	for range 10 {
		dialRaw(t, b, nil)
	}
	mqtttest.Eventually(t, "the count of both", func() bool {
		d := b.Stats().Denied
		return d["connect_rate"] >= 6 && d["connect_timeout"] >= 3
	})
}

// TestTopicLimits: too long, too deep, too many.
func TestTopicLimits(t *testing.T) {
	t.Parallel()
	cfg := brokerConfig()
	cfg.Limits.MaxTopicLength, cfg.Limits.MaxTopicLevels, cfg.Limits.MaxSubscriptions = 20, 3, 2
	b := start(t, cfg, mqtttest.NewIngester(), slog.New(slog.DiscardHandler))
	raw := dialRaw(t, b, connectPacket(5, 0xc2, "c"))
	raw.expect(t, 0x20)
	long := string(bytes.Repeat([]byte("x"), 21))
	raw.send(t, packet(0x82, []byte{0, 9, 0}, text(long), []byte{1}, text("a/b/c/d"), []byte{1}, text("a"), []byte{1}, text("b"), []byte{1}, text("c"), []byte{1}, text("a"), []byte{0}))
	answer := raw.expect(t, 0x90)
	if got := answer[len(answer)-6:]; !bytes.Equal(got, []byte{0x8f, 0x8f, 1, 1, 0x97, 0}) {
		t.Errorf("SUBACK % x", got)
	}
	for _, topic := range []string{long, "a/b/c/d"} {
		raw.send(t, packet(0x32, text(topic), []byte{0, 7, 0}, []byte("x")))
		if answer := raw.expect(t, 0x40); answer[4] != 0x90 {
			t.Errorf("%s was answered % x", topic, answer)
		}
	}
	if d := b.Stats().Denied; d["subscription_limit"] != 3 || d["topic"] != 2 {
		t.Errorf("%v", d)
	}
}

// TestNeverReading: subscribers with persistent sessions that never read hold up nobody,
// and what is kept for them is bounded.
func TestNeverReading(t *testing.T) {
	t.Parallel()
	cfg := brokerConfig()
	cfg.Limits.MaxQueued, cfg.Limits.MaxInflight = 50, 10
	b := startIn(t, t.TempDir(), cfg)
	for _, id := range []string{"a", "b", "c"} {
		raw := dialRaw(t, b, connectPacket(4, 0xc0, id))
		raw.expect(t, 0x20)
		raw.send(t, packet(0x82, []byte{0, 9}, text("big/#"), []byte{1}, text("small/#"), []byte{0}))
		raw.expect(t, 0x90)
	}
	var good subscriber
	c := mqtttest.Connect(t, options(b, "good").SetDefaultPublishHandler(good.take))
	mqtttest.Wait(t, c.Subscribe("#", 1, nil))
	p := mqtttest.Connect(t, options(b, "pub"))
	payload := string(bytes.Repeat([]byte("x"), 200_000))
	for i := range 100 {
		mqtttest.Publish(t, p, "big/x", 1, payload)
		mqtttest.Publish(t, p, "small/x", 0, payload)
		good.wait(t, 2*i+1)
	}
	good.wait(t, 200)
	s := b.Stats()
	if d := s.Dropped; s.Queued != 150 || d[0] != 150 || d[1] == 0 {
		t.Errorf("%d are queued, dropped: %v", s.Queued, d)
	}
}
