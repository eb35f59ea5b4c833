package address

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/opcua/browsepath"
)

// maxVisited bounds the references that one Walker reads.
const maxVisited = 500_000

// Fault is what is wrong with one path or pattern; the session is all right.
type Fault struct{ text string }

// Error says it.
func (f *Fault) Error() string { return f.text }

func faultf(format string, args ...any) error { return &Fault{fmt.Sprintf(format, args...)} }

// IsFault tells whether the error is one of a path or pattern, and not of the session.
func IsFault(err error) bool {
	var f *Fault
	return errors.As(err, &f)
}

// Walker follows paths in the address space of one session. It is for one goroutine, and
// for one moment: what it has browsed it knows.
type Walker struct {
	client     Client
	namespaces []string
	server     *Server
	visited    int
	most       int // places of a pattern; 0 is maxVisited
	known      map[step][]*ua.ReferenceDescription
	types      map[string]*ua.NodeID // reference types by namespace and name
}

// NewWalker takes the server's NamespaceArray, and what is known of the server.
func NewWalker(c Client, namespaces []string, server *Server) *Walker {
	return &Walker{client: c, namespaces: namespaces, server: server, known: map[step][]*ua.ReferenceDescription{}}
}

// step is what one browse follows.
type step struct {
	node, reference    string
	inverse, noSubtype bool
}

// Start is where a path begins: a node, and the elements to follow.
type Start struct {
	Node     *ua.NodeID
	Elements []browsepath.Element
}

// Root is where absolute paths start.
func Root() *ua.NodeID { return ua.NewNumericNodeID(0, id.RootFolder) }

// Find follows plain paths, each of which must lead to one node. Of each there is a node
// or a fault; the error is one of the session.
func (w *Walker) Find(ctx context.Context, starts []Start) ([]*ua.NodeID, []error, error) {
	nodes, faults := make([]*ua.NodeID, len(starts)), make([]error, len(starts))
	targets, faults, err := w.follow(ctx, starts, faults)
	if err != nil {
		return nil, nil, err
	}
	explained := 0
	for i, list := range targets {
		switch {
		case faults[i] != nil:
		case len(list) == 1:
			nodes[i] = list[0]
		case len(list) > 1:
			faults[i] = faultf("the path leads to %d nodes: %s, %s", len(list), list[0], list[1])
		default:
			faults[i] = faultf("the server has no node at %s", browsepath.Join(starts[i].Elements))
			if explained++; explained <= maxExplained {
				if faults[i], err = w.explain(ctx, starts[i]); err != nil {
					return nil, nil, err
				}
			}
		}
	}
	return nodes, faults, nil
}

// maxExplained bounds how many missing nodes are looked into at once.
const maxExplained = 20

// follow returns the nodes that plain elements lead to, in batches by
// TranslateBrowsePathsToNodeIds, else by browsing.
func (w *Walker) follow(ctx context.Context, starts []Start, faults []error) ([][]*ua.NodeID, []error, error) {
	targets := make([][]*ua.NodeID, len(starts))
	var paths []*ua.BrowsePath
	var asked []int
	for i, s := range starts {
		p, err := w.relativePath(ctx, s.Elements)
		if err != nil {
			if !IsFault(err) {
				return nil, nil, err
			}
			faults[i] = err
			continue
		}
		paths, asked = append(paths, &ua.BrowsePath{StartingNode: s.Node, RelativePath: p}), append(asked, i)
	}
	if w.server.translates() && len(paths) > 0 {
		results, err := w.server.translatePaths(ctx, w.client, paths)
		switch {
		case errors.Is(err, ua.StatusBadServiceUnsupported) || errors.Is(err, ua.StatusBadNotImplemented):
			w.server.learn(func() { w.server.noTranslate = true })
		case err != nil:
			return nil, nil, fmt.Errorf("translate browse paths: %w", err)
		}
		for k, r := range results {
			targets[asked[k]] = targetsOf(r)
		}
	}
	if !w.server.translates() {
		for _, i := range asked {
			list, err := w.followByBrowsing(ctx, starts[i])
			if err != nil && !IsFault(err) {
				return nil, nil, err
			}
			targets[i], faults[i] = list, err
		}
	}
	return targets, faults, nil
}

// targetsOf are the nodes of this server, each once.
func targetsOf(r *ua.BrowsePathResult) []*ua.NodeID {
	var list []*ua.NodeID
	if r == nil {
		return nil
	}
	for _, t := range r.Targets {
		const complete = 1<<32 - 1 // any other index: the path goes on in another server
		if t == nil || t.TargetID == nil || t.TargetID.NodeID == nil || t.RemainingPathIndex != complete {
			continue
		}
		if !slices.ContainsFunc(list, func(n *ua.NodeID) bool { return n.String() == t.TargetID.NodeID.String() }) {
			list = append(list, t.TargetID.NodeID)
		}
	}
	return list
}

