package address

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// Client is what is needed of a session.
type Client interface {
	Browse(ctx context.Context, req *ua.BrowseRequest) (*ua.BrowseResponse, error)
	BrowseNext(ctx context.Context, req *ua.BrowseNextRequest) (*ua.BrowseNextResponse, error)
	Read(ctx context.Context, req *ua.ReadRequest) (*ua.ReadResponse, error)
	Send(ctx context.Context, req ua.Request, h func(ua.Response) error) error
}

// Server is what is known of a server besides its address space: how many operations it
// takes in one call (OPC 10000-5, 6.3.11), and whether it translates browse paths. It
// outlives sessions, since the library (gopcua 0.9) ends a session at the first service
// that the server refuses as a whole: what is learnt is right the next time. The zero
// value knows nothing.
type Server struct {
	mu                      sync.Mutex
	asked                   bool
	browse, translate, read int // 0 is what is not known
	noTranslate             bool
	learnt                  int
}

// mostPerCall bounds a call where the server says nothing, or allows more than is sensible.
const mostPerCall = 500

// Learnt counts what was learnt by a service that the server refused.
func (s *Server) Learnt() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.learnt
}

func (s *Server) perCall(limit *int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *limit <= 0 || *limit > mostPerCall {
		return mostPerCall
	}
	return *limit
}

func (s *Server) learn(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.learnt++
	change()
}

func (s *Server) translates() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.noTranslate
}

