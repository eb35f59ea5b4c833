package lease

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Options are the settings of a Keeper. The zero value of a field means its default.
type Options struct {
	// Keep is how long a lease outlives its owner; 0 means 8 s.
	Keep time.Duration
	// Every is how often leases are renewed, and free ones looked for; 0 means 2 s.
	Every time.Duration
	// Memory lets a server that starts again go on with the leases that it had; nil means
	// that it waits until they have expired.
	Memory Memory
	Logger *slog.Logger
}

func (o *Options) setDefaults() {
	o.Keep = cmp.Or(o.Keep, 8*time.Second)
	o.Every = cmp.Or(o.Every, 2*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
}

// Memory remembers the leases of one server. Nothing but the database can tell whether
// another process has the same name and the same memory.
type Memory interface {
	// Leases are those of a group that were kept last, and whether the database was away
	// then: nothing changes hands while it is.
	Leases(group string) (list []Lease, away bool)
	KeepLeases(group string, list []Lease, away bool)
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

	// What follows is Run's alone. self says that the server is there, seen is how leases
	// were read last, and apart is whether the database could not be reached last.
	self  Lease
	seen  map[string]sighting
	apart bool

	mu   sync.Mutex // guards what follows
	held map[string]Lease
	// leaving are leases that are to be given back once nobody uses them any more.
	leaving map[string]Lease
	// unproven are those of both that this server goes on with from before its start, and
	// that the database could not be asked about yet. What is leaving of them is not given
	// back: once nobody uses it by its old epoch, a new one is begun.
	unproven map[string]bool
	// declined are names that this server doesn't want now.
	declined map[string]bool
	users    map[string]int
	owners   map[string]string
	changed  chan struct{} // closed and replaced when held or leaving changes
	hurry    chan struct{} // has a token when what is leaving is not used any more
}

// sighting is a lease, and since when it has not changed, while the database could be
// reached all along.
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
		seen: map[string]sighting{}, held: map[string]Lease{}, leaving: map[string]Lease{},
		unproven: map[string]bool{}, declined: map[string]bool{}, users: map[string]int{}, owners: map[string]string{},
		changed: make(chan struct{}), hurry: make(chan struct{}, 1),
	}
}

// Run keeps leases until ctx ends, and then gives them back. It may be called again then.
func (k *Keeper) Run(ctx context.Context) {
	if len(k.names) == 0 {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(k.opts.Every)
	defer ticker.Stop()
	clear(k.seen) // how long others were silent before is not known
	k.resume(ctx)
	for {
		k.tend(ctx)
		select {
		case <-ticker.C:
		case <-k.hurry:
		case <-ctx.Done():
			k.giveBack(context.WithoutCancel(ctx))
			return
		}
	}
}

// Decline gives a lease to the others, and does not ask for it until Want is called.
func (k *Keeper) Decline(name string) {
	k.set(func(held, leaving map[string]Lease) {
		k.declined[name] = true
		delete(k.unproven, name)
		if l, ok := held[name]; ok {
			delete(held, name)
			leaving[name] = l
		}
	})
	k.hasten()
}

// Want asks again for a lease that was declined.
func (k *Keeper) Want(name string) {
	k.set(func(_, _ map[string]Lease) { delete(k.declined, name) })
	k.hasten()
}

// wanted are the names but for those that are declined.
func (k *Keeper) wanted() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(k.names), func(name string) bool { return k.declined[name] })
}

// Held returns the leases that this server has, by the names that New was given, and a
// channel that is closed when they change.
func (k *Keeper) Held() (map[string]Lease, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.held), k.changed
}

// Server is the name of this server.
func (k *Keeper) Server() string { return k.owner }

// Proven tells whether the database has confirmed everything that this server has. What
// is stored by a right that is not proven another process may store too.
func (k *Keeper) Proven() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.unproven) == 0
}

// Owner is the server that had a lease when it was looked at last; "" if nobody. It is
// this server's name too where another process has it, or this one had before its start.
func (k *Keeper) Owner(name string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, mine := k.held[name]; mine {
		return k.owner
	}
	if _, leaving := k.leaving[name]; leaving {
		return ""
	}
	return k.owners[name]
}

// While runs fn as long as this server has a lease, again and again, until ctx ends or
// fn fails. The context of fn ends with the lease; one that this server gives to another
// it gives when fn has returned. Another server may have it before that, see AwaitLoss.
func (k *Keeper) While(ctx context.Context, name string, fn func(context.Context, Lease) error) error {
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
func (k *Keeper) during(ctx context.Context, name string, l Lease, fn func(context.Context, Lease) error) error {
	if !k.use(name, l) {
		return nil
	}
	defer k.unuse(name)
	working, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- fn(working, l) }()
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

// AwaitLoss waits until this server has lost a lease that it had by that epoch, and tells
// whether that was before ctx ended. A lease that is to be given back is not lost while it
// is used, unless another server takes it meanwhile.
func (k *Keeper) AwaitLoss(ctx context.Context, name string, epoch int64) bool {
	for {
		has, changed := k.has(name, epoch)
		if !has {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// has tells whether a lease is held, or not given back yet, and returns what is closed when
// that may have changed.
func (k *Keeper) has(name string, epoch int64) (bool, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	held, isHeld := k.held[name]
	leaving, isLeaving := k.leaving[name]
	return isHeld && held.Epoch == epoch || isLeaving && leaving.Epoch == epoch, k.changed
}

// use notes that a lease is used, if it is still held.
func (k *Keeper) use(name string, l Lease) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now, ok := k.held[name]; !ok || now.Epoch != l.Epoch {
		return false
	}
	k.users[name]++
	return true
}

func (k *Keeper) unuse(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.users[name]--; k.users[name] == 0 {
		if _, leaving := k.leaving[name]; leaving {
			k.hasten()
		}
	}
}

// hasten lets Run look at what is leaving at once.
func (k *Keeper) hasten() {
	select {
	case k.hurry <- struct{}{}:
	default:
	}
}

// unused are the leases that nobody uses any more of those that are to be given back.
func (k *Keeper) unused() map[string]Lease {
	k.mu.Lock()
	defer k.mu.Unlock()
	free := maps.Clone(k.leaving)
	maps.DeleteFunc(free, func(name string, _ Lease) bool { return k.users[name] > 0 })
	return free
}

// set changes what is held or leaving.
func (k *Keeper) set(change func(held, leaving map[string]Lease)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	held, leaving := maps.Clone(k.held), maps.Clone(k.leaving)
	change(k.held, k.leaving)
	if !maps.Equal(held, k.held) || !maps.Equal(leaving, k.leaving) {
		close(k.changed)
		k.changed = make(chan struct{})
	}
}

// remember keeps what this server has for the next time that it starts.
func (k *Keeper) remember() {
	if k.opts.Memory == nil {
		return
	}
	list := slices.Collect(maps.Values(k.all()))
	if k.self.Name != "" {
		list = append(list, k.self)
	}
	k.opts.Memory.KeepLeases(k.group, list, k.apart)
}

// all are the leases that are held or not given back yet.
func (k *Keeper) all() map[string]Lease {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := maps.Clone(k.held)
	maps.Copy(list, k.leaving)
	return list
}
