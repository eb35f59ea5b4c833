package opcua

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/address"
)

// target is what a spec leads to at the server: a node, or why there is none.
type target struct {
	binding
	// key is the same for the same node in every session.
	key string
	// absent says why there is no node.
	absent string
	moves  bool
}

// found is what all specs lead to now.
type found struct {
	targets []target
	// warnings tell of nodes that are left out, since others have their place.
	warnings []string
	// counts are how many nodes each spec leads to, in their order.
	counts []int
}

// resolve gives the nodes of the connection for a new session of the first lane: configured ones, what
// patterns lead to now, and what is discovered. One that can't be resolved is a node with
// a fault. The error is one of the session. Nodes that were there before are the same.
func (a *Adapter) resolve(ctx context.Context, c *opcua.Client) ([]*node, error) {
	f, err := a.look(ctx, c)
	if err != nil {
		return nil, err
	}
	return a.adopt(f), nil
}

// errLearnt ends a session that the library takes for lost: the server refused a service
// as a whole. The next session does without that.
var errLearnt = errors.New("the server takes other calls than it was thought to; connecting anew")

// look finds out what is at the server now. It changes only what is known of the server.
func (a *Adapter) look(ctx context.Context, c *opcua.Client) (*found, error) {
	before := a.server.Learnt()
	f, err := look(ctx, c, &a.server, c.Namespaces(), a.specs, a.cfg.NodeLimit())
	switch {
	case a.server.Learnt() != before:
		return nil, errLearnt
	case err != nil:
		return nil, fmt.Errorf("look for the nodes: %w", err)
	}
	return f, nil
}

// adopt makes nodes of targets, or takes those that are there: what a node is never
// changes, so that another lane may use it meanwhile.
func (a *Adapter) adopt(f *found) []*node {
	nodes := make([]*node, len(f.targets))
	byKey := make(map[string]*node, len(f.targets))
	for i := range f.targets {
		t := &f.targets[i]
		n := a.byKey[t.key]
		if n == nil || n.nodeID != t.nodeID || n.absent != t.absent || !maps.Equal(n.convert.names, t.convert.names) {
			n = &node{binding: t.binding, key: t.key, absent: t.absent, moves: t.moves}
		}
		nodes[i], byKey[t.key] = n, n
	}
	a.byKey = byKey
	if text := strings.Join(f.warnings, "; "); text != a.warned {
		for _, w := range f.warnings {
			a.deps.Logger.Warn("opcua: node left out", "reason", w)
		}
		a.warned = text
	}
	return nodes
}

// look finds out what specs lead to at a server.
func look(ctx context.Context, c address.Client, server *address.Server, namespaces []string, all []*spec, most int) (*found, error) {
	l := &lookup{namespaces: namespaces, most: most, taken: map[[3]string]string{}, nodes: map[string]string{}}
	l.found.counts = make([]int, len(all))
	var err error
	if slices.ContainsFunc(all, func(s *spec) bool { return s.moves() || s.convert.wantsNames() }) {
		if err = server.Ask(ctx, c); err != nil {
			return nil, err
		}
		l.walker = address.NewWalker(c, namespaces, server)
	}
	if err = l.single(ctx, all); err != nil {
		return nil, err
	}
	for i, s := range all {
		switch {
		case s.fixed():
		case s.discover != "":
			err = l.discover(ctx, i, s)
		default:
			err = l.expand(ctx, i, s)
		}
		if err != nil {
			return nil, err
		}
	}
	return &l.found, l.name(ctx)
}

// lookup gathers targets.
type lookup struct {
	walker     *address.Walker // nil where nothing has to be walked
	namespaces []string
	most       int
	found      found
	taken      map[[3]string]string // who has a signal, by site, machine and name
	nodes      map[string]string    // who has a node, by its text
}

// single adds the specs that stand for one node.
func (l *lookup) single(ctx context.Context, all []*spec) error {
	var starts []address.Start
	var of []int
	absent := make([]string, len(all))
	for i, s := range all {
		if !s.fixed() || s.path == nil {
			continue
		}
		start, err := l.start(s)
		if err != nil {
			absent[i] = err.Error()
			continue
		}
		starts, of = append(starts, address.Start{Node: start, Elements: s.path.Elements}), append(of, i)
	}
	ids := make([]*ua.NodeID, len(all))
	if len(starts) > 0 {
		nodes, faults, err := l.walker.Find(ctx, starts)
		if err != nil {
			return err
		}
		for k, i := range of {
			if ids[i] = nodes[k]; faults[k] != nil {
				absent[i] = faults[k].Error()
			}
		}
	}
	for i, s := range all {
		if !s.fixed() {
			continue
		}
		b := s.binding
		if ids[i] != nil {
			b.nodeID = address.Text(ids[i], l.namespaces)
		}
		l.found.targets = append(l.found.targets, target{b, key("configured", b, s.nodeID), absent[i], s.path != nil})
		l.found.counts[i] = 1
		l.taken[[3]string{b.siteID, b.machineID, b.signal}] = s.nodeID
		l.nodes[l.canonical(b.nodeID)] = s.nodeID
	}
	return nil
}

