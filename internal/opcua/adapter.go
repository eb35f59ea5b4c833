package opcua

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
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
	// Now is the clock of receipt; nil is time.Now.
	Now func() time.Time
}

// link is what a session needs of it.
func (d Deps) link() link.Deps { return link.Deps{Folder: d.Folder, Now: d.Now} }

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
	nodes  []*node
	// subscribed is set once a subscription has worked.
	subscribed bool
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
	a := &Adapter{cfg: cfg, deps: deps, timing: t, status: newStatus(cfg.Name, deps.Now)}
	a.queue = newQueue(deps, a.status, t)
	for i, b := range bindings(cfg, deps.SiteID) {
		a.nodes = append(a.nodes, &node{binding: b, handle: clockHandle + 1 + uint32(i)})
	}
	return a, nil
}

// CheckFiles fails if the password or a certificate of the configuration can't be read
// here.
func (a *Adapter) CheckFiles() error { return link.CheckFiles(a.cfg, a.deps.Now()) }

// Status tells where the connection stands. It may be called at any time.
func (a *Adapter) Status() mes.AdapterStatus { return a.status.read() }

// Run keeps the connection until ctx ends. Then it deletes the subscription,
// waits until what was received is stored (10 s at most), closes the session and
// returns nil. It is called once.
func (a *Adapter) Run(ctx context.Context) error {
	drainCtx, cancel := outlive(ctx, a.timing.drain)
	defer cancel()
	var consumer sync.WaitGroup
	consumer.Go(func() { a.queue.consume(drainCtx) })

	a.supervise(ctx, drainCtx)

	close(a.queue.records)
	consumer.Wait()
	a.closers.Wait()
	a.status.set(mes.AdapterStopped, "")
	return nil
}

// supervise builds one session after the other until ctx ends. Between them the
// state tells why the last one ended, until the next one works.
func (a *Adapter) supervise(ctx, drainCtx context.Context) {
	wait := a.timing.newBackOff()
	a.status.set(mes.AdapterConnecting, "")
	for ctx.Err() == nil {
		err := a.connection(ctx, drainCtx, wait)
		if ctx.Err() != nil {
			return
		}
		pause := a.pause(err, wait)
		if sleep(ctx, pause) != nil {
			return
		}
	}
}

// pause says how long to wait after err, and shows why.
func (a *Adapter) pause(err error, wait *backoff.ExponentialBackOff) time.Duration {
	var r *trust.Refusal
	if errors.As(err, &r) {
		if a.status.set(mes.AdapterRefused, err.Error()) {
			a.deps.Logger.Error("opcua: connection refused", "endpoint", a.cfg.Endpoint, "error", err)
		}
		return a.timing.refused
	}
	pause := max(wait.NextBackOff(), 0)
	level := slog.LevelDebug // the same reason again is no news
	if a.status.set(mes.AdapterBackingOff, err.Error()) {
		level = slog.LevelWarn
	}
	a.deps.Logger.Log(context.Background(), level, "opcua: not connected, will be retried",
		"endpoint", a.cfg.Endpoint, "pause", pause, "error", err)
	return pause
}

// connection is the life of one session: open, subscribe, receive, close.
func (a *Adapter) connection(ctx, drainCtx context.Context, wait *backoff.ExponentialBackOff) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	s.alive = wait.Reset
	s.drainCtx = drainCtx
	defer s.close()
	if err := s.subscribe(ctx); err != nil {
		return err
	}
	err = s.receive(ctx)
	s.rest()
	return err
}

// outlive returns a context that ends d after ctx does, or when it is cancelled.
func outlive(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return longer, func() { stop(); cancel() }
}
