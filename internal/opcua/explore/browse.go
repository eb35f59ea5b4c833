package explore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

// Bounds of listings.
const (
	// maxChildren of one node are listed at most.
	maxChildren = 100_000
	// referencesPerAnswer of a server, which continues after them.
	referencesPerAnswer = 1000
	// maxListings are kept of a session, each for keepListing, so that pages do not ask
	// the server for all of it again.
	maxListings = 8
	keepListing = 30 * time.Second
)

// ErrTooMany is in the chain of an error beside a listing that was cut off.
var ErrTooMany = errors.New("there are more nodes than the limit")

// listing is what stands right below a node.
type listing struct {
	read       time.Time
	references []*ua.ReferenceDescription
}

// Root is where a server's own objects begin.
func Root() *ua.NodeID { return ua.NewNumericNodeID(0, id.ObjectsFolder) }

// Children lists what stands right below a node, at most limit nodes after a place, nil for
// the beginning. more tells that the list goes on.
func (s *Session) Children(ctx context.Context, node *ua.NodeID, after *mes.UAPlace, limit int) (children []mes.UANode, more bool, err error) {
	l, err := s.listing(ctx, node, after)
	if err != nil {
		return nil, false, err
	}
	begin := 0
	if after != nil {
		if begin, err = l.find(after); err != nil {
			return nil, false, err
		}
	}
	end := min(begin+limit, len(l.references))
	children, err = s.describe(ctx, l.references[begin:end], begin)
	return children, end < len(l.references), err
}

// listing asks the server, or takes what it said a moment ago to go on in.
func (s *Session) listing(ctx context.Context, node *ua.NodeID, after *mes.UAPlace) (*listing, error) {
	key := node.String()
	s.mu.Lock()
	l := s.listings[key]
	s.mu.Unlock()
	if l != nil && after != nil && time.Since(l.read) < keepListing {
		return l, nil
	}
	references, err := s.references(ctx, node)
	if err != nil {
		return nil, err
	}
	l = &listing{read: time.Now(), references: references}
	s.mu.Lock()
	defer s.mu.Unlock()
	for old, kept := range s.listings {
		if time.Since(kept.read) >= keepListing || len(s.listings) >= maxListings {
			delete(s.listings, old)
		}
	}
	s.listings[key] = l
	return l, nil
}

// find returns the index of what follows a place. Nodes may have come and gone.
func (l *listing) find(p *mes.UAPlace) (int, error) {
	if p.Index >= 0 && p.Index < len(l.references) && bytes.Equal(placeOf(l.references[p.Index]), p.Node) {
		return p.Index + 1, nil
	}
	for i, r := range l.references {
		if bytes.Equal(placeOf(r), p.Node) {
			return i + 1, nil
		}
	}
	return 0, mes.Errorf(mes.CodeConflict, "the node that the cursor points at is not there any more: begin with the first page again")
}

// placeOf recognises a child.
func placeOf(r *ua.ReferenceDescription) []byte {
	sum := sha256.Sum256([]byte(r.NodeID.NodeID.String() + " " + r.NodeID.NamespaceURI))
	return sum[:9]
}

// references follows the hierarchical references to the end. Each node comes once. The
// server's continuation points are used up or given back.
func (s *Session) references(ctx context.Context, node *ua.NodeID) ([]*ua.ReferenceDescription, error) {
	return s.follow(ctx, &ua.BrowseDescription{
		NodeID:          node,
		BrowseDirection: ua.BrowseDirectionForward,
		ReferenceTypeID: ua.NewNumericNodeID(0, id.HierarchicalReferences),
		IncludeSubtypes: true,
		ResultMask:      uint32(ua.BrowseResultMaskAll),
	})
}

