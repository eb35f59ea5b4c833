// Package app builds the program out of its parts, in one visible order: store,
// services, the doors to the floor, the HTTP interface. It is the only package
// that sees everything; nothing is looked up or registered anywhere else.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"plantgate/api"
	"plantgate/internal/apply"
	"plantgate/internal/auth"
	"plantgate/internal/certs"
	"plantgate/internal/command"
	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/broker"
	"plantgate/internal/mqtt/sparkplug"
	"plantgate/internal/opcua/explore"
	"plantgate/internal/outbox"
	"plantgate/internal/retention"
	"plantgate/internal/series"
)

// App is a server whose listeners are open. It does its work in Run.
type App struct {
	cfg     config.Config
	log     *slog.Logger
	storage database
	ingest  *ingest.Service
	rollup  *series.Rollup
	decoder *ingest.JSONDecoder
	// bindings say how MQTT messages are read.
	bindings bindings
	broker   *broker.Broker
	// commands go to the floor by the outboxes, of which each connection that publishes has
	// one, by its name.
	commands *command.Service
	outboxes map[string]*outbox.Queue
	// adapters are the connections to the floor.
	adapters []adapter
	// explorer looks at OPC UA servers at the wish of people.
	explorer *explore.Service
	server   *api.Server
	listener net.Listener
	metrics  *metricsServer
	caFile   string
	secure   bool
}

// Open builds the server and opens its listeners. What it opened is closed again
// if it fails; otherwise Run closes it.
func Open(ctx context.Context, cfg config.Config, version string, log *slog.Logger) (_ *App, err error) {
	a := &App{cfg: cfg, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.abandon())
		}
	}()
	if a.storage, err = openDatabase(ctx, cfg, log); err != nil {
		return nil, err
	}
	if err := a.openIngest(); err != nil {
		return nil, err
	}
	a.rollup = series.NewRollup(a.storage.storeOf(), series.RollupOptions{Logger: log})
	if err := a.openCommands(); err != nil {
		return nil, err
	}
	if err := a.openFloor(); err != nil {
		return nil, err
	}
	if err := a.openHTTP(version); err != nil {
		return nil, err
	}
	return a, nil
}

// openStorage opens the database and its log. An embedded database belongs to this
// program alone, so its schema is brought up to date here.
func openStorage(ctx context.Context, cfg config.Config, log *slog.Logger) (*Storage, error) {
	s, err := OpenStorage(ctx, cfg.Store.DSN, storageOptions(cfg, log))
	if err != nil {
		return nil, inUse(err, "the store "+cfg.Store.RedactedDSN(), "store.dsn")
	}
	if err := s.PutSites(ctx, sites(cfg)); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the store: %w", err), s.Close())
	}
	return s, nil
}

func storageOptions(cfg config.Config, log *slog.Logger) StorageOptions {
	return StorageOptions{
		Store:     storeOptions(cfg),
		LogFolder: cfg.Store.Log.Folder, MaxPending: int64(cfg.Store.Log.MaxRecords), MaxLogBytes: int64(cfg.Store.Log.MaxBytes),
		DedupeWindow: cfg.Data.DedupeWindow, Apply: apply.Options{MaxDelay: cfg.Store.Log.Delay}, Logger: log,
	}
}

// sites are the configured plants as equipment.
func sites(cfg config.Config) []mes.Equipment {
	now := mes.Micros(time.Now())
	var list []mes.Equipment
	for _, s := range append([]config.Site{cfg.Site}, cfg.Sites...) {
		list = append(list, mes.Equipment{
			SiteID: s.ID, ID: s.ID, Level: mes.LevelSite, Name: s.Name, TimeZone: s.TimeZone, CreatedAt: now,
		})
	}
	return list
}

func (a *App) openIngest() error {
	directory, err := siteDirectory(a.cfg)
	if err != nil {
		return err
	}
	if a.bindings, err = newBindings(a.cfg.MQTT); err != nil {
		return err
	}
	a.ingest, a.decoder = newIngest(a.cfg, a.storage.Intake(), directory, a.log, a.bindings, a.storage)
	return nil
}

