package lease

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are the settings of a Keeper. The zero value of a field means its default.
type Options struct {
	// Keep is how long a lease outlives its owner; 0 means 8 s.
	Keep time.Duration
	// Every is how often leases are renewed, and free ones looked for; 0 means 2 s.
	Every  time.Duration
	Logger *slog.Logger
}

func (o *Options) setDefaults() {
	o.Keep = cmp.Or(o.Keep, 8*time.Second)
	o.Every = cmp.Or(o.Every, 2*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
}

// Keeper takes and keeps its server's fair part of the leases of one group. While the
// database is away nothing changes hands: owners go on, and what seems to have expired
// when it is back is left to them for as long as a lease is kept.
type Keeper struct {
	store Store
	group string
	names []string
	owner string
	opts  Options
	// seen is how leases of others were read last.
	seen map[string]sighting
	// apart is whether the database could not be reached last.
	apart bool

	mu      sync.Mutex
	held    map[string]Lease
	changed chan struct{} // closed and replaced when held changes
}

// sighting is a lease of somebody else, and since when it has not changed, while the
// database could be reached all along.
type sighting struct {
	Lease
	since time.Time
}

// New returns a keeper for one server, whose name no other has. Names of leases are
// made of the group's and each of names.
func New(store Store, group, server string, names []string, opts Options) *Keeper {
	opts.setDefaults()
	return &Keeper{
		store: store, group: group, names: names, owner: server, opts: opts,
		seen: map[string]sighting{}, held: map[string]Lease{}, changed: make(chan struct{}),
	}
}

// presence is the name of the lease by which a server says that it is there.
const presence = "server:"

func (k *Keeper) leaseName(name string) string { return k.group + "/" + name }

// Run keeps leases until ctx ends, and then gives them back.
func (k *Keeper) Run(ctx context.Context) {
	ticker := time.NewTicker(k.opts.Every)
	defer ticker.Stop()
	for {
		k.tend(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			k.giveBack(context.WithoutCancel(ctx))
			return
		}
	}
}

// Held returns the leases that this server has, by the names that New was given, and a
// channel that is closed when they change.
func (k *Keeper) Held() (map[string]Lease, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.held), k.changed
}

func (k *Keeper) set(change func(held map[string]Lease)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := maps.Clone(k.held)
	change(k.held)
	if !maps.Equal(before, k.held) {
		close(k.changed)
		k.changed = make(chan struct{})
	}
}

// While runs fn as long as this server has a lease, again and again, until ctx ends or
// fn fails. The context of fn ends with the lease.
func (k *Keeper) While(ctx context.Context, name string, fn func(context.Context) error) error {
	for {
		held, changed := k.Held()
		l, ok := held[name]
		if !ok {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if err := k.during(ctx, name, l, fn); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// during runs fn until the lease goes.
func (k *Keeper) during(ctx context.Context, name string, l Lease, fn func(context.Context) error) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- fn(working) }()
	for {
		held, changed := k.Held()
		if now, ok := held[name]; !ok || now.Epoch != l.Epoch {
			stop()
			return <-ended
		}
		select {
		case <-changed:
		case err := <-ended:
			return err
		}
	}
}

// tend renews what is held, and evens out how much that is.
func (k *Keeper) tend(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, k.opts.Keep)
	defer cancel()
	if err := k.even(limited); err != nil && ctx.Err() == nil {
		// How long others were silent is not known now.
		clear(k.seen)
		if !k.apart {
			k.opts.Logger.Warn("leases can't be renewed now; nothing changes hands meanwhile", slog.String("group", k.group), slog.Any("error", err))
		}
		k.apart = true
		return
	}
	k.apart = false
}

func (k *Keeper) even(ctx context.Context) error {
	if err := k.renew(ctx); err != nil {
		return err
	}
	list, err := k.store.Leases(ctx, k.group+"/")
	if err != nil {
		return err
	}
	now := time.Now()
	all := make(map[string]Lease, len(list))
	for _, l := range list {
		name := strings.TrimPrefix(l.Name, k.group+"/")
		all[name] = l
		if before, ok := k.seen[name]; !ok || before.Epoch != l.Epoch || before.Owner != l.Owner || !before.ExpiresAt.Equal(l.ExpiresAt) {
			k.seen[name] = sighting{l, now}
		}
	}
	return k.share(ctx, all, now)
}

