package mqtt

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt/sparkplug"
)

// Bounds of an adapter.
const (
	// maxHeldMessages and maxHeldBytes bound what is handed over and not yet
	// committed. Far above the windows of RabbitMQ and Mosquitto, so that only
	// QoS 0 or a broker without a window meets them.
	maxHeldMessages = 2048
	maxHeldBytes    = 64 << 20
	// maxReconnectPause and maxStorePause end the growth of back-off.
	maxReconnectPause = 30 * time.Second
	maxStorePause     = 10 * time.Second
	// stableAfter is how long a connection must have lasted for the next pause
	// to be short again. Two clients with one client id end each other's
	// session at once, and must not do so in a quick circle.
	stableAfter = 30 * time.Second
	// drainTimeout bounds the wait for commits when the adapter stops.
	drainTimeout = 10 * time.Second
)

// Deps are what an adapter works with.
type Deps struct {
	// Ingester waits while there is no room, and returns after the commit.
	Ingester ingest.Ingester
	Decoder  ingest.Decoder
	Log      *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Deliveries tells what came last; nil is nothing.
	Deliveries Deliveries
	// Births keeps what edge nodes of Sparkplug B said; nil is in memory only.
	Births sparkplug.Births
	// Connected, if not nil, is called whenever a connection is up and subscribed, for
	// what waits to be published. It must not wait.
	Connected func()
}

// Adapter is a permanent connection to one broker.
//
// It builds a new client for every connection instead of letting one client
// reconnect: an acknowledgement that comes late then can't reach a later
// connection, where its packet id would mean another message, and the pause
// between attempts is its own.
type Adapter struct {
	cfg       config.MQTTConnection
	url       *url.URL
	bindings  Bindings
	ingester  ingest.Ingester
	decoder   ingest.Decoder
	log       *slog.Logger
	now       func() time.Time
	queue     *handover
	condition *condition
	drained   sync.Once
	current   current
	connected func()
	kept      Deliveries
	// Of Run: what came last, and what must come again next.
	ledger    *ledger
	expected  []delivered
	sparkplug *sparkplugHost // nil if the connection is none of Sparkplug B
}

// New checks the configuration, without the network, and returns an adapter to
// be run. Errors have CodeInvalid.
func New(cfg config.MQTTConnection, deps Deps) (*Adapter, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" {
		return nil, mes.Errorf(mes.CodeInvalid, "url must be one such as ssl://broker.example:8883")
	}
	if u.User != nil {
		return nil, mes.Errorf(mes.CodeInvalid, "url must have no user or password, which would show in logs")
	}
	if cfg.ClientID == "" {
		return nil, mes.Errorf(mes.CodeInvalid, "client_id is required: the broker keeps the session under it")
	}
	bindings, err := NewBindings(cfg.Name, cfg.Subscriptions)
	if err != nil {
		return nil, err
	}
	if _, err := readCredentials(cfg); err != nil {
		return nil, err
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Connected == nil {
		deps.Connected = func() {}
	}
	return &Adapter{
		cfg:       cfg,
		url:       u,
		bindings:  bindings,
		ingester:  deps.Ingester,
		decoder:   deps.Decoder,
		log:       deps.Log.With("door", mes.DoorMQTT, "connection", cfg.Name),
		now:       deps.Now,
		queue:     newHandover(maxHeldMessages, maxHeldBytes),
		condition: newCondition(cfg.Name, bindings, deps.Now),
		connected: deps.Connected,
		kept:      deps.Deliveries,
		sparkplug: newSparkplugHost(cfg, deps),
	}, nil
}

// CheckFiles fails if secrets or certificates of the configuration can't be read here.
func (a *Adapter) CheckFiles() error {
	_, err := readCredentials(a.cfg)
	return err
}

// Status returns what is known of the connection.
func (a *Adapter) Status() mes.AdapterStatus { return a.condition.snapshot() }

// filters are what the connection subscribes to.
func (a *Adapter) filters() []filter {
	list := a.bindings.filters()
	if a.sparkplug != nil {
		list = append(list, a.sparkplug.subscriptions()...)
	}
	if a.cfg.SharedGroup != "" {
		for i := range list {
			list[i].shared = a.shared("")
			list[i].name = a.shared(list[i].name)
		}
	}
	return list
}

// shared makes a filter one of a shared subscription, of whose messages each of its
// clients gets a part (MQTT 5.0, 4.8.2; brokers that have it take it from clients of
// 3.1.1 too).
func (a *Adapter) shared(filter string) string { return "$share/" + a.cfg.SharedGroup + "/" + filter }

// Run keeps the connection until ctx ends. Then it takes no more messages,
// waits for the commit and acknowledgement of those in hand (at most 10 s),
// disconnects and returns nil. What was not acknowledged the broker keeps and
// delivers again. A broker that is away is waited for. An adapter runs once.
func (a *Adapter) Run(ctx context.Context) error {
	if !a.recall(ctx) {
		a.condition.set(mes.AdapterStopped, "")
		return nil
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var consumer sync.WaitGroup
	consumer.Go(func() { a.consume(work) })
	if a.sparkplug != nil {
		consumer.Go(func() { a.sparkplug.run(work, a) })
		if k := a.sparkplug.keeper; k != nil {
			consumer.Go(func() { k.run(work) })
			defer k.finish()
		}
	}

	a.supervise(ctx)
	a.drain()
	stop()
	consumer.Wait()
	a.condition.set(mes.AdapterStopped, "")
	return nil
}

// recall reads what came last, and tells whether it could before ctx ended: without it,
// what the broker sends again would be stored again.
func (a *Adapter) recall(ctx context.Context) bool {
	pause := newBackOff(maxStorePause)
	for {
		var err error
		a.ledger, err = openLedger(ctx, a.kept, ledgerName(a.cfg))
		if err == nil && a.sparkplug != nil {
			err = a.sparkplug.recall(ctx, a.kept)
		}
		if err == nil {
			return true
		}
		a.condition.set(mes.AdapterBackingOff, "what came last can't be read: "+forOperator(err, "see the log"))
		a.log.Warn("reading what came last failed", "error", err, "cause", errors.Unwrap(err))
		if !sleep(ctx, pause.NextBackOff()) {
			return false
		}
	}
}

// supervise keeps one session after the other until ctx ends.
func (a *Adapter) supervise(ctx context.Context) {
	pause := newBackOff(maxReconnectPause)
	connected := false
	for ctx.Err() == nil {
		began := time.Now()
		up, err := a.runSession(ctx, connected)
		connected = connected || up
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errNoRoom) {
			a.condition.set(mes.AdapterBackingOff, "messages come faster than they can be stored; the broker keeps them")
			a.log.Warn("MQTT hand-over is full, disconnected until there is room")
			a.queue.waitRoom(ctx)
			continue
		}
		if up && time.Since(began) >= stableAfter {
			pause.Reset()
		}
		wait := pause.NextBackOff()
		state := mes.AdapterBackingOff
		if errors.Is(err, errRefused) {
			state = mes.AdapterRefused
		}
		a.condition.set(state, forOperator(err, "the connection ended"))
		a.log.Warn("MQTT connection ended", "error", err, "cause", errors.Unwrap(err), "retry_in", wait)
		sleep(ctx, wait)
	}
}

// drain waits for what was handed over to be committed and acknowledged: the
// first call, of the session that is up or else of Run. A second would only
// wait the same time again.
func (a *Adapter) drain() {
	a.drained.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
		defer cancel()
		if !a.queue.waitEmpty(ctx) {
			a.log.Warn("MQTT messages were not stored before the stop, the broker keeps them")
		}
	})
}