func siteDirectory(cfg config.Config) (*ingest.Sites, error) {
	zones := map[string]string{cfg.Site.ID: cfg.Site.TimeZone}
	for _, s := range cfg.Sites {
		zones[s.ID] = s.TimeZone
	}
	return ingest.NewSites(cfg.Site.ID, zones)
}

// newIngest is the one door for machine data, over what it commits to.
func newIngest(cfg config.Config, to ingest.Store, directory *ingest.Sites, log *slog.Logger, present bindings, births sparkplug.Births) (*ingest.Service, *ingest.JSONDecoder) {
	d := cfg.Data
	decoder := ingest.NewDecoder(ingest.Limits{MaxRecord: d.MaxRecord, MaxBatch: d.MaxBatch, MaxDepth: d.MaxDepth}, directory)
	return ingest.New(to, replayDecoder(cfg, births, decoder), ingest.Options{
		Sites: directory, MaxFuture: d.MaxFuture, Retention: d.Retention, DedupeWindow: d.DedupeWindow,
		Unknown:      ingest.Policy(cfg.Equipment.Unknown),
		Writers:      cfg.Store.Writers(),
		QueueRecords: d.Queue, QueueBytes: d.QueueBytes,
		Present: present.present,
		Logger:  log,
	}), decoder
}

// replayDecoder reads messages of quarantine once more; without births those of Sparkplug
// can't be.
func replayDecoder(cfg config.Config, births sparkplug.Births, next ingest.Decoder) ingest.Decoder {
	if births == nil {
		return next
	}
	r := &sparkplug.Replay{Next: next, Births: births, Connections: map[string]sparkplug.Config{}}
	for _, c := range cfg.MQTT.Connections {
		if c.Sparkplug.Enabled {
			r.Connections[c.Name] = mqtt.SparkplugConfig(c)
		}
	}
	return r
}

func (a *App) openHTTP(version string) error {
	keys, err := auth.New(a.storage.keys(), auth.Options{BootstrapKey: a.cfg.Auth.BootstrapKey})
	if err != nil {
		return err
	}
	material, err := certs.Open(a.cfg.Server.TLS, time.Now, a.log)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	a.caFile, a.secure = material.CAFile, material.TLS != nil
	registry := newRegistry(a.ingest, a.storage.collector(), a.statuses)
	registry.MustRegister(&outboxCollector{a.storage.storeOf(), a.outboxes})
	if a.broker != nil {
		registry.MustRegister(&brokerCollector{a.broker})
	}
	a.explorer = explore.New(a.cfg.OPCUA.Connections, explore.Deps{
		Audit: a.storage.storeOf(), SiteID: a.cfg.Site.ID, Folder: a.cfg.Server.TLS.Folder, Judge: judgeOf(a.cfg, a.certificates()), Logger: a.log,
	})
	handler, err := api.New(api.Deps{
		Auth: keys, OPCUA: a.explorer, Commands: a.commands, Decoder: a.decoder, Ingester: a.ingest, Patient: a.ingest.Patient(), Quarantine: a.ingest,
		Store: a.storage.storeOf(), Series: series.NewReader(a.storage.storeOf()),
		Backlog: a.storage.backlog(), Refused: a.storage.refused(), Adapters: a.statuses, Samples: a.sample, Alarms: alarms{a}, Certificates: a.certificates(), Registerer: registry, Gatherer: registry, Logger: a.log,
	}, a.httpSettings(version))
	if err != nil {
		return err
	}
	if a.metrics, err = openMetrics(a.cfg.Metrics.Listen, registry); err != nil {
		return err
	}
	if a.listener, err = net.Listen("tcp", a.cfg.Server.Listen); err != nil {
		return fmt.Errorf("server.listen: %w", err)
	}
	a.server = api.NewServer(handler, material.TLS, a.cfg.Server.StopTimeout)
	return nil
}

func (a *App) httpSettings(version string) api.Settings {
	s := api.Settings{
		SiteID: a.cfg.Site.ID, MaxBody: a.cfg.Server.MaxBody, Version: version, Readiness: readiness(a.cfg),
		RatePerSecond: a.cfg.Server.RateLimit.PerSecond, RateBurst: a.cfg.Server.RateLimit.Burst,
	}
	for _, block := range a.cfg.Server.TrustedProxies {
		if _, network, err := net.ParseCIDR(block); err == nil {
			s.TrustedProxies = append(s.TrustedProxies, network)
		}
	}
	return s
}