func (w *Walker) followByBrowsing(ctx context.Context, s Start) ([]*ua.NodeID, error) {
	at := []*ua.NodeID{s.Node}
	for i := range s.Elements {
		e := &s.Elements[i]
		all, err := w.references(ctx, at, e.Reference)
		if err != nil {
			return nil, err
		}
		at = nil
		for _, refs := range all {
			for _, ref := range refs {
				if _, ok := w.matches(e, ref); ok && !slices.ContainsFunc(at, func(n *ua.NodeID) bool { return n.String() == ref.NodeID.NodeID.String() }) {
					at = append(at, ref.NodeID.NodeID)
				}
			}
		}
	}
	return at, nil
}

// matches holds a reference's target against an element.
func (w *Walker) matches(e *browsepath.Element, ref *ua.ReferenceDescription) ([]string, bool) {
	if !e.Namespace.Any {
		index, err := w.index(e.Namespace)
		if err != nil || index != ref.BrowseName.NamespaceIndex {
			return nil, false
		}
	}
	return e.Match(ref.BrowseName.Name)
}

// index returns the present index of a namespace.
func (w *Walker) index(n browsepath.Namespace) (uint16, error) {
	if n.URI == "" {
		return n.Index, nil
	}
	i := slices.Index(w.namespaces, n.URI)
	if i < 0 {
		return 0, faultf("the server has no namespace %s", n.URI)
	}
	return uint16(i), nil
}

// relativePath makes what TranslateBrowsePathsToNodeIds takes (OPC 10000-4, 7.31).
func (w *Walker) relativePath(ctx context.Context, elements []browsepath.Element) (*ua.RelativePath, error) {
	p := &ua.RelativePath{}
	for i := range elements {
		e := &elements[i]
		index, err := w.index(e.Namespace)
		if err != nil {
			return nil, err
		}
		reference, err := w.referenceType(ctx, e.Reference)
		if err != nil {
			return nil, err
		}
		name, _ := e.Plain()
		p.Elements = append(p.Elements, &ua.RelativePathElement{
			ReferenceTypeID: reference,
			IsInverse:       e.Reference.Inverse,
			IncludeSubtypes: !e.Reference.NoSubtypes,
			TargetName:      &ua.QualifiedName{NamespaceIndex: index, Name: name},
		})
	}
	return p, nil
}

// references browses nodes for one kind of reference. A node that can't be browsed has none.
func (w *Walker) references(ctx context.Context, nodes []*ua.NodeID, r browsepath.Reference) ([][]*ua.ReferenceDescription, error) {
	reference, err := w.referenceType(ctx, r)
	if err != nil {
		return nil, err
	}
	all := make([][]*ua.ReferenceDescription, len(nodes))
	var requests []*ua.BrowseDescription
	var asked []int
	for i, n := range nodes {
		if refs, known := w.known[w.step(n, reference, r)]; known {
			all[i] = refs
			continue
		}
		direction := ua.BrowseDirectionForward
		if r.Inverse {
			direction = ua.BrowseDirectionInverse
		}
		requests, asked = append(requests, &ua.BrowseDescription{
			NodeID:          n,
			BrowseDirection: direction,
			ReferenceTypeID: reference,
			IncludeSubtypes: !r.NoSubtypes,
			NodeClassMask:   uint32(ua.NodeClassObject | ua.NodeClassVariable),
			ResultMask:      uint32(ua.BrowseResultMaskAll),
		}), append(asked, i)
	}
	// A part at a time, so that the bound holds before everything has been read.
	for size := w.server.perCall(&w.server.browse); len(requests) > 0; {
		part := requests[:min(size, len(requests))]
		results, err := w.server.browseAll(ctx, w.client, part, maxVisited-w.visited)
		if err != nil {
			return nil, fmt.Errorf("browse: %w", err)
		}
		for k, b := range results {
			i := asked[k]
			all[i] = b.refs
			w.known[w.step(nodes[i], reference, r)] = b.refs
			if w.visited += len(b.refs); w.visited > maxVisited {
				return nil, faultf("there are more than %d references to follow: begin further down", maxVisited)
			}
		}
		requests, asked = requests[len(part):], asked[len(part):]
	}
	return all, nil
}

func (w *Walker) step(n, reference *ua.NodeID, r browsepath.Reference) step {
	return step{n.String(), reference.String(), r.Inverse, r.NoSubtypes}
}

