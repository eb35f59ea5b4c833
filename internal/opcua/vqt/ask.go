package vqt

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gopcua/opcua/ua"
)

// Server is a session with a server; *opcua.Client is one.
type Server interface {
	Send(ctx context.Context, req ua.Request, h func(ua.Response) error) error
}

// Within is a server that takes no more operations in a call than its limits say: most
// libraries give a session up at a call that has more.
type Within struct {
	Server
	Reads, Browses int
}

// bound is how many operations a call to s has: size, or less where its limits say so.
func bound(s Server, size int, of func(Within) int) int {
	if w, ok := s.(Within); ok && of(w) > 0 {
		return min(size, of(w))
	}
	return size
}

// Bounds of the operations of a service call; servers have limits of their own. Small
// controllers take long to browse.
const (
	maxReads   = 500
	maxBrowses = 100
)

// inParts calls with at most size operations, or with fewer where the server says that
// these are too many.
func inParts[T any](all []T, size int, call func([]T) error) error {
	for len(all) > 0 {
		part := all[:min(size, len(all))]
		err := call(part)
		if errors.Is(err, ua.StatusBadTooManyOperations) && len(part) > 1 {
			size = len(part) / 2
			continue
		}
		if err != nil {
			return err
		}
		all = all[len(part):]
	}
	return nil
}

// anyAge asks for the value that the server has (OPC 10000-4, 5.11.2), not for a new one,
// which would give it another time.
const anyAge = math.MaxInt32

// read reads attributes, with both times. There is a result for each.
func read(ctx context.Context, s Server, what []*ua.ReadValueID) ([]*ua.DataValue, error) {
	var all []*ua.DataValue
	err := inParts(what, bound(s, maxReads, func(w Within) int { return w.Reads }), func(part []*ua.ReadValueID) error {
		req := &ua.ReadRequest{MaxAge: anyAge, TimestampsToReturn: ua.TimestampsToReturnBoth, NodesToRead: part}
		return s.Send(ctx, req, func(r ua.Response) error {
			res, ok := r.(*ua.ReadResponse)
			if !ok || len(res.Results) != len(part) {
				return fmt.Errorf("the server answered a read of %d attributes with a %T that does not fit", len(part), r)
			}
			all = append(all, res.Results...)
			return nil
		})
	})
	return all, err
}

func attribute(node *ua.NodeID, a ua.AttributeID) *ua.ReadValueID {
	return &ua.ReadValueID{NodeID: node, AttributeID: a, DataEncoding: &ua.QualifiedName{}}
}

// ReadValues reads the values of variables, with both times. There is a result for each.
func ReadValues(ctx context.Context, s Server, variables ...*ua.NodeID) ([]*ua.DataValue, error) {
	var ask []*ua.ReadValueID
	for _, v := range variables {
		ask = append(ask, attribute(v, ua.AttributeIDValue))
	}
	return read(ctx, s, ask)
}

// good returns the value of an attribute that the server gave; nil if it did not.
func good(dv *ua.DataValue) any {
	if dv == nil || dv.Value == nil || dv.Has(ua.DataValueStatusCode) && dv.Status != ua.StatusOK {
		return nil
	}
	return dv.Value.Value()
}

// browse follows references of one kind from each node. What a server does not tell is
// left out; there is a result for each node.
func browse(ctx context.Context, s Server, nodes []*ua.NodeID, reference uint32, direction ua.BrowseDirection) ([][]*ua.ReferenceDescription, error) {
	var all [][]*ua.ReferenceDescription
	err := inParts(nodes, bound(s, maxBrowses, func(w Within) int { return w.Browses }), func(part []*ua.NodeID) error {
		req := &ua.BrowseRequest{View: &ua.ViewDescription{ViewID: ua.NewTwoByteNodeID(0)}}
		for _, n := range part {
			req.NodesToBrowse = append(req.NodesToBrowse, &ua.BrowseDescription{
				NodeID: n, BrowseDirection: direction, ReferenceTypeID: ua.NewNumericNodeID(0, reference),
				IncludeSubtypes: true, ResultMask: uint32(ua.BrowseResultMaskAll),
			})
		}
		return s.Send(ctx, req, func(r ua.Response) error {
			res, ok := r.(*ua.BrowseResponse)
			if !ok || len(res.Results) != len(part) {
				return fmt.Errorf("the server answered a browse of %d nodes with a %T that does not fit", len(part), r)
			}
			for _, one := range res.Results {
				var found []*ua.ReferenceDescription
				if one != nil && one.StatusCode == ua.StatusOK {
					found = one.References
				}
				all = append(all, found)
			}
			return nil
		})
	})
	return all, err
}

// target returns the node that a reference leads to; nil if it is on another server or
// not well-formed.
func target(r *ua.ReferenceDescription) *ua.NodeID {
	if r == nil || r.NodeID == nil || r.NodeID.NodeID == nil || r.NodeID.ServerIndex != 0 || r.NodeID.NamespaceURI != "" {
		return nil
	}
	return r.NodeID.NodeID
}
