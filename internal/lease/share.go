package lease

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"plantgate/internal/mes"
)

// presence begins the name of the lease by which a server says that it is there.
const presence = "server:"

func (k *Keeper) leaseName(name string) string { return k.group + "/" + name }

// alike begins the names of the presences of those who want the same leases as this
// server: only they can be counted on to take a part of them.
func (k *Keeper) alike() string {
	h := fnv.New32a()
	for _, name := range slices.Sorted(slices.Values(k.wanted())) {
		_, _ = fmt.Fprintf(h, "%d:%s", len(name), name)
	}
	return fmt.Sprintf("%s%08x:", presence, h.Sum32())
}

// resume goes on with what this server had when it ended: with what is still its own, and
// by a new epoch, since another process may have the same name and remember the same. If
// the database is away that can't be known, unless it was away when the server ended: then
// no other server can have taken any.
func (k *Keeper) resume(ctx context.Context) {
	if k.opts.Memory == nil {
		return
	}
	limited, cancel := context.WithTimeout(ctx, k.opts.Keep)
	defer cancel()
	resumed, unproven := map[string]Lease{}, map[string]bool{}
	list, wasAway := k.opts.Memory.Leases(k.group)
	away := false
	for _, l := range list {
		name := strings.TrimPrefix(l.Name, k.group+"/")
		isSelf := name == k.alike()+k.owner
		if l.Owner != k.owner || !isSelf && !slices.Contains(k.names, name) {
			continue
		}
		if !away {
			now, still, err := k.store.ResumeLease(limited, l, k.opts.Keep)
			if away = errors.Is(err, mes.ErrStoreAway); !away && (err != nil || !still) {
				k.opts.Logger.Info("a lease from before is not this server's any more", slog.String("lease", l.Name), slog.Any("error", err))
				continue
			}
			if !away {
				l = now
			}
		}
		if away && !wasAway {
			break
		}
		if !isSelf {
			resumed[name] = l
			k.opts.Logger.Info("lease kept from before", slog.String("lease", l.Name), slog.Int64("epoch", l.Epoch), slog.Bool("proven", !away))
			if away {
				unproven[name] = true
			}
		} else if !away {
			k.self = l
		}
	}
	k.apart = away && wasAway
	k.set(func(held, _ map[string]Lease) {
		maps.Copy(held, resumed)
		maps.Copy(k.unproven, unproven)
	})
}

// tend renews what is held, and evens out how much that is.
func (k *Keeper) tend(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, k.opts.Keep)
	defer cancel()
	defer k.remember()
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
	k.noteOwners(all)
	return k.share(ctx, all, now)
}

func (k *Keeper) noteOwners(all map[string]Lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.owners)
	for name, l := range all {
		k.owners[name] = l.Owner
	}
}

// renew keeps what is held, lets go of what another has taken, and gives back what
// nobody uses any more.
func (k *Keeper) renew(ctx context.Context) error {
	// What one row is held up by must not cost the others.
	var errs []error
	for name, l := range k.unused() {
		if err := k.leave(ctx, name, l); err != nil {
			errs = append(errs, err)
		}
	}
	mine := k.all()
	for _, name := range slices.Sorted(maps.Keys(mine)) {
		still, err := k.store.RenewLease(ctx, mine[name], k.opts.Keep)
		if errors.Is(err, mes.ErrStoreAway) {
			return err
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !still {
			k.opts.Logger.Warn("another server has taken over", slog.String("lease", mine[name].Name))
			k.lose(name)
			continue
		}
		k.beginProof(name)
	}
	if k.self.Name == "" {
		return errors.Join(errs...)
	}
	still, err := k.store.RenewLease(ctx, k.self, k.opts.Keep)
	if err == nil && !still {
		k.self = Lease{}
	}
	return errors.Join(append(errs, err)...)
}

// leave gives a lease back that nobody uses any more, or goes on with it by an epoch of
// its own if it was not proven.
func (k *Keeper) leave(ctx context.Context, name string, l Lease) error {
	if !k.isUnproven(name) {
		if err := k.store.ReleaseLease(ctx, l); err != nil {
			return err
		}
		k.lose(name)
		return nil
	}
	now, still, err := k.store.ResumeLease(ctx, l, k.opts.Keep)
	if err != nil {
		return err
	}
	k.lose(name)
	if !still {
		k.opts.Logger.Warn("another server has taken over", slog.String("lease", l.Name))
		return nil
	}
	k.opts.Logger.Info("lease proven", slog.String("lease", l.Name), slog.Int64("epoch", now.Epoch))
	k.set(func(held, _ map[string]Lease) { held[name] = now })
	return nil
}

// beginProof ends the use of a lease that is held and not proven, now that the database
// can be asked: nothing comes by its old epoch any more when the new one begins.
func (k *Keeper) beginProof(name string) {
	k.set(func(held, leaving map[string]Lease) {
		if l, ok := held[name]; ok && k.unproven[name] {
			delete(held, name)
			leaving[name] = l
			k.hasten()
		}
	})
}

// lose takes note that a lease is not this server's any more.
func (k *Keeper) lose(name string) {
	k.set(func(held, leaving map[string]Lease) {
		delete(held, name)
		delete(leaving, name)
		delete(k.unproven, name)
		delete(k.owners, name)
	})
}

// countUnproven counts what is about to be proven: it is held again afterwards.
func (k *Keeper) countUnproven() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.unproven)
}

