package opcua

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/gopcua/opcua"

	"plantgate/internal/opcua/link"
)

// runLanes runs the first lane until ctx ends, and beside it those that have a part of the
// nodes. The first is there before it is known which nodes there are: they are asked of the
// server.
func (a *Adapter) runLanes(ctx, drainCtx context.Context) {
	first := a.newLane(0)
	a.lanes = []*lane{first}
	a.halt = func() {}
	a.begin = func(rest []*lane) {
		ctx, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		for _, l := range rest {
			running.Go(func() { l.supervise(ctx, drainCtx) })
		}
		a.halt = func() { stop(); running.Wait() }
	}
	first.supervise(ctx, drainCtx)
	a.halt()
}

func (a *Adapter) newLane(number int) *lane {
	log := a.deps.Logger.With("endpoint", a.cfg.Endpoint)
	if number > 0 {
		log = log.With(slog.Int("session", number+1))
	}
	return &lane{a: a, number: number, log: log}
}

// deal gives the nodes of the connection to its lanes. The first lane calls it at each of
// its sessions; where the nodes are the same as before, the others go on undisturbed.
func (a *Adapter) deal(ctx context.Context, c *opcua.Client, limits link.Limits) error {
	nodes, err := a.resolve(ctx, c)
	if err != nil {
		return err
	}
	each := a.share(len(nodes), limits)
	if a.dealt && slices.Equal(nodes, a.nodes) && len(a.lanes) <= max((len(nodes)+each-1)/each, 1) {
		return nil
	}
	a.halt()
	a.nodes, a.dealt = nodes, true
	a.lanes = a.lanes[:1]
	a.lanes[0].take(nil)
	for i, part := range slices.Collect(slices.Chunk(nodes, each)) {
		if i > 0 {
			a.lanes = append(a.lanes, a.newLane(i))
		}
		a.lanes[i].take(part)
	}
	a.status.split(len(a.lanes))
	a.cursors.lanes(len(a.lanes))
	a.begin(a.lanes[1:])
	return nil
}

// reserve is how many items a subscription has besides those of nodes.
const reserve = 2

// share is how many nodes a lane has: what is configured, fewer where the server wants
// that, more where it has not so many sessions. What the server then refuses is bad.
func (a *Adapter) share(nodes int, limits link.Limits) int {
	each := max(min(a.cfg.NodesPerSubscription(), limits.MonitoredItemsPerSubscription-reserve), 1)
	if most := min(limits.Sessions, cmp.Or(a.most, math.MaxInt32)); nodes > each*most {
		each = (nodes + most - 1) / most
	}
	return each
}

// errFewerLanes ends the session of the first lane: the nodes are dealt out to fewer.
var errFewerLanes = errors.New("the server has no room for so many sessions; connecting anew with fewer")

// crowd notes that the server has refused the lane a session, and asks for fewer lanes if
// that lasts: a session that was lost is the server's for a while.
func (l *lane) crowd(err error) {
	switch {
	case !errors.Is(err, link.ErrFull):
		l.crowded = time.Time{}
	case l.crowded.IsZero():
		l.crowded = time.Now()
	case l.number > 0 && time.Since(l.crowded) > l.a.timing.crowded:
		select {
		case l.a.narrow <- struct{}{}:
		default: // it is asked for already
		}
	}
}

// narrower makes the lanes fewer: so many as work.
func (a *Adapter) narrower() error {
	if a.most = max(a.status.up(), 1); a.most >= len(a.lanes) {
		return nil
	}
	a.deps.Logger.Warn("opcua: the server has no room for so many sessions; the nodes are dealt out to fewer", "wanted", len(a.lanes), "sessions", a.most)
	return errFewerLanes
}

// take makes nodes those of the lane.
func (l *lane) take(nodes []*node) {
	l.left = nil
	l.clock = rand.Uint32N(maxClockHandle)
	l.nodes, l.handles, l.last = nil, map[uint32]*node{}, l.clock
	for _, n := range nodes {
		l.add(n)
	}
}

// add makes one more node that of the lane.
func (l *lane) add(n *node) {
	l.last++
	n.handle = l.last
	n.track = l.a.cursors.follow(&n.binding)
	l.nodes = append(l.nodes, n)
	l.handles[n.handle] = n
}
