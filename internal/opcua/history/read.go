package history

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/opcua/link"
)

// Bounds of one call, and of what a server may say.
const (
	valuesPerNode = 1000
	nodesPerCall  = 50
	// emptyPages is how many pages without a value may follow one another, maxValues how
	// many values a span has: a server that goes on for ever is given up.
	emptyPages = 10
	maxValues  = 10_000_000
	// before the begin of a span is read too, for servers that leave the begin itself out.
	before = time.Millisecond
)

// Span is a part of a node's history, From and To included.
type Span struct {
	NodeID   *ua.NodeID
	From, To time.Time
}

// Result is what became of a span.
type Result struct {
	// First is the time of the oldest value; zero if there was none.
	First time.Time
	// Values counts them.
	Values int
	// Err is why the server gives no history of the node; nil if it does.
	Err error
}

// Client sends requests.
type Client interface {
	Send(ctx context.Context, req ua.Request, h func(ua.Response) error) error
}

// Reader reads history by a session.
type Reader struct {
	Client Client
	Limits link.Limits
}

// Read gives the values of the spans to take, those of one span oldest first. It returns a
// result for each span, and an error if the reading ended before all was read.
func (r Reader) Read(ctx context.Context, spans []Span, take func(span int, v *ua.DataValue) error) ([]Result, error) {
	results := make([]Result, len(spans))
	spans = slices.Clone(spans)
	for _, group := range groups(spans) {
		for part := range slices.Chunk(group, min(nodesPerCall, r.Limits.NodesPerHistoryReadData, r.Limits.HistoryContinuationPoints)) {
			if err := r.read(ctx, part, spans, results, take); err != nil {
				return results, err
			}
		}
	}
	return results, nil
}

// read reads some spans. A server may give as many values as it was asked for and say
// nothing of those that are left: it is asked for what follows the last of them.
func (r Reader) read(ctx context.Context, part []int, spans []Span, results []Result, take func(int, *ua.DataValue) error) error {
	for len(part) > 0 {
		c := &call{Reader: r, spans: spans, results: results, take: take, empty: map[int]int{}, cut: map[int]time.Time{}}
		err := c.read(ctx, part)
		if isUnsupported(err) {
			for _, i := range part {
				results[i].Err = err
			}
			return nil
		}
		if err != nil {
			return err
		}
		part = nil
		for i, last := range c.cut {
			if last.After(spans[i].From) {
				spans[i].From = last
				part = append(part, i)
			}
		}
		slices.Sort(part)
	}
	return nil
}

// isUnsupported tells whether the server has no such service at all.
func isUnsupported(err error) bool {
	return errors.Is(err, ua.StatusBadServiceUnsupported) || errors.Is(err, ua.StatusBadHistoryOperationUnsupported) ||
		errors.Is(err, ua.StatusBadNotImplemented) || errors.Is(err, ua.StatusBadNotSupported)
}

// groups are the spans of about one length: a call has one begin and one end for all of
// its nodes, and a node that changes once a day is not to have others read for a day.
func groups(spans []Span) [][]int {
	byLength := map[int][]int{}
	for i, s := range spans {
		length := bits.Len64(uint64(max(s.To.Sub(s.From), 0) / time.Second))
		byLength[length] = append(byLength[length], i)
	}
	var list [][]int
	for length := range 64 {
		if g := byLength[length]; g != nil {
			list = append(list, g)
		}
	}
	return list
}

// call is the reading of some spans, page by page.
type call struct {
	Reader
	spans   []Span
	results []Result
	take    func(int, *ua.DataValue) error
	empty   map[int]int
	// cut is the time of the last value of spans whose values ended where they were as many
	// as were asked for.
	cut map[int]time.Time
}

// page is a node of a call and where it goes on.
type page struct {
	span  int
	point []byte
}