// renew keeps what is held, and lets go of what another has taken.
func (k *Keeper) renew(ctx context.Context) error {
	held, _ := k.Held()
	for _, name := range slices.Sorted(maps.Keys(held)) {
		still, err := k.store.RenewLease(ctx, held[name], k.opts.Keep)
		if err != nil {
			return err
		}
		if !still {
			k.opts.Logger.Warn("another server has taken over", slog.String("lease", held[name].Name))
			k.set(func(h map[string]Lease) { delete(h, name) })
		}
	}
	return nil
}

// share takes what is free, up to a fair part, or gives one back where there is more.
func (k *Keeper) share(ctx context.Context, all map[string]Lease, now time.Time) error {
	self := presence + k.owner
	held, _ := k.Held()
	if _, present := held[self]; !present {
		if err := k.claim(ctx, self, all[self]); err != nil {
			return err
		}
	}
	servers := map[string]bool{k.owner: true}
	for name, l := range all {
		if server, ok := strings.CutPrefix(name, presence); ok && l.Owner != "" && !k.isAbandoned(name, l, now) {
			servers[server] = true
		}
	}
	fair := (len(k.names) + len(servers) - 1) / len(servers)
	mine := 0
	for _, name := range k.names {
		if _, ok := held[name]; ok {
			mine++
		}
	}
	if mine > fair {
		return k.giveOne(ctx, held)
	}
	for _, name := range k.byTurns() {
		if mine >= fair {
			return nil
		}
		l := all[name]
		if _, ok := held[name]; ok || l.Owner != "" && !k.isAbandoned(name, l, now) {
			continue
		}
		before, _ := k.Held()
		if err := k.claim(ctx, name, l); err != nil {
			return err
		}
		if after, _ := k.Held(); len(after) > len(before) {
			mine++
		}
	}
	return nil
}

// isAbandoned tells whether a lease has expired, and its owner was silent for as long as
// leases are kept while it could have spoken.
func (k *Keeper) isAbandoned(name string, l Lease, now time.Time) bool {
	return l.Expired && now.Sub(k.seen[name].since) >= k.opts.Keep
}

// byTurns returns the names in an order of this server's own, so that servers that
// start at once don't all reach for the same.
func (k *Keeper) byTurns() []string {
	names := slices.Clone(k.names)
	start := 0
	for i := range len(k.owner) {
		start = (start*31 + int(k.owner[i])) % max(1, len(names))
	}
	return append(names[start:], names[:start]...)
}

func (k *Keeper) claim(ctx context.Context, name string, before Lease) error {
	l, taken, err := k.store.ClaimLease(ctx, k.leaseName(name), k.owner, before.Epoch, k.opts.Keep)
	if err != nil || !taken {
		return err
	}
	if !strings.HasPrefix(name, presence) {
		k.opts.Logger.Info("lease taken", slog.String("lease", l.Name), slog.Int64("epoch", l.Epoch))
	}
	k.set(func(h map[string]Lease) { h[name] = l })
	return nil
}

// giveOne gives back the last of the names that are held.
func (k *Keeper) giveOne(ctx context.Context, held map[string]Lease) error {
	name := slices.MaxFunc(slices.Collect(maps.Keys(held)), func(a, b string) int {
		isA, isB := strings.HasPrefix(a, presence), strings.HasPrefix(b, presence)
		if isA != isB {
			return cmp.Compare(btoi(!isA), btoi(!isB))
		}
		return strings.Compare(a, b)
	})
	k.set(func(h map[string]Lease) { delete(h, name) })
	k.opts.Logger.Info("lease given to the others", slog.String("lease", held[name].Name))
	return k.store.ReleaseLease(ctx, held[name])
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// giveBack gives everything back at a stop, so that nobody has to wait for it.
func (k *Keeper) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, k.opts.Keep)
	defer cancel()
	held, _ := k.Held()
	k.set(func(h map[string]Lease) { clear(h) })
	for _, l := range held {
		if err := k.store.ReleaseLease(ctx, l); err != nil {
			k.opts.Logger.Warn("a lease could not be given back, and expires", slog.String("lease", l.Name), slog.Any("error", err))
			return
		}
	}
}
