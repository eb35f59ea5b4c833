package mqtt_test

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/brokertest"
	"plantgate/internal/mqtt/mqtttest"
)

// hangsUp is a broker that ends each connection after the handshake, and says nothing.
func hangsUp(t *testing.T, pair brokertest.Pair, auth tls.ClientAuthType) string {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(pair.CertFile, pair.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: auth})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).Handshake()
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// TestSilentEnds: a broker that ends the connection without a word is understood by what it
// asked for before.
func TestSilentEnds(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewAuthority(t, "plant")
	pair := ca.Issue(t, "127.0.0.1", time.Now().Add(time.Hour))
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Close() })
	go func() {
		for {
			c, err := plain.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("SSH-2.0-x\r\n"))
			_ = c.Close()
		}
	}()
	asks, silent := hangsUp(t, pair, tls.RequestClientCert), hangsUp(t, pair, tls.NoClientCert)
	with := config.ClientTLS{CAFile: ca.File, CertFile: pair.CertFile, KeyFile: pair.KeyFile}
	for name, c := range map[string]struct {
		url   string
		tls   config.ClientTLS
		state mes.AdapterState
		says  string
	}{
		"asked, none there": {"mqtts://" + asks, config.ClientTLS{CAFile: ca.File}, mes.AdapterRefused, "wants a client certificate"},
		"asked and given":   {"mqtts://" + asks, with, mes.AdapterBackingOff, "may not trust tls.cert_file"},
		"not asked":         {"mqtts://" + silent, config.ClientTLS{CAFile: ca.File}, mes.AdapterBackingOff, "is this its MQTT port?"},
		"no TLS there":      {"mqtts://" + plain.Addr().String(), config.ClientTLS{CAFile: ca.File}, mes.AdapterBackingOff, "does not speak TLS on this port"},
		"TLS there":         {"mqtt://" + silent, config.ClientTLS{}, mes.AdapterBackingOff, "must be one of TLS"},
		"nothing there":     {"mqtt://127.0.0.1:1", config.ClientTLS{}, mes.AdapterBackingOff, "nothing listens on 127.0.0.1:1"},
		"no such name":      {"mqtt://no-such-host.invalid:1883", config.ClientTLS{}, mes.AdapterBackingOff, "can't be resolved"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := connection("unused:1")
			cfg.URL, cfg.TLS = c.url, c.tls
			a := newAdapter(t, cfg, mqtttest.NewIngester())
			awaitReason(t, a, c.says)
			if s := a.Status().State; s != c.state && s != mes.AdapterConnecting {
				t.Errorf("it is %s, want %s", s, c.state)
			}
		})
	}
}

// awaitReason runs the adapter until its state says why there is no connection.
func awaitReason(t *testing.T, a *mqtt.Adapter, says string) {
	t.Helper()
	run(t, a)
	var s mes.AdapterStatus
	mqtttest.Eventually(t, "a reason", func() bool {
		s = a.Status()
		return (s.State == mes.AdapterBackingOff || s.State == mes.AdapterRefused) && s.Detail != ""
	})
	if !strings.Contains(s.Detail, says) {
		t.Errorf("it is %s: %s; want word of: %s", s.State, s.Detail, says)
	}
	t.Logf("%s: %s", s.State, s.Detail)
}
