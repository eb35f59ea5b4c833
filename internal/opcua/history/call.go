package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/opcua/link"
)

// maxDoublings bounds how often a page is asked again for more values: so many stand at
// one time of the source.
const maxDoublings = 8

// call is the reading of some spans, page by page.
type call struct {
	*Reader
	spans   []Span
	results []Result
	take    Take
	empty   map[int]int
	// cut are spans of which the server gave as many values as were asked for, and nothing
	// to go on with: some forget that there are more.
	cut []cutSpan
}

// cutSpan goes on from the last value that came.
type cutSpan struct {
	span int
	last time.Time
}

// page is a node of a call and where it goes on.
type page struct {
	span  int
	point []byte
}

// read asks for the spans of a part and for every page that follows.
func (c *call) read(ctx context.Context, part []int) error {
	from, to := c.spans[part[0]].From, c.spans[part[0]].To
	pages := make([]page, len(part))
	for k, i := range part {
		pages[k].span = i
		if s := c.spans[i]; s.From.Before(from) {
			from = s.From
		}
		if s := c.spans[i]; s.To.After(to) {
			to = s.To
		}
	}
	return c.pages(ctx, pages, from.Add(-Around), to.Add(Around), c.chunk())
}

func (c *call) pages(ctx context.Context, pages []page, from, to time.Time, chunk int) error {
	details := &ua.ReadRawModifiedDetails{NumValuesPerNode: uint32(chunk), StartTime: from, EndTime: to}
	for len(pages) > 0 {
		results, err := c.send(ctx, details, pages, false)
		if err != nil {
			c.release(ctx, details, pages)
			return err
		}
		var next []page
		for i, result := range results {
			more, err := c.taken(pages[i].span, result, chunk)
			if more {
				next = append(next, page{pages[i].span, result.ContinuationPoint})
			}
			if err != nil {
				c.release(ctx, details, append(next, rest(pages[i+1:], results[i+1:])...))
				return err
			}
		}
		if c.single {
			c.release(ctx, details, next)
			return nil
		}
		pages = next
	}
	return nil
}

// finish reads on where the server stopped without a word. What came at the same time as
// the last value comes again.
func (c *call) finish(ctx context.Context) error {
	for len(c.cut) > 0 {
		from := c.cut[0]
		c.cut = c.cut[1:]
		chunk := c.chunk()
		for doubled := 0; ; doubled++ {
			if err := c.pages(ctx, []page{{span: from.span}}, from.last, c.spans[from.span].To.Add(Around), chunk); err != nil {
				return err
			}
			n := len(c.cut)
			if n == 0 || c.cut[n-1].span != from.span || c.cut[n-1].last.After(from.last) {
				break
			}
			if c.cut = c.cut[:n-1]; doubled == maxDoublings {
				to := &c.results[from.span]
				to.Err, to.Passing = errors.New("the server's history does not go on"), false
				break
			}
			chunk *= 2
		}
	}
	return nil
}

// taken gives the values of a page, and tells whether another follows.
func (c *call) taken(span int, result *ua.HistoryReadResult, chunk int) (more bool, err error) {
	values, err := valuesOf(result)
	to := &c.results[span]
	if err != nil {
		to.Err, to.Passing = err, !isRefusal(err)
		return false, nil
	}
	var last time.Time
	for _, v := range values {
		if v == nil {
			continue
		}
		if at := v.SourceTimestamp; !at.IsZero() {
			last = at
			if to.First.IsZero() || at.Before(to.First) {
				to.First = at
			}
			to.Last = later(to.Last, at)
		}
		to.Values++
		if err := c.take(span, v); err != nil {
			return len(result.ContinuationPoint) > 0, err
		}
	}
	if c.single {
		return len(result.ContinuationPoint) > 0, nil
	}
	c.empty[span]++
	if len(values) > 0 {
		c.empty[span] = 0
	}
	more = len(result.ContinuationPoint) > 0
	isCut := !more && len(values) >= chunk && !last.IsZero()
	if isCut && to.Values > c.most() {
		to.Err = fmt.Errorf("the server's history does not end (%d values)", to.Values)
		return false, nil
	}
	if more && (c.empty[span] > emptyPages || to.Values > c.most()) {
		to.Err = fmt.Errorf("the server's history does not end (%d values)", to.Values)
		c.release(context.Background(), &ua.ReadRawModifiedDetails{}, []page{{span, result.ContinuationPoint}})
		return false, nil
	}
	if isCut {
		c.cut = append(c.cut, cutSpan{span, last})
	}
	return more, nil
}

// statusError is a status code of a node with its meaning.
type statusError ua.StatusCode

func (e statusError) Error() string { return link.StatusText(ua.StatusCode(e)) }

func (e statusError) Unwrap() error { return ua.StatusCode(e) }

// valuesOf are the values of a page. That there are none is no error (OPC 10000-11,
// 6.5.3.2), and what is uncertain as a whole is given all the same: each value has a status
// of its own.
func valuesOf(result *ua.HistoryReadResult) ([]*ua.DataValue, error) {
	if mostlyBad := result.StatusCode>>30 > 1; mostlyBad {
		if result.StatusCode == ua.StatusBadNoData || result.StatusCode == ua.StatusBadBoundNotFound {
			return nil, nil
		}
		return nil, statusError(result.StatusCode)
	}
	if result.HistoryData == nil || result.HistoryData.Value == nil {
		return nil, nil
	}
	data, ok := result.HistoryData.Value.(*ua.HistoryData)
	if !ok {
		return nil, fmt.Errorf("the server gave a %T as history", result.HistoryData.Value)
	}
	return data.DataValues, nil
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
func (c *call) release(ctx context.Context, details *ua.ReadRawModifiedDetails, pages []page) {
	open := slices.DeleteFunc(slices.Clone(pages), func(p page) bool { return len(p.point) == 0 })
	if len(open) == 0 || ctx.Err() != nil { // the end of the session does it as well
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = c.send(ctx, details, open, true)
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

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
