// Package broker is plantgate's own MQTT broker, for plants that have none. It
// speaks MQTT 3.1.1 and 5. Messages that a configured subscription is for are
// stored before they are acknowledged, and then go to the broker's subscribers
// like all others.
//
// Sessions, retained messages and what waits for subscribers are in memory: a
// restart of the program ends them, and for an absent subscriber at most 8192
// messages wait, for at most a day. What a publisher has an acknowledgement for
// is stored, if a subscription of the configuration is for it; the rest it
// sends again.
package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"

	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
)

// Name is the broker's name among the connections: the origin of its records
// and the name of its status.
const Name = "broker"

// sessionLife is how long the session of an absent client is kept. Clients that
// ask for a lasting one under a new name each time would fill the memory.
const sessionLife = 24 * time.Hour

// stopTimeout bounds the wait for commits in hand when the broker stops.
const stopTimeout = 10 * time.Second

// Deps are what a broker works with.
type Deps struct {
	// Ingester waits while there is no room, and returns after the commit.
	Ingester ingest.Ingester
	Decoder  ingest.Decoder
	Log      *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Broker is an MQTT broker that listens.
type Broker struct {
	server    *mochi.Server
	addr      net.Addr
	secure    bool
	users     users
	bindings  mqtt.Bindings
	ingester  ingest.Ingester
	decoder   ingest.Decoder
	log       *slog.Logger
	now       func() time.Time
	condition *condition
	lost      atomic.Int64
	// work is what commits run under; it outlives the listener by stopTimeout.
	work     context.Context
	stopWork context.CancelFunc
	once     sync.Once
}

// Start checks the configuration, opens the listener and serves until Close.
// Errors of the configuration have CodeInvalid; one of the listener, such as an
// address in use, CodeUnavailable.
func Start(cfg config.Broker, deps Deps) (*Broker, error) {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	b := &Broker{
		ingester: deps.Ingester,
		decoder:  deps.Decoder,
		log:      deps.Log.With("door", mes.DoorMQTT, "connection", Name),
		now:      deps.Now,
	}
	var err error
	if b.bindings, err = mqtt.NewBindings(Name, cfg.Subscriptions); err != nil {
		return nil, err
	}
	b.condition = newCondition(b.bindings, deps.Now)
	if b.users, err = newUsers(cfg.Users, cfg.AllowAnonymous); err != nil {
		return nil, err
	}
	l, err := listen(cfg)
	if err != nil {
		return nil, err
	}
	b.addr, b.secure = l.Addr(), cfg.TLS.CertFile != ""
	b.work, b.stopWork = context.WithCancel(context.Background())
	if err := b.serve(cfg, l); err != nil {
		b.stopWork()
		_ = l.Close()
		return nil, err
	}
	b.condition.running()
	b.condition.flow.Granted()
	b.log.Info("MQTT broker listens", "address", b.addr.String(), "tls", b.secure)
	return b, nil
}

// serve puts the library's server behind the listener.
func (b *Broker) serve(cfg config.Broker, l net.Listener) error {
	capabilities := mochi.NewDefaultServerCapabilities()
	capabilities.MaximumClients = int64(cfg.MaxClients)
	capabilities.MaximumPacketSize = uint32(cfg.MaxPacket)
	capabilities.MaximumSessionExpiryInterval = uint32(sessionLife / time.Second)
	b.server = mochi.New(&mochi.Options{
		Capabilities: capabilities,
		Logger:       slog.New(discreet{b.log.Handler()}),
	})
	if err := b.server.AddHook(&hook{b: b}, nil); err != nil {
		return mes.Wrap(mes.CodeInternal, err, "the MQTT broker can't be set up")
	}
	if err := b.server.AddListener(newListener(l, cfg.MaxClients)); err != nil {
		return mes.Wrap(mes.CodeInternal, err, "the MQTT broker can't be set up")
	}
	if err := b.server.Serve(); err != nil {
		return mes.Wrap(mes.CodeInternal, err, "the MQTT broker can't be started")
	}
	return nil
}

// listen opens the address, with TLS if there is a certificate.
func listen(cfg config.Broker) (net.Listener, error) {
	var tlsConfig *tls.Config
	if cfg.TLS.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(cfg.TLS.CertFile, cfg.TLS.KeyFile)
		if err != nil {
			return nil, mes.Wrap(mes.CodeInvalid, err, "tls.cert_file and tls.key_file of the broker are no pair of certificate and key")
		}
		tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, mes.Wrap(mes.CodeUnavailable, err, "the MQTT broker can't listen on "+cfg.Listen)
	}
	if addr, ok := l.Addr().(*net.TCPAddr); cfg.AllowAnonymous && (!ok || !addr.IP.IsLoopback()) {
		_ = l.Close()
		return nil, mes.Errorf(mes.CodeInvalid, "allow_anonymous is only possible on a loopback address, not on %s", cfg.Listen)
	}
	if tlsConfig != nil {
		l = tls.NewListener(l, tlsConfig)
	}
	return l, nil
}

// Addr returns the address that the broker listens on.
func (b *Broker) Addr() net.Addr { return b.addr }

// URL returns an address that clients on this machine can use.
func (b *Broker) URL() string {
	scheme, host := "tcp", "127.0.0.1"
	if b.secure {
		scheme = "ssl"
	}
	addr, ok := b.addr.(*net.TCPAddr)
	if !ok {
		return scheme + "://" + b.addr.String()
	}
	if !addr.IP.IsUnspecified() {
		host = addr.IP.String()
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(addr.Port))
}

// Status returns what is known of the broker.
func (b *Broker) Status() mes.AdapterStatus { return b.condition.snapshot() }

// Lost returns how many messages of QoS 0, which no sender repeats, could not
// be stored.
func (b *Broker) Lost() int64 { return b.lost.Load() }

// Close stops to listen, ends the connections and waits at most 10 s for the
// commits in hand. Publishers send again what was not acknowledged. A second
// call does nothing.
func (b *Broker) Close() error {
	var err error
	b.once.Do(func() { err = b.close() })
	return err
}

func (b *Broker) close() error {
	deadline := time.AfterFunc(stopTimeout, b.stopWork)
	defer deadline.Stop()
	defer b.stopWork()
	err := b.server.Close()
	b.condition.stopped()
	if err != nil {
		return mes.Wrap(mes.CodeInternal, err, "the MQTT broker did not stop cleanly")
	}
	return nil
}

func (b *Broker) failed(err error, message string) {
	b.log.Warn(message, "error", err, "cause", errors.Unwrap(err))
}
