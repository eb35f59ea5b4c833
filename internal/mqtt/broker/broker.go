// Package broker is plantgate's own MQTT broker, for plants that have none. It
// speaks MQTT 3.1.1 and 5. Messages that a configured subscription is for are
// stored before they are acknowledged, and then go to the broker's subscribers
// like all others.
//
// Sessions, what waits for their clients and retained messages are in a log of their
// own (package sessions), and so outlive the program.
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
	"github.com/mochi-mqtt/server/v2/packets"

	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/broker/sessions"
)

// Name is the broker's name among the connections: the origin of its records
// and the name of its status.
const Name = "broker"

// stopTimeout bounds the wait for commits in hand when the broker stops.
const stopTimeout = 10 * time.Second

// Deps are what a broker works with.
type Deps struct {
	// Ingester waits while there is no room, and returns after the commit.
	Ingester ingest.Ingester
	Decoder  ingest.Decoder
	Log      *slog.Logger
	// Folder is where sessions and retained messages are kept; "" keeps them in memory.
	Folder string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Broker is an MQTT broker that listens.
type Broker struct {
	cfg       config.Broker
	server    *mochi.Server
	sessions  *sessions.Registry
	clients   clients
	wills     wills
	denied    denials
	refusals  refusals
	addr      net.Addr
	secure    bool
	users     *users
	bindings  mqtt.Bindings
	ingester  ingest.Ingester
	decoder   ingest.Decoder
	log       *slog.Logger
	now       func() time.Time
	condition *condition
	lost      atomic.Int64
	willsSent atomic.Int64
	unheard   atomic.Int64
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
		cfg:      cfg,
		clients:  clients{byConn: map[net.Conn]*client{}, refused: map[net.Conn]packets.Code{}},
		wills:    wills{byID: map[string]*time.Timer{}},
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
	if err := b.openSessions(deps.Folder); err != nil {
		_ = l.Close()
		return nil, err
	}
	b.work, b.stopWork = context.WithCancel(context.Background())
	if err := b.serve(cfg, l); err != nil {
		b.stopWork()
		return nil, errors.Join(err, l.Close(), b.sessions.Close())
	}
	b.condition.running()
	b.condition.flow.Granted()
	b.log.Info("MQTT broker listens", "address", b.addr.String(), "tls", b.secure)
	return b, nil
}

// openSessions reads what was kept for clients.
func (b *Broker) openSessions(folder string) error {
	l := b.cfg.Limits
	var err error
	b.sessions, err = sessions.Open(sessions.Options{
		Folder: folder, MaxQueued: l.MaxQueued, MaxQueuedBytes: l.MaxQueuedBytes, MaxBytes: l.MaxBytes,
		MaxRetained: l.MaxRetained, MaxRetainedBytes: l.MaxRetainedBytes, MaxSessions: l.MaxSessions, MaxInflight: l.MaxInflight,
		MayReceive: func(user, clientID, topic string) bool {
			return b.users.rightsOf(user).maySubscribe(topic, user, clientID)
		},
		Log: b.log, Now: b.now,
	})
	if err != nil {
		return mes.Wrap(mes.CodeUnavailable, err, "the sessions of the MQTT broker can't be read")
	}
	return nil
}

// sessionExpiry is the longest that a session is kept without a connection, in seconds.
func (b *Broker) sessionExpiry() uint32 { return uint32(b.cfg.Limits.SessionExpiry / time.Second) }

// Failed is closed when the disk failed on which sessions are kept. What it holds is
// unknown then, and the program has to end.
func (b *Broker) Failed() <-chan struct{} { return b.sessions.Failed() }

// serve puts the library's server behind the listener.
func (b *Broker) serve(cfg config.Broker, l net.Listener) error {
	capabilities := mochi.NewDefaultServerCapabilities()
	capabilities.MaximumClients = int64(cfg.MaxClients)
	capabilities.MaximumPacketSize = uint32(cfg.MaxPacket)
	capabilities.MaximumSessionExpiryInterval = b.sessionExpiry()
	capabilities.ReceiveMaximum = uint16(cfg.Limits.ReceiveMaximum)
	capabilities.TopicAliasMaximum = topicAliases
	// Messages end when their publisher says so, not after a day.
	capabilities.MaximumMessageExpiryInterval = 0
	// The library makes room for as many for each client, and only its own topics go
	// that way.
	capabilities.MaximumClientWritesPending = 256
	b.server = mochi.New(&mochi.Options{
		Capabilities: capabilities,
		InlineClient: true, // which Publish needs
		Logger:       slog.New(discreet{b.log.Handler()}),
	})
	if err := b.server.AddHook(&hook{b: b}, nil); err != nil {
		return mes.Wrap(mes.CodeInternal, err, "the MQTT broker can't be set up")
	}
	if err := b.server.AddListener(b.newListener(l)); err != nil {
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
	b.wills.close()
	err = errors.Join(err, b.sessions.Close())
	b.condition.stopped()
	if err != nil {
		return mes.Wrap(mes.CodeInternal, err, "the MQTT broker did not stop cleanly")
	}
	return nil
}

func (b *Broker) failed(err error, message string) {
	b.log.Warn(message, "error", err, "cause", errors.Unwrap(err))
}
