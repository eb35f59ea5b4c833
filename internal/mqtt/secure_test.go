package mqtt_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/broker"
	"plantgate/internal/mqtt/mqtttest"
)

// certificate writes a certificate for 127.0.0.1 that signs itself, and its key.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "broker"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", cert), write("key.pem", "PRIVATE KEY", private)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile := certificate(t)
	cfg := config.Default().MQTT.Broker
	cfg.Listen = "127.0.0.1:0"
	cfg.Users = []config.BrokerUser{{Username: "plant", Password: "secret"}}
	cfg.TLS = config.BrokerTLS{CertFile: certFile, KeyFile: keyFile}
	b, err := broker.Start(cfg, broker.Deps{
		Ingester: mqtttest.NewIngester(), Decoder: mqtttest.Decoder{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })

	trusted := connection(b.Addr().String())
	trusted.URL = b.URL()
	trusted.TLS.CAFile = certFile
	good := newAdapter(t, trusted, mqtttest.NewIngester())
	run(t, good)
	waitState(t, good, mes.AdapterRunning)

	for name, change := range map[string]func(c *config.MQTTConnection){
		"unknown authority": func(c *config.MQTTConnection) { c.TLS.CAFile = "" },
		"other name":        func(c *config.MQTTConnection) { c.TLS.ServerName = "broker.example" },
	} {
		c := trusted
		c.ClientID = name
		change(&c)
		bad := newAdapter(t, c, mqtttest.NewIngester())
		run(t, bad)
		waitState(t, bad, mes.AdapterBackingOff)
	}
}

// TestSecretsAreReadAtEachConnect: a password is rotated without a restart.
func TestSecretsAreReadAtEachConnect(t *testing.T) {
	t.Parallel()
	b := startBroker(t, "127.0.0.1:0")
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("former")
	cfg := connection(b.Addr().String())
	cfg.Password, cfg.PasswordFile = "", file
	a := newAdapter(t, cfg, mqtttest.NewIngester())
	run(t, a)
	waitState(t, a, mes.AdapterRefused)
	write("secret")
	waitState(t, a, mes.AdapterRunning)
	if err := a.CheckFiles(); err != nil {
		t.Error(err)
	}

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := a.CheckFiles(); err == nil {
		t.Error("the missing file is not missed")
	}
	_ = b.Close()
	mqtttest.Eventually(t, "word of the missing file", func() bool {
		s := a.Status()
		return strings.Contains(s.Detail, "password_file") && !strings.Contains(s.Detail, file)
	})
}

func TestWebSocket(t *testing.T) {
	t.Parallel()
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := server.AddHook(new(denying), nil); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close() // the library's listener does not tell a port it chose
	if err := server.AddListener(listeners.NewWebsocket(listeners.Config{ID: "ws", Address: addr})); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })

	cfg := connection(addr)
	cfg.URL = "ws://" + addr + "/mqtt"
	ing := mqtttest.NewIngester()
	a := newAdapter(t, cfg, ing)
	run(t, a)
	waitState(t, a, mes.AdapterRunning)
	c := mqtttest.Connect(t, mqtttest.Options(cfg.URL, "publisher"))
	mqtttest.Eventually(t, "a message", func() bool {
		mqtttest.Publish(t, c, "plant/M1/data", 1, "x")
		return len(ing.Records()) > 0
	})
}

// TestAlertOfABrokerThatHasGone: what the broker said of the client's certificate is known
// also if it ended the connection before anything was written.
func TestAlertOfABrokerThatHasGone(t *testing.T) {
	certFile, keyFile := certificate(t)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var broker sync.WaitGroup
	broker.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		server := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert})
		_ = server.Handshake() // there is no certificate, which it says by an alert
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	})
	dialled, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	broker.Wait()
	conn, fault := mqtt.Hear(dialled)
	defer conn.Close()
	mqtttest.Eventually(t, "the reset", func() bool {
		_, err := conn.Write([]byte("CONNECT"))
		return err != nil
	})
	if err := fault(); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("the broker ended it by: %v", err)
	}
}