// referenceType returns the node id of a reference type. Those of names are looked up
// among the subtypes of References.
func (w *Walker) referenceType(ctx context.Context, r browsepath.Reference) (*ua.NodeID, error) {
	switch r.Kind {
	case browsepath.Hierarchical:
		return ua.NewNumericNodeID(0, id.HierarchicalReferences), nil
	case browsepath.Aggregates:
		return ua.NewNumericNodeID(0, id.Aggregates), nil
	}
	index, err := w.index(r.Namespace)
	if err != nil {
		return nil, err
	}
	if w.types == nil {
		types := map[string]*ua.NodeID{}
		all, err := w.subtypes(ctx, ua.NewNumericNodeID(0, id.References), ua.NodeClassReferenceType)
		if err != nil {
			return nil, err
		}
		for _, ref := range all {
			types[qualified(ref.BrowseName.NamespaceIndex, ref.BrowseName.Name)] = ref.NodeID.NodeID
		}
		w.types = types
	}
	t := w.types[qualified(index, r.Name)]
	if t == nil {
		return nil, faultf("the server has no reference type %s", r.Name)
	}
	return t, nil
}

func qualified(index uint16, name string) string { return fmt.Sprintf("%d:%s", index, name) }

// subtypes lists the types below one, at any depth.
func (w *Walker) subtypes(ctx context.Context, of *ua.NodeID, class ua.NodeClass) ([]*ua.ReferenceDescription, error) {
	var all []*ua.ReferenceDescription
	seen := map[string]bool{of.String(): true}
	for at := []*ua.NodeID{of}; len(at) > 0; {
		var requests []*ua.BrowseDescription
		for _, n := range at {
			requests = append(requests, &ua.BrowseDescription{
				NodeID: n, BrowseDirection: ua.BrowseDirectionForward, ReferenceTypeID: ua.NewNumericNodeID(0, id.HasSubtype),
				IncludeSubtypes: true, NodeClassMask: uint32(class), ResultMask: uint32(ua.BrowseResultMaskAll),
			})
		}
		results, err := w.server.browseAll(ctx, w.client, requests, maxVisited)
		if err != nil {
			return nil, fmt.Errorf("browse types: %w", err)
		}
		at = nil
		for _, b := range results {
			for _, ref := range b.refs {
				if key := ref.NodeID.NodeID.String(); !seen[key] {
					seen[key] = true
					all, at = append(all, ref), append(at, ref.NodeID.NodeID)
				}
			}
		}
	}
	return all, nil
}

// explain says how far a path that leads nowhere does lead, and whether the name that is
// missing there stands in another namespace.
func (w *Walker) explain(ctx context.Context, s Start) (fault, err error) {
	at := s.Node
	for i := range s.Elements {
		e := &s.Elements[i]
		prefix := Start{at, s.Elements[i : i+1]}
		targets, faults, err := w.follow(ctx, []Start{prefix}, make([]error, 1))
		if err != nil {
			return nil, err
		}
		if faults[0] != nil {
			return faults[0], nil
		}
		if len(targets[0]) > 0 {
			at = targets[0][0]
			continue
		}
		name, _ := e.Plain()
		all, err := w.references(ctx, []*ua.NodeID{at}, e.Reference)
		if err != nil {
			if IsFault(err) {
				return err, nil
			}
			return nil, err
		}
		for _, ref := range all[0] {
			if ref.BrowseName.Name == name {
				return faultf("the server has no node at %s; there is %s%s", browsepath.Join(s.Elements[:i+1]),
					browsepath.Join(s.Elements[:i]), w.element(e.Reference, ref.BrowseName)), nil
			}
		}
		return faultf("the server has no node at %s", browsepath.Join(s.Elements[:i+1])), nil
	}
	return faultf("the server has no node at %s", browsepath.Join(s.Elements)), nil
}

// element writes a browse name as an element of a path.
func (w *Walker) element(r browsepath.Reference, name *ua.QualifiedName) string {
	separator := "/"
	if r.Kind == browsepath.Aggregates {
		separator = "."
	}
	return separator + QualifiedName(name, w.namespaces)
}

// QualifiedName writes a browse name as a path takes it, with the URI of its namespace.
func QualifiedName(name *ua.QualifiedName, namespaces []string) string {
	text := browsepath.Escape(name.Name)
	switch i := int(name.NamespaceIndex); {
	case i == 0:
		return text
	case i < len(namespaces) && namespaces[i] != "":
		return "nsu=" + browsepath.EscapeURI(namespaces[i]) + ";" + text
	default:
		return fmt.Sprintf("%d:%s", i, text)
	}
}
