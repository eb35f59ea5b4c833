package mqtt_test

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	mochi "github.com/mochi-mqtt/server/v2"

	"plantgate/internal/config"
	"plantgate/internal/doctor"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/broker"
	"plantgate/internal/mqtt/brokertest"
	"plantgate/internal/mqtt/mqtttest"
)

// examined returns the findings of a connection by their check.
func examined(t *testing.T, cfg config.MQTTConnection) map[string]doctor.Finding {
	t.Helper()
	r := new(doctor.Report)
	mqtt.Examine(t.Context(), cfg, 256<<10, r)
	found := map[string]doctor.Finding{}
	for _, f := range r.Findings {
		if f.Subject != "mqtt "+cfg.Name {
			t.Errorf("the subject of %+v", f)
		}
		found[f.Check] = f
	}
	return found
}

// wantFinding compares a finding's level and looks for words in it.
func wantFinding(t *testing.T, found map[string]doctor.Finding, check string, level doctor.Level, words string) {
	t.Helper()
	f, ok := found[check]
	if !ok || f.Level != level || !strings.Contains(f.Detail+" "+f.Advice, words) {
		t.Errorf("%s: %+v; want %s with word of %q", check, f, level, words)
		for _, other := range found {
			t.Logf("  %+v", other)
		}
	}
}

// TestDoctorOfTheOwnBroker: everything is there, and the running session is left alone.
func TestDoctorOfTheOwnBroker(t *testing.T) {
	t.Parallel()
	b := startBroker(t, "127.0.0.1:0")
	cfg := connection(b.Addr().String(), "plant/{machine}/#", "$share/group/deal/{machine}")
	running := newAdapter(t, cfg, mqtttest.NewIngester())
	runUp(t, running)
	found := examined(t, cfg)
	for _, check := range []string{
		"tcp", "connect", "subscription plant/{machine}/#", "subscription $share/group/deal/{machine}", "delivery",
		"dots in topics", "shared subscriptions", "QoS 2", "retained messages", "largest message", "messages that wait",
	} {
		wantFinding(t, found, check, doctor.OK, "")
	}
	if s := running.Status(); s.Reconnects != 0 || s.State != mes.AdapterRunning {
		t.Errorf("the server's own connection was disturbed: %+v", s)
	}
	// Nothing is left behind.
	c := mqtttest.Connect(t, mqtttest.Options(cfg.URL, "later").SetUsername("plant").SetPassword("secret"))
	left := make(chan string, 1)
	mqtttest.Wait(t, c.Subscribe("plantgate/#", 1, func(_ paho.Client, m paho.Message) { left <- m.Topic() }))
	select {
	case name := <-left:
		t.Errorf("a retained message is left at %s", name)
	case <-time.After(200 * time.Millisecond):
	}
}

func TestDoctorOfWhatDoesNotWork(t *testing.T) {
	t.Parallel()
	b := startBroker(t, "127.0.0.1:0")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	_ = l.Close()

	cfg := connection(dead)
	wantFinding(t, examined(t, cfg), "tcp", doctor.Fault, "nothing listens")

	cfg = connection("no-such-host.invalid:1883")
	wantFinding(t, examined(t, cfg), "name", doctor.Fault, "can't be resolved")

	cfg = connection(b.Addr().String())
	cfg.Password = "not-the-password"
	found := examined(t, cfg)
	wantFinding(t, found, "connect", doctor.Fault, "user name, password or permission")
	for _, f := range found {
		if strings.Contains(f.Detail+f.Advice, "not-the-password") {
			t.Errorf("the password is told: %+v", f)
		}
	}

	cfg = connection(b.Addr().String())
	cfg.PasswordFile, cfg.Password = "/no/such/file", ""
	wantFinding(t, examined(t, cfg), "credentials", doctor.Fault, "password_file")

	cfg = connection(startBare(t, new(denying)), "forbidden/{machine}", "plant/{machine}")
	found = examined(t, cfg)
	wantFinding(t, found, "subscription forbidden/{machine}", doctor.Fault, "refuses")
	wantFinding(t, found, "subscription plant/{machine}", doctor.OK, "")
	wantFinding(t, found, "delivery", doctor.OK, "")
}

// closed denies the scratch topics, as an ACL does.
type closed struct{ denying }

func (*closed) OnACLCheck(_ *mochi.Client, topic string, _ bool) bool {
	return !strings.HasPrefix(topic, "plantgate/")
}

// TestDoctorWithoutTheRightToPublish says that it could not check, and fails nothing.
func TestDoctorWithoutTheRightToPublish(t *testing.T) {
	t.Parallel()
	found := examined(t, connection(startBare(t, new(closed))))
	wantFinding(t, found, "delivery", doctor.Note, "let the user write and read plantgate/doctor/#")
	for _, f := range found {
		if f.Level == doctor.Fault {
			t.Errorf("%+v", f)
		}
	}
}

func TestDoctorOfCertificates(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewAuthority(t, "plant")
	for name, c := range map[string]struct {
		until time.Duration
		check string
		level doctor.Level
		words string
	}{
		"expired": {-time.Hour, "tls", doctor.Fault, "expired on"},
		"soon":    {48 * time.Hour, "broker certificate", doctor.Warning, "expires on"},
		"right":   {60 * 24 * time.Hour, "broker certificate", doctor.OK, "valid until"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair := ca.Issue(t, "127.0.0.1", time.Now().Add(c.until))
			cfg := config.Default().MQTT.Broker
			cfg.Listen = "127.0.0.1:0"
			cfg.Users = []config.BrokerUser{{Username: "plant", Password: "secret"}}
			cfg.TLS = config.BrokerTLS{CertFile: pair.CertFile, KeyFile: pair.KeyFile}
			b, err := broker.Start(cfg, broker.Deps{Ingester: mqtttest.NewIngester(), Decoder: mqtttest.Decoder{}, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.Close() })
			conn := connection(b.Addr().String())
			conn.URL = b.URL()
			conn.TLS.CAFile = ca.File
			found := examined(t, conn)
			wantFinding(t, found, c.check, c.level, c.words)
			wantFinding(t, found, "tls.ca_file", doctor.Warning, "expires on")
		})
	}
}