// Run serves until ctx ends or a part fails, and then stops in order: requests
// and connections are finished, what they brought is committed, the store is
// closed. It returns nil after a clean stop.
func (a *App) Run(ctx context.Context) error {
	doors, closeDoors := context.WithCancel(ctx)
	defer closeDoors()
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWriting()

	written := make(chan error, 1)
	go func() {
		written <- a.ingest.Run(writing)
		closeDoors()
	}()
	a.log.Info("plantgate serves", "url", a.URL(), "ca_file", a.caFile, "store", a.storage.kind(), "connections", len(a.adapters))

	applying, stopApplying := context.WithCancel(context.WithoutCancel(ctx))
	defer stopApplying()
	applied := make(chan error, 1)
	go func() {
		applied <- a.storage.Run(applying)
		closeDoors()
	}()

	err := a.runDoors(doors, closeDoors)
	stopWriting()
	err = errors.Join(err, <-written)
	stopApplying()
	err = errors.Join(err, <-applied, a.storage.Close())
	if err == nil {
		a.log.Info("plantgate stopped")
	}
	return err
}

// runDoors runs everything through which data come in, and what is made of them
// in the background, until ctx ends. The first
// part that fails closes the others.
func (a *App) runDoors(ctx context.Context, closeDoors func()) error {
	var parts sync.WaitGroup
	var mu sync.Mutex
	var failed error
	run := func(part func(context.Context) error) {
		parts.Go(func() {
			if err := part(ctx); err != nil {
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
				closeDoors()
			}
		})
	}
	for _, ad := range a.adapters {
		run(ad.Run)
	}
	if a.broker != nil {
		run(a.runOwnBroker)
	}
	if a.metrics != nil {
		run(a.metrics.run)
	}
	alone := func(task string, fn func(context.Context) error) {
		run(func(ctx context.Context) error { return a.storage.alone(ctx, task, fn) })
	}
	alone(taskRollups, a.rollup.Run)
	if keep := a.cfg.Data.Retention; keep > 0 {
		alone(taskRetention, retention.New(a.storage.storeOf(), retention.Options{Keep: keep, Logger: a.log}).Run)
	}
	run(a.explorer.Run)
	run(func(ctx context.Context) error { return a.server.Run(ctx, a.listener) })
	parts.Wait()
	return failed
}

// abandon closes what Open opened before it failed.
func (a *App) abandon() error {
	var err error
	if a.listener != nil {
		err = errors.Join(err, a.listener.Close())
	}
	if a.metrics != nil {
		err = errors.Join(err, a.metrics.listener.Close())
	}
	if a.broker != nil {
		err = errors.Join(err, a.broker.Close())
	}
	if a.storage != nil {
		err = errors.Join(err, a.storage.Close())
	}
	return err
}

// statuses tells where every connection to the floor stands.
func (a *App) statuses() []mes.AdapterStatus {
	list := make([]mes.AdapterStatus, 0, len(a.adapters)+1)
	if a.broker != nil {
		list = append(list, a.broker.Status())
	}
	for _, ad := range a.adapters {
		list = append(list, ad.Status())
	}
	return list
}

// URL is the address of the HTTP interface for clients on this machine.
func (a *App) URL() string {
	scheme := "https"
	if !a.secure {
		scheme = "http"
	}
	host, port, err := net.SplitHostPort(a.listener.Addr().String())
	if err != nil {
		return scheme + "://" + a.listener.Addr().String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// CAFile is the certificate that clients have to trust; "" if it is not
// plantgate's own.
func (a *App) CAFile() string { return a.caFile }

// BrokerURL is the own broker's address for clients on this machine; "" if it
// is not enabled.
func (a *App) BrokerURL() string {
	if a.broker == nil {
		return ""
	}
	return a.broker.URL()
}

// MetricsURL is the address of the metrics listener; "" if there is none.
func (a *App) MetricsURL() string {
	if a.metrics == nil {
		return ""
	}
	return "http://" + a.metrics.listener.Addr().String() + "/metrics"
}
