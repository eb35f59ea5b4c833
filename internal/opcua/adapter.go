package opcua

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/address"
	"plantgate/internal/opcua/alarm"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/trust"
)

// Deps is what an adapter needs of the program.
type Deps struct {
	Ingester ingest.Ingester
	Logger   *slog.Logger
	// SiteID is the site of machines for which the configuration names none.
	SiteID string
	// Folder holds the client's own certificate, made on first use where none is
	// configured. All connections share it.
	Folder string
	// Judge decides which servers are trusted; nil knows the configuration only.
	Judge *trust.Judge
	// Cursors keeps how far values are stored; nil forgets it with the process.
	Cursors Cursors
	// Retention is how old a record may be; 0 is as old as it likes.
	Retention time.Duration
	// Notebook keeps up to when events came; nil forgets it with the process.
	Notebook Notebook
	// Audit keeps what people do to alarms; without it nobody may act on them.
	Audit Audit
	// Now is the clock of receipt; nil is time.Now.
	Now func() time.Time
}

// link is what a session needs of it.
func (d Deps) link() link.Deps { return link.Deps{Folder: d.Folder, Judge: d.Judge, Now: d.Now} }

func (d Deps) withDefaults() Deps {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d
}

// Adapter is one supervised connection to an OPC UA server.
type Adapter struct {
	cfg    config.OPCUAConnection
	deps   Deps
	timing timing
	status *status
	queue  *queue
	// notifiers are what events are read from, typeNames the names of their types, heard up
	// to when they came, alarms those that there are now, trouble what sessions ended at. The
	// first three are of the goroutine of the first lane.
	notifiers []*notifier
	trouble   eventTrouble
	typeNames map[string]string
	heard     *heard
	alarms    alarms
	// specs are what is configured.
	specs []*spec
	// cursors tell how far each node has come, and what may be missing.
	cursors *cursors
	// Of the goroutine of the first lane: the nodes, whether they were dealt out, the
	// lanes that have them, and what starts and ends all but the first.
	nodes []*node
	dealt bool
	lanes []*lane
	begin func(rest []*lane)
	halt  func()
	// most is how many lanes there may be; fewer are asked for by a token in narrow.
	most   int
	narrow chan struct{}
	// byKey are the nodes by what they are, warned what was last warned of, and server
	// what was learnt of it in earlier sessions. wanted gets a token when another lane
	// wants the nodes to be looked for.
	byKey  map[string]*node
	warned string
	server address.Server
	wanted chan struct{}
	// closers are clients that are being closed in the background.
	closers sync.WaitGroup
}

// New checks the connection without touching network or files. Its error is of
// mes.CodeInvalid and names every fault.
func New(cfg config.OPCUAConnection, deps Deps) (*Adapter, error) {
	return newAdapter(cfg, deps, defaultTiming())
}

func newAdapter(cfg config.OPCUAConnection, deps Deps, t timing) (*Adapter, error) {
	var faults []string
	for _, f := range cfg.Validate() {
		faults = append(faults, f.Key+": "+f.Detail)
	}
	if len(faults) > 0 {
		return nil, mes.Errorf(mes.CodeInvalid, "opcua connection %q: %s", cfg.Name, strings.Join(faults, "; "))
	}
	deps = deps.withDefaults()
	deps.Logger = deps.Logger.With("connection", cfg.Name)
	a := &Adapter{cfg: cfg, deps: deps, timing: t, status: newStatus(cfg.Name, deps.Now), wanted: make(chan struct{}, 1), narrow: make(chan struct{}, 1)}
	a.cursors = newCursors(cfg.Name, deps.Cursors, deps.Logger, t)
	a.queue = newQueue(deps, a.cursors, a.status, t)
	a.specs = specs(cfg, deps.SiteID)
	a.notifiers, a.typeNames = notifiers(cfg, deps.SiteID), map[string]string{}
	a.heard, a.alarms.table = newHeard(cfg.Name, deps.Notebook), alarm.NewTable()
	return a, nil
}

// CheckFiles fails if the password or a certificate of the configuration can't be read
// here.
func (a *Adapter) CheckFiles() error { return link.CheckFiles(a.cfg, a.deps.Now()) }

// Status tells where the connection stands. It may be called at any time.
func (a *Adapter) Status() mes.AdapterStatus {
	s := a.status.read()
	s.GapsOpen, s.Backfilled, s.Gaps = a.cursors.counts()
	return s
}

// Run keeps the connection until ctx ends. Then it deletes the subscription,
// waits until what was received is stored (10 s at most), closes the session and
// returns nil. It is called once.
func (a *Adapter) Run(ctx context.Context) error {
	drainCtx, cancel := outlive(ctx, a.timing.drain)
	defer cancel()
	var consumer sync.WaitGroup
	consumer.Go(func() { a.queue.consume(drainCtx) })

	keeping, stop := context.WithCancel(drainCtx)
	defer stop()
	var keeper sync.WaitGroup
	keeper.Go(func() { a.cursors.run(keeping) })
	keeper.Go(func() { a.watchCertificates(ctx) })
	if len(a.notifiers) > 0 {
		a.recallHeard(ctx)
		keeper.Go(func() { a.heard.run(ctx, a.timing.cursors, a.warnHeard) })
	}

	a.runLanes(ctx, drainCtx)

	close(a.queue.live)
	consumer.Wait()
	stop()
	keeper.Wait()
	a.cursors.finish()
	a.finishHeard()
	a.closers.Wait()
	a.status.stop()
	return nil
}

// outlive returns a context that ends d after ctx does, or when it is cancelled.
func outlive(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return longer, func() { stop(); cancel() }
}