func (s *Session) follow(ctx context.Context, what *ua.BrowseDescription) ([]*ua.ReferenceDescription, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	res, err := s.client.Browse(ctx, &ua.BrowseRequest{RequestedMaxReferencesPerNode: referencesPerAnswer, NodesToBrowse: []*ua.BrowseDescription{what}})
	if err != nil {
		return nil, served(err, "browse "+s.Name(what.NodeID))
	}
	var references []*ua.ReferenceDescription
	seen := map[string]bool{}
	results := res.Results
	for {
		if len(results) != 1 || results[0] == nil {
			return nil, mes.Errorf(mes.CodeUnavailable, "browse %s: the server's answer has not one result", s.Name(what.NodeID))
		}
		if code := results[0].StatusCode; isBad(code) {
			return nil, browseFault(s.Name(what.NodeID), code)
		}
		for _, r := range results[0].References {
			if r == nil || r.NodeID == nil || r.NodeID.NodeID == nil || seen[string(placeOf(r))] {
				continue
			}
			seen[string(placeOf(r))] = true
			references = append(references, r)
		}
		point := results[0].ContinuationPoint
		if len(references) > s.most || len(references) == s.most && len(point) > 0 {
			s.release(point)
			return nil, mes.Errorf(mes.CodeTooLarge, "%s has more than %d nodes right below it", s.Name(what.NodeID), s.most)
		}
		if len(point) == 0 {
			return references, nil
		}
		next, err := s.client.BrowseNext(ctx, &ua.BrowseNextRequest{ContinuationPoints: [][]byte{point}})
		if err != nil {
			s.release(point)
			return nil, served(err, "browse "+s.Name(what.NodeID))
		}
		results = next.Results
	}
}

// release gives a continuation point back: servers have few for each session.
func (s *Session) release(point []byte) {
	if s.lost.Load() || len(point) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.timing.Close)
	defer cancel()
	_, _ = s.client.BrowseNext(ctx, &ua.BrowseNextRequest{ReleaseContinuationPoints: true, ContinuationPoints: [][]byte{point}})
}

func browseFault(node string, code ua.StatusCode) error {
	if code == ua.StatusBadNodeIDUnknown || code == ua.StatusBadNodeIDInvalid {
		return mes.Errorf(mes.CodeNotFound, "the server has no node %s (%s)", node, statusName(code))
	}
	return mes.Errorf(mes.CodeConflict, "%s can't be browsed: the server answers %s", node, meaning(code))
}

// describe reads what a list shows of nodes beside their names.
func (s *Session) describe(ctx context.Context, references []*ua.ReferenceDescription, first int) ([]mes.UANode, error) {
	namespaces := s.client.Namespaces()
	nodes := make([]mes.UANode, len(references))
	var reads []*ua.ReadValueID
	var variables []int
	for i, r := range references {
		nodes[i] = mes.UANode{
			NodeID: expandedName(r.NodeID, namespaces), Class: className(r.NodeClass),
			ReferenceType: standardName(r.ReferenceTypeID, namespaces), Place: mes.UAPlace{Index: first + i, Node: placeOf(r)},
		}
		if r.BrowseName != nil {
			nodes[i].BrowseName = r.BrowseName.Name
		}
		if r.DisplayName != nil {
			nodes[i].DisplayName = r.DisplayName.Text
		}
		if r.TypeDefinition != nil && r.TypeDefinition.NodeID != nil && r.TypeDefinition.NodeID.String() != "i=0" {
			nodes[i].TypeDefinition = standardName(r.TypeDefinition.NodeID, namespaces)
		}
		if r.NodeClass == ua.NodeClassVariable && r.NodeID.ServerIndex == 0 && r.NodeID.NamespaceURI == "" {
			n := r.NodeID.NodeID
			reads = append(reads, readOf(n, ua.AttributeIDDataType), readOf(n, ua.AttributeIDValueRank), readOf(n, ua.AttributeIDUserAccessLevel))
			variables = append(variables, i)
		}
	}
	values, err := s.read(ctx, reads)
	if err != nil {
		return nil, served(err, "read the types of variables")
	}
	for k, i := range variables {
		n, v := &nodes[i], values[3*k:3*k+3]
		n.ValueRank = rankOf(v[1])
		if t, ok := content(v[0]).(*ua.NodeID); ok {
			n.DataType = s.typeName(ctx, t)
		}
		access, told := content(v[2]).(uint8)
		n.Readable = !told || access&uint8(ua.AccessLevelTypeCurrentRead) != 0
		n.Writable = access&uint8(ua.AccessLevelTypeCurrentWrite) != 0
	}
	return nodes, nil
}

func rankOf(dv *ua.DataValue) int32 {
	if rank, ok := content(dv).(int32); ok {
		return rank
	}
	return rankAny
}