// Ask reads the server's limits, the first time. One that does not tell them has none.
func (s *Server) Ask(ctx context.Context, c Client) error {
	s.mu.Lock()
	asked := s.asked
	s.mu.Unlock()
	if asked {
		return nil
	}
	nodes := []struct {
		id   uint32
		into *int
	}{
		{id.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse, &s.browse},
		{id.Server_ServerCapabilities_OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIDs, &s.translate},
		{id.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead, &s.read},
	}
	var reads []*ua.ReadValueID
	for _, n := range nodes {
		reads = append(reads, readOf(ua.NewNumericNodeID(0, n.id), ua.AttributeIDValue))
	}
	values, err := s.readAll(ctx, c, reads)
	if err != nil {
		return fmt.Errorf("read the server's limits: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = true
	for i, n := range nodes {
		if v, ok := valueOf(values[i]).(uint32); ok && v <= 1<<30 && *n.into == 0 {
			*n.into = int(v)
		}
	}
	return nil
}

func readOf(node *ua.NodeID, attribute ua.AttributeID) *ua.ReadValueID {
	return &ua.ReadValueID{NodeID: node, AttributeID: attribute, DataEncoding: &ua.QualifiedName{}}
}

// valueOf is nil where there is no value.
func valueOf(dv *ua.DataValue) any {
	if dv == nil || dv.Value == nil {
		return nil
	}
	return dv.Value.Value()
}

// readAll reads in calls of as many nodes as the server takes. There is a result for each.
func (s *Server) readAll(ctx context.Context, c Client, reads []*ua.ReadValueID) ([]*ua.DataValue, error) {
	return inBatches(s, &s.read, reads, func(part []*ua.ReadValueID) ([]*ua.DataValue, error) {
		res, err := c.Read(ctx, &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnNeither, NodesToRead: part})
		if err != nil {
			return nil, err
		}
		return res.Results, nil
	})
}

// inBatches calls with at most limit items, and with fewer where the server says that these
// are too many. There is a result for each item.
func inBatches[T, R any](s *Server, limit *int, items []T, call func([]T) ([]R, error)) ([]R, error) {
	size := s.perCall(limit)
	all := make([]R, 0, len(items))
	for len(items) > 0 {
		part := items[:min(size, len(items))]
		results, err := call(part)
		if tooMuch(err) && len(part) > 1 {
			size = len(part) / 2
			s.learn(func() { *limit = size })
			continue
		}
		if err != nil {
			return nil, err
		}
		if len(results) != len(part) {
			return nil, fmt.Errorf("the server gave %d results for %d items", len(results), len(part))
		}
		all = append(all, results...)
		items = items[len(part):]
	}
	return all, nil
}

// tooMuch tells whether a smaller call may do.
func tooMuch(err error) bool {
	return errors.Is(err, ua.StatusBadTooManyOperations) || errors.Is(err, ua.StatusBadResponseTooLarge) ||
		errors.Is(err, ua.StatusBadEncodingLimitsExceeded)
}

// translatePaths calls TranslateBrowsePathsToNodeIds (OPC 10000-4, 5.9.4).
func (s *Server) translatePaths(ctx context.Context, c Client, paths []*ua.BrowsePath) ([]*ua.BrowsePathResult, error) {
	return inBatches(s, &s.translate, paths, func(part []*ua.BrowsePath) ([]*ua.BrowsePathResult, error) {
		var res *ua.TranslateBrowsePathsToNodeIDsResponse
		err := c.Send(ctx, &ua.TranslateBrowsePathsToNodeIDsRequest{BrowsePaths: part}, func(r ua.Response) error {
			var ok bool
			if res, ok = r.(*ua.TranslateBrowsePathsToNodeIDsResponse); !ok {
				return fmt.Errorf("the server answered with a %T", r)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		return res.Results, nil
	})
}

// browseAll reads the references of nodes, all pages of them, in the order of the requests.
// A node that can't be browsed has none, and its status. A server keeps few continuation
// points: nodes for which it had none left are asked for again, alone.
func (s *Server) browseAll(ctx context.Context, c Client, requests []*ua.BrowseDescription, room int) ([]browsed, error) {
	return inBatches(s, &s.browse, requests, func(part []*ua.BrowseDescription) ([]browsed, error) {
		all, err := browseOnce(ctx, c, part, room)
		for i := range all {
			if err == nil && all[i].status == ua.StatusBadNoContinuationPoints && len(part) > 1 {
				var one []browsed
				if one, err = browseOnce(ctx, c, part[i:i+1], room); err == nil {
					all[i] = one[0]
				}
			}
		}
		return all, err
	})
}

func browseOnce(ctx context.Context, c Client, part []*ua.BrowseDescription, room int) ([]browsed, error) {
	res, err := c.Browse(ctx, &ua.BrowseRequest{
		View:          &ua.ViewDescription{ViewID: ua.NewTwoByteNodeID(0)},
		NodesToBrowse: part,
	})
	if err != nil {
		return nil, err
	}
	if len(res.Results) != len(part) {
		return nil, fmt.Errorf("the server gave %d results for %d nodes", len(res.Results), len(part))
	}
	all := make([]browsed, len(res.Results))
	for i, r := range res.Results {
		if r == nil {
			return nil, errors.New("the server left a result out")
		}
		if all[i], err = pages(ctx, c, r, room); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// browsed are the references of one node.
type browsed struct {
	refs   []*ua.ReferenceDescription
	status ua.StatusCode
}

// emptyPages is how many answers without a reference may follow one another: a server that
// goes on so for ever is given up.
const emptyPages = 10

// pages goes on until the server has no more, or room is used up.
func pages(ctx context.Context, c Client, r *ua.BrowseResult, room int) (browsed, error) {
	var b browsed
	for empty := 0; ; {
		if r.StatusCode != ua.StatusOK {
			b.status = r.StatusCode
			return b, nil
		}
		for _, ref := range r.References {
			if ref != nil && ref.NodeID != nil && ref.NodeID.NodeID != nil && ref.BrowseName != nil {
				b.refs = append(b.refs, ref)
			}
		}
		if len(r.ContinuationPoint) == 0 {
			return b, nil
		}
		if empty++; len(r.References) > 0 {
			empty = 0
		}
		release := len(b.refs) > room || empty > emptyPages
		res, err := c.BrowseNext(ctx, &ua.BrowseNextRequest{ReleaseContinuationPoints: release, ContinuationPoints: [][]byte{r.ContinuationPoint}})
		if err != nil || release {
			return b, err
		}
		if len(res.Results) != 1 || res.Results[0] == nil {
			return b, fmt.Errorf("the server's answer to BrowseNext has not one result")
		}
		r = res.Results[0]
	}
}