func (k *Keeper) isUnproven(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.unproven[name]
}

// appear says that this server is there, and which leases it wants.
func (k *Keeper) appear(ctx context.Context, all map[string]Lease) error {
	name := k.alike() + k.owner
	if k.self.Name == k.leaseName(name) {
		return nil
	}
	if k.self.Name != "" { // it wanted others before
		if err := k.store.ReleaseLease(ctx, k.self); err != nil {
			return err
		}
		k.self = Lease{}
	}
	l, taken, err := k.store.ClaimLease(ctx, k.leaseName(name), k.owner, all[name].Epoch, k.opts.Keep)
	if taken {
		k.self = l
	}
	return err
}

// share takes what is free, up to a fair part, or gives one back where there is more.
func (k *Keeper) share(ctx context.Context, all map[string]Lease, now time.Time) error {
	if err := k.appear(ctx, all); err != nil {
		return err
	}
	servers := map[string]bool{k.owner: true}
	for name, l := range all {
		if server, ok := strings.CutPrefix(name, k.alike()); ok && l.Owner != "" && !k.isAbandoned(name, l, now) {
			servers[server] = true
		}
	}
	fair := (len(k.wanted()) + len(servers) - 1) / len(servers)
	held, _ := k.Held()
	if len(held) > fair {
		k.giveOne(held)
		return nil
	}
	for _, name := range k.byTurns() {
		if held, _ = k.Held(); len(held)+k.countUnproven() >= fair {
			return nil
		}
		l := all[name]
		if _, ok := held[name]; ok || l.Owner != "" && !k.isAbandoned(name, l, now) {
			continue
		}
		if err := k.claim(ctx, name, l); errors.Is(err, mes.ErrStoreAway) {
			return err
		} else if err != nil {
			k.opts.Logger.Warn("a lease can't be taken now", slog.String("lease", k.leaseName(name)), slog.Any("error", err))
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
	names := k.wanted()
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
	k.opts.Logger.Info("lease taken", slog.String("lease", l.Name), slog.Int64("epoch", l.Epoch))
	k.set(func(held, _ map[string]Lease) { held[name] = l })
	return nil
}

// giveOne lets go of the last of the names that are held.
func (k *Keeper) giveOne(held map[string]Lease) {
	name := slices.Max(slices.Collect(maps.Keys(held)))
	k.opts.Logger.Info("lease given to the others", slog.String("lease", held[name].Name))
	k.set(func(h, leaving map[string]Lease) {
		delete(h, name)
		leaving[name] = held[name]
	})
}

// giveBack gives everything back at a stop, so that nobody has to wait for it.
func (k *Keeper) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, k.opts.Keep)
	defer cancel()
	k.set(func(held, leaving map[string]Lease) {
		maps.Copy(leaving, held)
		clear(held)
	})
	defer k.remember()
	for name, l := range k.all() {
		if err := k.store.ReleaseLease(ctx, l); err != nil {
			k.opts.Logger.Warn("a lease could not be given back, and expires", slog.String("lease", l.Name), slog.Any("error", err))
			return
		}
		k.lose(name)
	}
	if err := k.store.ReleaseLease(ctx, k.self); err == nil {
		k.self = Lease{}
	}
}