func (c *call) read(ctx context.Context, part []int) error {
	details := &ua.ReadRawModifiedDetails{NumValuesPerNode: valuesPerNode, StartTime: c.spans[part[0]].From, EndTime: c.spans[part[0]].To}
	var pages []page
	for _, i := range part {
		pages = append(pages, page{span: i})
		if s := c.spans[i]; s.From.Before(details.StartTime) {
			details.StartTime = s.From
		}
		if s := c.spans[i]; s.To.After(details.EndTime) {
			details.EndTime = s.To
		}
	}
	details.StartTime = details.StartTime.Add(-before)
	details.EndTime = details.EndTime.Add(before)
	for len(pages) > 0 {
		results, err := c.send(ctx, details, pages, false)
		if err != nil {
			return err
		}
		var next []page
		for i, result := range results {
			more, err := c.taken(pages[i].span, result)
			if more {
				next = append(next, page{pages[i].span, result.ContinuationPoint})
			}
			if err != nil {
				c.release(ctx, details, append(next, rest(pages[i+1:], results[i+1:])...))
				return err
			}
		}
		pages = next
	}
	return nil
}

// taken gives the values of a page, and tells whether another follows.
func (c *call) taken(span int, result *ua.HistoryReadResult) (more bool, err error) {
	to := &c.results[span]
	if result.StatusCode != ua.StatusOK && result.StatusCode != ua.StatusGoodNoData && result.StatusCode != ua.StatusGoodMoreData {
		if result.StatusCode != ua.StatusBadNoData {
			to.Err = errors.New(link.StatusText(result.StatusCode))
		}
		return false, nil
	}
	var values []*ua.DataValue
	if result.HistoryData != nil {
		data, ok := result.HistoryData.Value.(*ua.HistoryData)
		if !ok {
			to.Err = fmt.Errorf("the server gave a %T as history", result.HistoryData.Value)
			return false, nil
		}
		values = data.DataValues
	}
	for _, v := range values {
		if v == nil {
			continue
		}
		if to.First.IsZero() || v.SourceTimestamp.Before(to.First) {
			to.First = v.SourceTimestamp
		}
		to.Values++
		if err := c.take(span, v); err != nil {
			return len(result.ContinuationPoint) > 0, err
		}
	}
	c.empty[span]++
	if len(values) > 0 {
		c.empty[span] = 0
	}
	more = len(result.ContinuationPoint) > 0
	if n := len(values); !more && n >= valuesPerNode && values[n-1] != nil {
		c.cut[span] = values[n-1].SourceTimestamp
	}
	if more && (c.empty[span] > emptyPages || to.Values > maxValues) {
		return true, fmt.Errorf("the server's history of node %s does not end (%d values)", c.spans[span].NodeID, to.Values)
	}
	return more, nil
}

// rest are the pages of a call that go on.
func rest(pages []page, results []*ua.HistoryReadResult) []page {
	var list []page
	for i, r := range results {
		if len(r.ContinuationPoint) > 0 {
			list = append(list, page{pages[i].span, r.ContinuationPoint})
		}
	}
	return list
}

// release ends what the server keeps open of pages that are not wanted any more.
func (c *call) release(ctx context.Context, details *ua.ReadRawModifiedDetails, open []page) {
	if len(open) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = c.send(ctx, details, open, true) // the end of the session does it otherwise
}

func (c *call) send(ctx context.Context, details *ua.ReadRawModifiedDetails, pages []page, release bool) ([]*ua.HistoryReadResult, error) {
	req := &ua.HistoryReadRequest{
		TimestampsToReturn:        ua.TimestampsToReturnBoth,
		ReleaseContinuationPoints: release,
		HistoryReadDetails: &ua.ExtensionObject{
			TypeID:       ua.NewFourByteExpandedNodeID(0, id.ReadRawModifiedDetails_Encoding_DefaultBinary),
			EncodingMask: ua.ExtensionObjectBinary,
			Value:        details,
		},
	}
	for _, p := range pages {
		req.NodesToRead = append(req.NodesToRead, &ua.HistoryReadValueID{
			NodeID: c.spans[p.span].NodeID, DataEncoding: &ua.QualifiedName{}, ContinuationPoint: p.point,
		})
	}
	var res *ua.HistoryReadResponse
	err := c.Client.Send(ctx, req, func(r ua.Response) error {
		var ok bool
		if res, ok = r.(*ua.HistoryReadResponse); !ok {
			return fmt.Errorf("the server answered with a %T", r)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("read history: %w", err)
	case release:
		return nil, nil
	case len(res.Results) != len(pages) || slices.Contains(res.Results, nil):
		return nil, fmt.Errorf("the server gave %d results for the history of %d nodes", len(res.Results), len(pages))
	}
	return res.Results, nil
}
