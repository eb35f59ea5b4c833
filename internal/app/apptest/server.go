// Package apptest runs the whole program in tests: in the test's own process
// (Start), where it can be stopped and started again over the same data, or in
// one of its own (StartProcess), where its memory is nobody else's. Both listen
// on ports that the system chooses and speak real HTTPS and MQTT.
package apptest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/auth"
	"plantgate/internal/config"
	"plantgate/internal/store"
)

// Patience is how long tests wait for what must happen.
const Patience = 30 * time.Second

// What clients prove themselves with.
const (
	Key          = "bootstrap key of the tests"
	MQTTUser     = "floor"
	MQTTPassword = "password of the floor"
)

// Server is a program under test. Its fields change with Restart.
type Server struct {
	*Client
	// Config is what the server was started with.
	Config config.Config
	// BrokerURL is the own broker's address.
	BrokerURL string
	CAFile    string

	t    testing.TB
	stop context.CancelFunc
	done chan error
}

// Start starts a server with its own data, own broker and sites in three zones,
// and stops it at the end of the test. Each change is applied to the
// configuration first.
func Start(t testing.TB, changes ...func(*config.Config)) *Server {
	t.Helper()
	s := &Server{t: t, Config: Configure(t.TempDir())}
	for _, change := range changes {
		change(&s.Config)
	}
	s.Config.ApplyElementDefaults()
	if faults := s.Config.Validate(); len(faults) > 0 {
		t.Fatalf("the configuration of the test: %v", faults)
	}
	s.start()
	t.Cleanup(s.Stop)
	return s
}

// Configure returns the configuration that Start begins with.
func Configure(folder string) config.Config {
	c := config.Default()
	c.Server.Listen = "127.0.0.1:0"
	c.Server.TLS.Folder = filepath.Join(folder, "tls")
	c.Metrics.Listen = "127.0.0.1:0"
	c.Store.DSN = "sqlite:" + filepath.Join(folder, "plantgate.db")
	c.Auth.BootstrapKey = Key
	c.Sites = []config.Site{{ID: "pune", TimeZone: "Asia/Kolkata"}, {ID: "york", TimeZone: "America/New_York"}}
	c.MQTT.Broker.Enabled = true
	c.MQTT.Broker.Listen = "127.0.0.1:0"
	c.MQTT.Broker.Users = []config.BrokerUser{{Username: MQTTUser, Password: MQTTPassword}}
	c.MQTT.Broker.Subscriptions = []config.Subscription{
		{Topic: "mes/production/data", Format: config.FormatEnvelope},
		{Topic: "opc_data/all_variables", Format: config.FormatSnapshot, MachineID: "OPC-BRIDGE"},
		{Topic: "opc_data/my_variable", Format: config.FormatValue, MachineID: "OPC-BRIDGE"},
		{Topic: "plant/{line}/{machine}/data"},
	}
	return c
}

func (s *Server) start() {
	s.t.Helper()
	a, err := app.Open(s.t.Context(), s.Config, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s.stop, s.done = cancel, done
	go func() { done <- a.Run(ctx) }()
	s.Client = NewClient(s.t, a.URL(), a.CAFile(), Key)
	s.BrokerURL, s.CAFile = a.BrokerURL(), a.CAFile()
}

// Stop stops the server and fails the test if that was not clean. A second call
// does nothing.
func (s *Server) Stop() {
	if s.stop == nil {
		return
	}
	s.t.Helper()
	s.HTTP.CloseIdleConnections()
	s.stop()
	s.stop = nil
	select {
	case err := <-s.done:
		if err != nil {
			s.t.Errorf("the server ended with: %v", err)
		}
	case <-time.After(stopPatience):
		s.t.Errorf("the server did not stop within %s", stopPatience)
	}
}

// Restart stops the server and starts it again over the same data.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.start()
}

// DatabasePath is the file that the server keeps its data in.
func (s *Server) DatabasePath() string { return strings.TrimPrefix(s.Config.Store.DSN, "sqlite:") }

// As makes a key in the server's store, as `plantgate keys create` does, and
// returns a client that uses it.
func (s *Server) As(key auth.NewKey) *Client {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), s.Config.Store.DSN, store.Options{Readers: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	keys, err := auth.New(db, auth.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	_, text, err := keys.Create(s.t.Context(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	other := *s.Client
	other.Key = text
	return &other
}

// trust returns a transport that trusts the CA and nothing else.
func trust(t testing.TB, caFile string) *http.Transport {
	t.Helper()
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("no certificate in %s", caFile)
	}
	return &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 64,
	}
}
