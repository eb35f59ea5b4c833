package address

import (
	"context"
	"fmt"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// space is an address space in memory that answers as a server does, with small pages.
type space struct {
	refs    map[string][]*ua.ReferenceDescription
	values  map[string]any
	types   map[string]*ua.NodeID
	classes map[string]ua.NodeClass
	// page is how many references are in one answer, points how many continuation points
	// the server keeps; most is how many operations it takes.
	page, points, most int
	noTranslate        bool
	open               map[string][]*ua.ReferenceDescription
	calls              map[string]int
}

func newSpace() *space {
	return &space{
		refs: map[string][]*ua.ReferenceDescription{}, values: map[string]any{}, types: map[string]*ua.NodeID{},
		classes: map[string]ua.NodeClass{Root().String(): ua.NodeClassObject}, page: 3, points: 1, most: 4,
		open: map[string][]*ua.ReferenceDescription{}, calls: map[string]int{},
	}
}

// hierarchy are the subtypes of reference types that the tests use.
var hierarchy = map[uint32][]uint32{
	id.HierarchicalReferences: {id.Organizes, id.HasComponent, id.HasProperty, 9000},
	id.Aggregates:             {id.HasComponent, id.HasProperty},
	id.References:             {id.Organizes, id.HasComponent, id.HasProperty, 9000},
}

func (s *space) refer(from, to *ua.NodeID, reference uint32, ns uint16, name string, class ua.NodeClass, typ *ua.NodeID) {
	s.classes[to.String()] = class
	var definition *ua.ExpandedNodeID
	if typ != nil {
		definition = &ua.ExpandedNodeID{NodeID: typ}
	}
	s.refs[from.String()] = append(s.refs[from.String()], &ua.ReferenceDescription{
		ReferenceTypeID: ua.NewNumericNodeID(0, reference), IsForward: true, NodeID: &ua.ExpandedNodeID{NodeID: to},
		BrowseName: &ua.QualifiedName{NamespaceIndex: ns, Name: name}, NodeClass: class, TypeDefinition: definition,
	})
}

// object adds an object, variable a variable, both with the node id ns=NS;s=ID.
func (s *space) object(from *ua.NodeID, ns uint16, key, name string) *ua.NodeID {
	n := ua.NewStringNodeID(ns, key)
	s.refer(from, n, id.Organizes, ns, name, ua.NodeClassObject, nil)
	return n
}

func (s *space) variable(from *ua.NodeID, ns uint16, key, name string) *ua.NodeID {
	n := ua.NewStringNodeID(ns, key)
	s.refer(from, n, id.HasComponent, ns, name, ua.NodeClassVariable, nil)
	return n
}

func (s *space) find(node, reference *ua.NodeID, subtypes bool) []*ua.ReferenceDescription {
	var list []*ua.ReferenceDescription
	for _, r := range s.refs[node.String()] {
		ok := r.ReferenceTypeID.IntID() == reference.IntID()
		for _, sub := range hierarchy[reference.IntID()] {
			ok = ok || subtypes && r.ReferenceTypeID.IntID() == sub
		}
		if ok {
			list = append(list, r)
		}
	}
	return list
}

func (s *space) Browse(_ context.Context, req *ua.BrowseRequest) (*ua.BrowseResponse, error) {
	s.calls["browse"]++
	if len(req.NodesToBrowse) > s.most {
		return nil, ua.StatusBadTooManyOperations
	}
	res := &ua.BrowseResponse{}
	for _, d := range req.NodesToBrowse {
		var list []*ua.ReferenceDescription
		for _, r := range s.find(d.NodeID, d.ReferenceTypeID, d.IncludeSubtypes) {
			if d.NodeClassMask&uint32(r.NodeClass) != 0 {
				list = append(list, r)
			}
		}
		res.Results = append(res.Results, s.paged(list))
	}
	return res, nil
}

func (s *space) paged(list []*ua.ReferenceDescription) *ua.BrowseResult {
	if len(list) <= s.page {
		return &ua.BrowseResult{References: list}
	}
	if len(s.open) >= s.points {
		return &ua.BrowseResult{StatusCode: ua.StatusBadNoContinuationPoints}
	}
	key := fmt.Sprint(s.calls["browse"], len(list))
	s.open[key] = list[s.page:]
	return &ua.BrowseResult{References: list[:s.page], ContinuationPoint: []byte(key)}
}

func (s *space) BrowseNext(_ context.Context, req *ua.BrowseNextRequest) (*ua.BrowseNextResponse, error) {
	key := string(req.ContinuationPoints[0])
	rest, ok := s.open[key]
	if !ok {
		return &ua.BrowseNextResponse{Results: []*ua.BrowseResult{{StatusCode: ua.StatusBadContinuationPointInvalid}}}, nil
	}
	delete(s.open, key)
	if req.ReleaseContinuationPoints {
		return &ua.BrowseNextResponse{}, nil
	}
	return &ua.BrowseNextResponse{Results: []*ua.BrowseResult{s.paged(rest)}}, nil
}

func (s *space) Read(_ context.Context, req *ua.ReadRequest) (*ua.ReadResponse, error) {
	if len(req.NodesToRead) > s.most {
		return nil, ua.StatusBadTooManyOperations
	}
	res := &ua.ReadResponse{}
	for _, r := range req.NodesToRead {
		dv := &ua.DataValue{}
		switch key := r.NodeID.String(); r.AttributeID {
		case ua.AttributeIDNodeClass:
			dv.Value = ua.MustVariant(int32(s.classes[key]))
		case ua.AttributeIDDataType:
			if t := s.types[key]; t != nil {
				dv.Value = ua.MustVariant(t)
			}
		case ua.AttributeIDValue:
			if v := s.values[key]; v != nil {
				dv.Value = ua.MustVariant(v)
			}
		}
		dv.UpdateMask()
		res.Results = append(res.Results, dv)
	}
	return res, nil
}

func (s *space) Send(_ context.Context, req ua.Request, h func(ua.Response) error) error {
	r, ok := req.(*ua.TranslateBrowsePathsToNodeIDsRequest)
	if !ok || s.noTranslate {
		return ua.StatusBadServiceUnsupported
	}
	s.calls["translate"]++
	if len(r.BrowsePaths) > s.most {
		return ua.StatusBadTooManyOperations
	}
	res := &ua.TranslateBrowsePathsToNodeIDsResponse{}
	for _, p := range r.BrowsePaths {
		at := []*ua.NodeID{p.StartingNode}
		for _, e := range p.RelativePath.Elements {
			var next []*ua.NodeID
			for _, n := range at {
				for _, ref := range s.find(n, e.ReferenceTypeID, e.IncludeSubtypes) {
					if ref.BrowseName.Name == e.TargetName.Name && ref.BrowseName.NamespaceIndex == e.TargetName.NamespaceIndex {
						next = append(next, ref.NodeID.NodeID)
					}
				}
			}
			at = next
		}
		result := &ua.BrowsePathResult{StatusCode: ua.StatusBadNoMatch}
		for _, n := range at {
			result.StatusCode = ua.StatusOK
			result.Targets = append(result.Targets, &ua.BrowsePathTarget{TargetID: &ua.ExpandedNodeID{NodeID: n}, RemainingPathIndex: 1<<32 - 1})
		}
		res.Results = append(res.Results, result)
	}
	return h(res)
}