// canonical writes a configured node id as those of the server are written.
func (l *lookup) canonical(text string) string {
	id, err := address.Resolve(text, l.namespaces)
	if err != nil {
		return text
	}
	return address.Text(id, l.namespaces)
}

func (l *lookup) start(s *spec) (*ua.NodeID, error) {
	if s.start == "" {
		return address.Root(), nil
	}
	return address.Resolve(s.start, l.namespaces)
}

// expand adds what a pattern leads to.
func (l *lookup) expand(ctx context.Context, i int, s *spec) error {
	start, err := l.start(s)
	if err != nil {
		l.missing(s, err.Error())
		return nil
	}
	matches, err := l.walker.Expand(ctx, start, s.path, l.most)
	switch {
	case err != nil && !address.IsFault(err):
		return err
	case err != nil:
		l.missing(s, err.Error())
	case len(matches) == 0:
		l.missing(s, "the pattern leads to no variable")
	}
	l.found.counts[i] = len(matches)
	for _, m := range matches {
		l.add(s, s.bind(address.Text(m.NodeID, l.namespaces), m.Name, m.Captures))
	}
	return nil
}

// discover adds the variables of a companion specification.
func (l *lookup) discover(ctx context.Context, i int, s *spec) error {
	all, err := l.walker.Discover(ctx, s.discover)
	switch {
	case err != nil && !address.IsFault(err):
		return err
	case err != nil:
		l.missing(s, err.Error())
	case len(all) > l.most:
		l.missing(s, fmt.Sprintf("there are more than %d variables", l.most))
		all = all[:l.most]
	}
	l.found.counts[i] = len(all)
	for _, d := range all {
		b := s.bind(address.Text(d.NodeID, l.namespaces), d.Signal, nil)
		b.machineID = d.Machine
		if d.States != nil {
			b.convert = conversion{names: d.States, named: true, status: d.Status}
			if len(d.Status) > 0 {
				b.dataType = mes.State
			}
		}
		l.add(s, b)
	}
	return nil
}

// missing adds a node with a fault that stands for the whole spec.
func (l *lookup) missing(s *spec, why string) {
	l.found.targets = append(l.found.targets, target{s.binding, key("spec", s.binding, s.nodeID), why, true})
}

// add adds a node that a pattern or discovery led to, unless a spec before it has its
// signal, or the node itself. A node that is configured singly is meant to be that.
func (l *lookup) add(s *spec, b binding) {
	t := target{binding: b, key: key("found", b, b.nodeID), moves: true}
	if err := mes.CheckID(b.machineID); err != nil {
		t.absent = fmt.Sprintf("machine_id %q %s", b.machineID, err)
		l.found.targets = append(l.found.targets, t)
		return
	}
	if len(b.signal) > mes.MaxSignalNameLength || b.signal == mes.SignalStatus {
		t.absent = fmt.Sprintf("%q can't be the name of a signal; give signal another with captures", b.signal)
		l.found.targets = append(l.found.targets, t)
		return
	}
	if other, taken := l.nodes[b.nodeID]; taken {
		if other == s.nodeID {
			l.warn("%s is found twice by %s: as %s of %s it is left out", b.nodeID, s.nodeID, b.signal, b.machineID)
		}
		return
	}
	name := [3]string{b.siteID, b.machineID, b.signal}
	if other, taken := l.taken[name]; taken {
		l.warn("%s of %s would be %s of %s, which %s is: it is left out", b.nodeID, s.nodeID, b.signal, b.machineID, other)
		return
	}
	l.nodes[b.nodeID], l.taken[name] = s.nodeID, b.nodeID
	l.found.targets = append(l.found.targets, t)
}

// maxWarnings bounds what one look warns of.
const maxWarnings = 20

func (l *lookup) warn(format string, args ...any) {
	if len(l.found.warnings) < maxWarnings {
		l.found.warnings = append(l.found.warnings, fmt.Sprintf(format, args...))
	}
}

func key(kind string, b binding, address string) string {
	return strings.Join([]string{kind, b.siteID, b.machineID, b.signal, address}, "\x00")
}

// name reads the names of the values of nodes whose map has some.
func (l *lookup) name(ctx context.Context) error {
	var ids []*ua.NodeID
	var of []int
	for i, t := range l.found.targets {
		if t.absent != "" || t.convert.named || !t.convert.wantsNames() {
			continue
		}
		if id, err := address.Resolve(t.nodeID, l.namespaces); err == nil {
			ids, of = append(ids, id), append(of, i)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	names, err := l.walker.Texts(ctx, ids)
	for k := range names {
		l.found.targets[of[k]].convert.names = names[k]
	}
	return err
}
