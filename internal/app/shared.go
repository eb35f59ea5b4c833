package app

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"plantgate/internal/apply"
	"plantgate/internal/follow"
	"plantgate/internal/ingest"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
	"plantgate/internal/store"
)

// SharedOptions are the settings of a Shared. The zero value of a field means its
// default.
type SharedOptions struct {
	// Server is the name of this server among those that share the database. It is
	// required, and no other has it.
	Server string
	// Sites are put into the database once its schema is right.
	Sites []mes.Equipment
	// DedupeWindow is how long message ids count; 0 means a week.
	DedupeWindow time.Duration
	// Connections are those to the floor of which one server at a time has each.
	Connections []string
	// Spool is the log that is kept while the database is away; without a folder there
	// is none, and what comes in meanwhile is refused.
	Spool  SpoolOptions
	Follow follow.Options
	Lease  lease.Options
	Logger *slog.Logger
}

// Shared is a database that several servers commit to: records are acknowledged when
// they are in it, and what follows from them is brought up to date behind, by the
// server that has the lane of their machine. Reads wait for that.
type Shared struct {
	*store.Store
	direct   store.Intake
	spool    *Spooled // nil if there is none
	follower *follow.Follower[*store.Tx]
	lanes    *lease.Keeper
	tasks    *lease.Keeper
	floor    *lease.Keeper
	sites    []mes.Equipment
	ledger   store.LedgerKeep
	log      *slog.Logger

	// usable is set while the schema is this program's, as far as it was looked at.
	usable  atomic.Bool
	mu      sync.Mutex // guards what follows
	checked time.Time
	unfit   error
	wrong   error // why the schema is not right; nil if it is, or is not known
}

// followingSteps is everything that follows from records that are stored, in the order
// in which it is brought up to date.
func followingSteps() []apply.Step[*store.Tx] {
	return []apply.Step[*store.Tx]{
		{Name: "equipment", Apply: store.NoteSightings},
		{Name: "newest values", Apply: store.PutLatest},
		{Name: "minutes to roll up", Apply: store.MarkRollups},
	}
}

// NewShared returns what a server does with a shared database while Run is under way.
// The database may be away.
func NewShared(ctx context.Context, s *store.Store, o SharedOptions) (*Shared, error) {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	o.Follow.Logger = cmp.Or(o.Follow.Logger, o.Logger)
	o.Lease.Logger = cmp.Or(o.Lease.Logger, o.Logger)
	o.Spool.Logger = cmp.Or(o.Spool.Logger, o.Logger)
	o.DedupeWindow = cmp.Or(o.DedupeWindow, defaultDedupeWindow)
	o.Spool.DedupeWindow = o.DedupeWindow
	names := make([]string, store.Lanes)
	for lane := range names {
		names[lane] = follow.LaneName(lane)
	}
	shared := &Shared{
		Store: s, direct: s.Intake(), sites: o.Sites, log: o.Logger,
		ledger: store.LedgerKeep{Messages: o.DedupeWindow, Keys: keyWindow},
	}
	if err := shared.openSpool(ctx, o.Spool); err != nil {
		return nil, err
	}
	if shared.spool != nil {
		o.Lease.Memory = shared.spool.known
	}
	shared.lanes = lease.New(s, "lane", o.Server, names, o.Lease)
	shared.tasks = lease.New(s, "task", o.Server, []string{taskRollups, taskRetention, taskLedger}, o.Lease)
	shared.floor = lease.New(s, "connection", o.Server, o.Connections, o.Lease)
	s.ProveRollups(func() (lease.Lease, bool) {
		held, _ := shared.tasks.Held()
		l, ok := held[taskRollups]
		return l, ok
	})
	shared.follower = follow.New(s, shared.lanes, followingSteps(), o.Follow)
	s.ReadAfter(func(ctx context.Context) error {
		if err := shared.check(ctx); err != nil {
			return err
		}
		return shared.follower.Settle(ctx)
	})
	return shared, nil
}

