package opcua

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// goneAfter is how long a node that a pattern leads to no more is still looked for.
const goneAfter = time.Hour

// scan is the result of a look at the server while the session runs.
type scan struct {
	found *found
	err   error
}

// moving tells whether there is anything that may lead to other nodes later.
func (a *Adapter) moving() bool {
	return slices.ContainsFunc(a.specs, func(s *spec) bool { return s.moves() })
}

// startScan looks for nodes beside the session, which goes on meanwhile. There is one
// look at a time.
func (s *session) startScan(ctx context.Context) {
	if s.scanning || !s.a.moving() {
		return
	}
	s.scanning = true
	s.a.closers.Go(func() {
		var r scan
		if r.err = s.client.UpdateNamespaces(ctx); r.err == nil {
			r.found, r.err = s.a.look(ctx, s.client)
		}
		s.scans <- r // there is room for the one
	})
}

// want asks the first lane to look for the nodes.
func (a *Adapter) want() {
	select {
	case a.wanted <- struct{}{}:
	default: // it is asked already
	}
}

// errDealAnew ends the session of the first lane: there are other nodes than before, and
// they are dealt out anew.
var errDealAnew = errors.New("there are other nodes than before; connecting anew with all of them")

// scanned takes what a look found. Where one session has all nodes, new ones are
// monitored in it, and those that moved where they are now; else all are dealt anew.
func (s *session) scanned(ctx context.Context, r scan) error {
	s.scanning = false
	if r.err != nil {
		if ctx.Err() != nil {
			return nil // the session is to end in order
		}
		return r.err
	}
	nodes := s.a.adopt(r.found)
	switch {
	case slices.Equal(nodes, s.a.nodes) && !s.anyMissing():
		return nil
	case len(s.a.lanes) > 1 || len(nodes) > s.a.cfg.NodesPerSubscription():
		return errDealAnew
	}
	s.a.nodes = nodes
	return s.change(ctx, nodes)
}

func (s *session) anyMissing() bool {
	return slices.ContainsFunc(s.nodes, func(n *node) bool { return !n.missing.IsZero() })
}

// change makes the session's nodes these. One that is led to no more, and whose place no
// other has, keeps its item for goneAfter: it may be deleted only to be made anew.
func (s *session) change(ctx context.Context, nodes []*node) error {
	now := make(map[*node]bool, len(nodes))
	keys := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		now[n], keys[n.key] = true, true
	}
	had := make(map[*node]bool, len(s.nodes))
	var drop []uint32
	var fresh []*node
	release := func(n *node) {
		if n.itemID != 0 {
			drop = append(drop, n.itemID)
			n.itemID = 0
		}
	}
	s.nodes = slices.DeleteFunc(s.nodes, func(n *node) bool {
		had[n] = true
		switch {
		case now[n] && n.missing.IsZero():
		case now[n]: // it was gone, which some servers do not tell
			n.missing = time.Time{}
			release(n)
			fresh = append(fresh, n)
		case n.absent == "" && !keys[n.key] && (n.missing.IsZero() || time.Since(n.missing) < goneAfter):
			if n.missing.IsZero() {
				n.missing = time.Now()
			}
		default:
			release(n)
			delete(s.handles, n.handle)
			return true
		}
		return false
	})
	for _, n := range nodes {
		if !had[n] {
			s.add(n)
			s.a.cursors.interrupt(n.track, nil, time.Time{})
			n.begin()
			fresh = append(fresh, n)
		}
	}
	s.follow()
	return s.apply(ctx, drop, fresh)
}

// apply deletes items and makes new ones.
func (s *session) apply(ctx context.Context, drop []uint32, fresh []*node) error {
	for part := range slices.Chunk(drop, maxItemsPerCall) {
		if err := s.unmonitor(ctx, part); err != nil {
			return fmt.Errorf("delete the items of nodes that moved: %w", err)
		}
	}
	if len(fresh) > 0 {
		s.log.Info("opcua: nodes found", "nodes", len(fresh))
		if err := s.monitor(ctx, fresh); err != nil {
			return err
		}
	}
	s.showState()
	return nil
}
