//go:build integration

package mqtt_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/brokertest"
	"plantgate/internal/mqtt/mqtttest"
)

// secureBrokers are brokers that want a certificate of their clients, with one of their own.
func secureBroker(t *testing.T, name string, ca *brokertest.Authority, own brokertest.Pair, only12 bool) *brokertest.Broker {
	t.Helper()
	return brokertest.StartWith(t, name, brokertest.Settings{TLS: &brokertest.TLS{
		CAFile: ca.File, CertFile: own.CertFile, KeyFile: own.KeyFile, RequireClient: true, Only12: only12,
	}})
}

func connectionByTLS(b *brokertest.Broker, ca *brokertest.Authority, client brokertest.Pair) config.MQTTConnection {
	c := connectionTo(b)
	c.URL = "mqtts://" + b.TLSAddr()
	c.TLS = config.ClientTLS{CAFile: ca.File, CertFile: client.CertFile, KeyFile: client.KeyFile}
	return c
}

// tlsCase is a wrong configuration, or a broker that is, and what an operator must read.
type tlsCase struct {
	change func(*config.MQTTConnection)
	says   string
}

// TestTLSWithRealBrokers: a right pair of certificates connects and carries messages;
// whatever is wrong is told in words that say what to do, and no secret is told.
func TestTLSWithRealBrokers(t *testing.T) {
	day := 24 * time.Hour
	for _, name := range []string{brokertest.NameMosquitto, brokertest.NameRabbitMQ} {
		t.Run(name, func(t *testing.T) {
			ca, other := brokertest.NewAuthority(t, "plant"), brokertest.NewAuthority(t, "other")
			own, client := ca.Issue(t, "127.0.0.1", time.Now().Add(day)), ca.Issue(t, "plantgate", time.Now().Add(day))
			b := secureBroker(t, name, ca, own, false)
			log := new(logged)
			good := connectionByTLS(b, ca, client)
			good.Name, good.Username, good.Password = "line", "", ""
			good.UsernameFile, good.PasswordFile = secretFile(t, b.Username), secretFile(t, b.Password)
			ing := mqtttest.NewIngester()
			a := loggedAdapter(t, good, ing, log)
			run(t, a)
			mqtttest.Eventually(t, "the subscriptions", func() bool { return a.Status().Bindings[3].State == mes.BindingGranted })
			c := mqtttest.Connect(t, mqtttest.Options(b.URL(), "machine").SetUsername(b.Username).SetPassword(b.Password))
			mqtttest.Publish(t, c, "numbers/M1", 1, "by TLS")
			ing.WaitRecords(t, 1)

			expired, foreign := ca.Issue(t, "plantgate", time.Now().Add(-time.Hour)), other.Issue(t, "plantgate", time.Now().Add(day))
			for what, c := range map[string]tlsCase{
				"wrong CA":   {func(c *config.MQTTConnection) { c.TLS.CAFile = other.File }, "of no CA in tls.ca_file"},
				"no CA":      {func(c *config.MQTTConnection) { c.TLS.CAFile = "" }, "set tls.ca_file"},
				"wrong name": {func(c *config.MQTTConnection) { c.TLS.ServerName = "broker.example" }, "is for 127.0.0.1, not for broker.example"},
				"no client certificate": {func(c *config.MQTTConnection) {
					c.TLS.CertFile, c.TLS.KeyFile = "", ""
				}, "wants a client certificate: set tls.cert_file"},
				"no client certificate with TLS 1.3": {func(c *config.MQTTConnection) {
					c.TLS.CertFile, c.TLS.KeyFile, c.TLS.MinVersion = "", "", config.TLS13
				}, "wants a client certificate: set tls.cert_file"},
				"expired client certificate": {func(c *config.MQTTConnection) {
					c.TLS.CertFile, c.TLS.KeyFile = expired.CertFile, expired.KeyFile
				}, "client certificate has expired"},
				"foreign client certificate": {func(c *config.MQTTConnection) {
					c.TLS.CertFile, c.TLS.KeyFile = foreign.CertFile, foreign.KeyFile
				}, "does not trust the client certificate"},
				"wrong password":        {func(c *config.MQTTConnection) { c.PasswordFile = secretFile(t, "wrong-secret") }, "user name, password or permission"},
				"TLS on the plain port": {func(c *config.MQTTConnection) { c.URL = "mqtts://" + b.Addr() }, ""},
				"plain on the TLS port": {func(c *config.MQTTConnection) { c.URL = "mqtt://" + b.TLSAddr(); c.TLS = config.ClientTLS{} }, "must be one of TLS"},
			} {
				t.Run(what, func(t *testing.T) {
					t.Parallel()
					wrong := good
					wrong.Name = strings.ReplaceAll(what, " ", "-")
					wrong.ClientID = wrong.Name
					c.change(&wrong)
					awaitReason(t, loggedAdapter(t, wrong, mqtttest.NewIngester(), log), c.says)
				})
			}
			t.Cleanup(func() {
				log.check(t, "="+b.Username+" ", `"`+b.Username+`"`, b.Password, "wrong-secret", keyText(t, client.KeyFile), keyText(t, expired.KeyFile))
			})
		})
		t.Run(name+" with an expired certificate", func(t *testing.T) {
			ca := brokertest.NewAuthority(t, "plant")
			client := ca.Issue(t, "plantgate", time.Now().Add(day))
			b := secureBroker(t, name, ca, ca.Issue(t, "127.0.0.1", time.Now().Add(-time.Hour)), false)
			awaitReason(t, newAdapter(t, connectionByTLS(b, ca, client), mqtttest.NewIngester()), "expired on ")
		})
		t.Run(name+" with TLS 1.2 only", func(t *testing.T) {
			ca := brokertest.NewAuthority(t, "plant")
			client := ca.Issue(t, "plantgate", time.Now().Add(day))
			b := secureBroker(t, name, ca, ca.Issue(t, "127.0.0.1", time.Now().Add(day)), true)
			c := connectionByTLS(b, ca, client)
			a := newAdapter(t, c, mqtttest.NewIngester())
			run(t, a)
			waitState(t, a, mes.AdapterRunning)
			c.ClientID, c.TLS.MinVersion = "newer", config.TLS13
			awaitReason(t, newAdapter(t, c, mqtttest.NewIngester()), "tls.min_version")
		})
	}
}

func secretFile(t *testing.T, secret string) string {
	t.Helper()
	path := t.TempDir() + "/secret"
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// keyText is a line of a key.
func keyText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")[1]
}

// logged is everything that adapters said, by log or status.
type logged struct {
	mu       sync.Mutex
	text     bytes.Buffer
	adapters []*mqtt.Adapter
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// loggedAdapter is an adapter that says everything that it can.
func loggedAdapter(t *testing.T, cfg config.MQTTConnection, ing *mqtttest.Ingester, l *logged) *mqtt.Adapter {
	t.Helper()
	a, err := mqtt.New(cfg, mqtt.Deps{Ingester: ing, Decoder: mqtttest.Decoder{},
		Log: slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.adapters = append(l.adapters, a)
	return a
}

// check looks for secrets in all that was said.
func (l *logged) check(t *testing.T, secrets ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.adapters {
		status, err := json.Marshal(a.Status())
		if err != nil {
			t.Error(err)
		}
		l.text.Write(status)
	}
	if l.text.Len() < 1000 {
		t.Errorf("only this was said: %s", l.text.String())
	}
	for _, secret := range secrets {
		if strings.Contains(l.text.String(), secret) {
			t.Errorf("%q is told", secret)
		}
	}
}