func (s *Shared) openSpool(ctx context.Context, o SpoolOptions) (err error) {
	if o.Folder != "" {
		// What comes by a right that is not proven can't be committed yet, but is judged
		// when it is drained.
		o.Hold = func() bool { return !s.floor.Proven() }
		s.spool, err = OpenSpool(ctx, s, s.Drain(), o)
	}
	return err
}

// Update implements ingest.Store: in the database, or not at all.
func (s *Shared) Update(ctx context.Context, fn func(ingest.Tx) error) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	if err := s.direct.Update(ctx, fn); err != nil {
		return err
	}
	s.follower.Wake()
	return nil
}

// Room implements ingest.Store.
func (s *Shared) Room() <-chan struct{} { return s.direct.Room() }

// The ledger is looked through this often, so many entries of it at once.
const (
	betweenForgetting = time.Minute
	forgottenAtOnce   = 2000
)

// betweenLooksAtConnections is how often old deliveries of connections are looked for, all of
// which are read for it.
const betweenLooksAtConnections = 10 * time.Minute

// forgetConnectionDeliveries removes old deliveries of connections.
func (s *Shared) forgetConnectionDeliveries(ctx context.Context) {
	for prefix, keep := range connectionDeliveriesKept() {
		for {
			n, err := s.ForgetConnectionDeliveries(ctx, prefix, keep, forgottenAtOnce)
			if err != nil && ctx.Err() == nil {
				s.log.Warn("old deliveries of connections can't be removed now", slog.Any("error", err))
			}
			if err != nil || n < forgottenAtOnce {
				break
			}
		}
	}
}

// forget removes what no longer counts of the delivery ledger, until ctx ends.
func (s *Shared) forget(ctx context.Context, _ lease.Lease) error {
	var looked time.Time // at those of connections
	for {
		if time.Since(looked) >= betweenLooksAtConnections {
			s.forgetConnectionDeliveries(ctx)
			looked = time.Now()
		}
		n, err := s.ForgetDeliveries(ctx, s.ledger, time.Now(), forgottenAtOnce)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("old entries of the delivery ledger can't be removed now", slog.Any("error", err))
		}
		pause := betweenForgetting
		if err == nil && n >= forgottenAtOnce {
			pause = 0
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// Run keeps leases, follows records and drains what was kept while the database was
// away, until ctx ends.
func (s *Shared) Run(ctx context.Context) error {
	if s.spool == nil {
		return s.work(ctx)
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	drained := make(chan error, 1)
	go func() {
		drained <- s.spool.Run(working)
		stop()
	}()
	err := s.work(working)
	stop()
	return errors.Join(err, <-drained)
}

// Close closes what is open. Run must have ended.
func (s *Shared) Close() error {
	var err error
	if s.spool != nil {
		err = s.spool.Close()
	}
	return errors.Join(err, s.Store.Close())
}

// work keeps leases and follows records until ctx ends, while the schema is right.
func (s *Shared) work(ctx context.Context) error {
	keeping, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	var keeper sync.WaitGroup
	defer keeper.Wait()
	defer stopKeeping()
	// A server that starts while the database is away goes on with the connections that
	// it had. One that can't store must not take any.
	connect := sync.OnceFunc(func() { keeper.Go(func() { s.floor.Run(keeping) }) })
	for {
		for err := s.check(ctx); err != nil; err = s.check(ctx) {
			if errors.Is(err, mes.ErrStoreAway) {
				connect()
			}
			select {
			case <-time.After(betweenChecks):
			case <-ctx.Done():
				return nil
			}
		}
		connect()
		if err := s.follow(ctx); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// follow keeps the leases of lanes and tasks, and follows records, until ctx ends or the
// schema is another: a server of that one may have them meanwhile.
func (s *Shared) follow(ctx context.Context) error {
	keeping, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	following, stop := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer stopKeeping() // what is held is given back once nothing is written any more
	defer stop()
	parts.Go(func() {
		s.watch(following)
		stop()
	})
	s.ForgetFollowed()
	parts.Go(func() { s.lanes.Run(keeping) })
	parts.Go(func() { s.tasks.Run(keeping) })
	parts.Go(func() { _ = s.tasks.While(following, taskLedger, s.forget) })
	return s.follower.Run(following)
}
