package address

import (
	"cmp"
	"context"
	"strings"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/opcua/browsepath"
)

// Match is a variable that a pattern leads to.
type Match struct {
	NodeID *ua.NodeID
	// Name is its browse name without the namespace.
	Name string
	// Captures are {machine}, press-1 and so on: names in braces and what they stand for.
	Captures []string
}

// place is a node that the first elements lead to.
type place struct {
	node     *ua.NodeID
	name     string
	class    ua.NodeClass
	captures []string
}

// Expand returns the variables that a pattern leads to, in the order in which the server
// names them, each once for each of its captures. More than most are a Fault, with the
// first most beside it. Circles of the address space end where they close. A wildcard does
// not lead into the Server object, which describes the server itself: only its name does.
func (w *Walker) Expand(ctx context.Context, start *ua.NodeID, p *browsepath.Path, most int) ([]Match, error) {
	at := []place{{node: start, class: ua.NodeClassObject}}
	elements := p.Elements
	if elements[len(elements)-1].Deep {
		// What ** finds below itself: the node alone would be the one before.
		elements = append(elements[:len(elements):len(elements)], mustParse("/*")...)
	}
	for i := 0; i < len(elements) && len(at) > 0; {
		plain := i
		for plain < len(elements) && isPlain(&elements[plain]) {
			plain++
		}
		var err error
		switch {
		case plain > i:
			at, err = w.plain(ctx, at, elements[i:plain])
			i = plain
		case elements[i].Deep:
			at, err = w.deep(ctx, at, elements[i].Reference)
			i++
		default:
			at, err = w.wild(ctx, at, &elements[i])
			i++
		}
		if err != nil {
			return nil, err
		}
	}
	var found []Match
	for _, a := range at {
		if a.class != ua.NodeClassVariable {
			continue
		}
		if len(found) == most {
			return found, faultf("the pattern leads to more than %d nodes", most)
		}
		found = append(found, Match{a.node, a.name, a.captures})
	}
	return found, nil
}

func isPlain(e *browsepath.Element) bool {
	_, plain := e.Plain()
	return plain
}

// plain follows elements without wildcards from each place. Places from which they lead
// nowhere are left out.
func (w *Walker) plain(ctx context.Context, at []place, elements []browsepath.Element) ([]place, error) {
	starts := make([]Start, len(at))
	for i, a := range at {
		starts[i] = Start{a.node, elements}
	}
	targets, faults, err := w.follow(ctx, starts, make([]error, len(starts)))
	if err != nil {
		return nil, err
	}
	next := newPlaces()
	name, _ := elements[len(elements)-1].Plain()
	for i, list := range targets {
		if faults[i] != nil {
			return nil, faults[i] // of a namespace or a reference type: the same for all
		}
		for _, n := range list {
			next.add(place{n, name, 0, at[i].captures})
		}
	}
	return next.list, w.classes(ctx, next.list)
}

// classes reads the node classes of places that TranslateBrowsePathsToNodeIds gave.
func (w *Walker) classes(ctx context.Context, at []place) error {
	reads := make([]*ua.ReadValueID, len(at))
	for i, a := range at {
		reads[i] = readOf(a.node, ua.AttributeIDNodeClass)
	}
	values, err := w.server.readAll(ctx, w.client, reads)
	if err != nil {
		return err
	}
	for i := range values {
		switch v := valueOf(values[i]).(type) {
		case int32:
			at[i].class = ua.NodeClass(v)
		case uint32:
			at[i].class = ua.NodeClass(v)
		}
	}
	return nil
}

// wild follows one element with wildcards.
func (w *Walker) wild(ctx context.Context, at []place, e *browsepath.Element) ([]place, error) {
	all, err := w.references(ctx, nodesOf(at), e.Reference)
	if err != nil {
		return nil, err
	}
	names := e.Captures()
	next := newPlaces()
	for i, refs := range all {
		for _, ref := range refs {
			values, ok := w.matches(e, ref)
			if !ok || isServer(ref.NodeID.NodeID) {
				continue
			}
			if len(next.list) > cmp.Or(w.most, maxVisited) {
				return nil, w.tooManyPlaces()
			}
			captures := at[i].captures[:len(at[i].captures):len(at[i].captures)]
			for k, v := range values {
				captures = append(captures, "{"+names[k]+"}", v)
			}
			next.add(place{ref.NodeID.NodeID, ref.BrowseName.Name, ref.NodeClass, captures})
		}
	}
	return next.list, nil
}

// deep follows ** from each place: itself and what is below, MaxLevels down.
func (w *Walker) deep(ctx context.Context, at []place, r browsepath.Reference) ([]place, error) {
	all := newPlaces()
	for _, a := range at {
		all.add(a)
	}
	for level, front := 0, all.list; level < browsepath.MaxLevels && len(front) > 0; level++ {
		refs, err := w.references(ctx, nodesOf(front), r)
		if err != nil {
			return nil, err
		}
		before := len(all.list)
		for i, list := range refs {
			for _, ref := range list {
				if len(all.list) > cmp.Or(w.most, maxVisited) {
					return nil, w.tooManyPlaces()
				}
				if !isServer(ref.NodeID.NodeID) {
					all.add(place{ref.NodeID.NodeID, ref.BrowseName.Name, ref.NodeClass, front[i].captures})
				}
			}
		}
		front = all.list[before:]
	}
	return all.list, nil
}

// tooManyPlaces: what was browsed before costs no further reference, and each node counts
// once for each of its captures.
func (w *Walker) tooManyPlaces() error {
	return faultf("the pattern leads to more than %d places on its way: begin further down, or take fewer captures", cmp.Or(w.most, maxVisited))
}

func isServer(n *ua.NodeID) bool { return n.Namespace() == 0 && n.IntID() == id.Server }

func nodesOf(at []place) []*ua.NodeID {
	nodes := make([]*ua.NodeID, len(at))
	for i := range at {
		nodes[i] = at[i].node
	}
	return nodes
}

// places holds each place once.
type places struct {
	list []place
	seen map[string]bool
}

func newPlaces() *places { return &places{seen: map[string]bool{}} }

func (p *places) add(a place) {
	key := a.node.String() + "\x00" + strings.Join(a.captures, "\x00")
	if !p.seen[key] {
		p.seen[key] = true
		p.list = append(p.list, a)
	}
}
