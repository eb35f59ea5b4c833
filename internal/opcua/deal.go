package opcua

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/gopcua/opcua"
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
func (a *Adapter) deal(ctx context.Context, c *opcua.Client) error {
	nodes, err := a.resolve(ctx, c)
	if err != nil {
		return err
	}
	if a.dealt && slices.Equal(nodes, a.nodes) {
		return nil
	}
	a.halt()
	a.nodes, a.dealt = nodes, true
	a.lanes = a.lanes[:1]
	a.lanes[0].take(nil)
	for i, part := range slices.Collect(slices.Chunk(nodes, a.cfg.NodesPerSubscription())) {
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

// take makes nodes those of the lane.
func (l *lane) take(nodes []*node) {
	l.nodes, l.handles, l.last = nil, map[uint32]*node{}, clockHandle
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
