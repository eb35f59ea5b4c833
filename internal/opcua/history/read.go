package history

import (
	"cmp"
	"context"
	"errors"
	"math/bits"
	"slices"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/opcua/link"
)

// Bounds of one call, and of what a server may say.
const (
	// LeastChunk is the fewest values of one node in one answer.
	LeastChunk = 10
	// valuesPerCall and nodesPerCall bound one answer, which live values wait behind.
	valuesPerCall = 10_000
	nodesPerCall  = 50
	// emptyPages is how many pages without a value may follow one another, maxValues how
	// many values a span has: a server that goes on for ever is given up.
	emptyPages = 10
	maxValues  = 10_000_000
	// Around is by how much more than a span is read: some servers leave its ends out, or
	// know milliseconds only.
	Around = 2 * time.Millisecond
)

// Span is a part of a node's history, From and To included.
type Span struct {
	NodeID   *ua.NodeID
	From, To time.Time
}

// Result is what became of a span.
type Result struct {
	// First and Last are the source times of the oldest and the newest value; zero if there
	// was none.
	First, Last time.Time
	// Values counts them, those among them that came twice.
	Values int
	// Err is why the server gives no history of the node, or no more; nil if it gave all
	// that it has.
	Err error
	// Passing means that Err may be gone at another try.
	Passing bool
}

// Client sends requests.
type Client interface {
	Send(ctx context.Context, req ua.Request, h func(ua.Response) error) error
}

// Reader reads history by a session.
type Reader struct {
	Client Client
	Limits link.Limits
	// Chunk is how many values of one node an answer has at most.
	Chunk int
	// Share divides what is asked in one call: 1, or more for a server that found it too
	// much.
	Share int
	// Asking are the spans of the call at which Read failed.
	Asking []int
	// single: one page of each span is enough.
	single bool
	// limit is how many values a span has at most; 0 is maxValues.
	limit int
}

func (r *Reader) most() int { return cmp.Or(r.limit, maxValues) }

// Take is given the values of spans.
type Take func(span int, v *ua.DataValue) error

// Read gives the values of the spans to take, those of one span oldest first; some come
// twice, and some are of shortly before or after the span. It returns a result for each
// span, and an error if the reading ended before all was read.
func (r *Reader) Read(ctx context.Context, spans []Span, take Take) ([]Result, error) {
	results := make([]Result, len(spans))
	for _, group := range groups(spans) {
		if err := r.readGroup(ctx, spans, group, results, take); err != nil {
			return results, err
		}
	}
	return results, nil
}

// Reaches tells of each span whether the server has a value of it; false where it says
// nothing.
func (r *Reader) Reaches(ctx context.Context, spans []Span) ([]bool, error) {
	reaches := make([]bool, len(spans))
	one := *r
	one.Chunk, one.single = 1, true
	_, err := one.Read(ctx, spans, func(span int, v *ua.DataValue) error {
		reaches[span] = reaches[span] || !v.SourceTimestamp.After(spans[span].To)
		return nil
	})
	return reaches, err
}

// readGroup reads spans of about one length, in parts that the server takes.
func (r *Reader) readGroup(ctx context.Context, spans []Span, group []int, results []Result, take Take) error {
	for len(group) > 0 {
		part := group[:min(r.nodes(), len(group))]
		c := &call{Reader: r, spans: spans, results: results, take: take, empty: map[int]int{}}
		r.Asking = part
		err := c.read(ctx, part)
		switch {
		case err == nil:
			if err := c.finish(ctx); err != nil {
				return err
			}
			r.Asking = nil
		case isRefusal(err):
			for _, i := range part {
				results[i].Err, results[i].Passing = err, false
			}
			r.Asking = nil
		case isTooMuch(err) && (len(part) > 1 || r.chunk() > LeastChunk) && ctx.Err() == nil:
			r.Share = max(r.Share, 1) * 2
			continue
		default:
			return err
		}
		group = group[len(part):]
	}
	return nil
}

// chunk is how many values of a node an answer has.
func (r *Reader) chunk() int {
	if r.Chunk < LeastChunk { // of one value, to see whether there is any
		return r.Chunk
	}
	return max(r.Chunk/max(r.Share, 1), LeastChunk)
}

// nodes is of how many nodes.
func (r *Reader) nodes() int {
	n := min(nodesPerCall, valuesPerCall/max(r.Chunk, 1)) / max(r.Share, 1)
	return max(min(n, r.Limits.NodesPerHistoryReadData, r.Limits.HistoryContinuationPoints), 1)
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
			slices.SortStableFunc(g, func(a, b int) int { return spans[a].From.Compare(spans[b].From) })
			list = append(list, g)
		}
	}
	return list
}

// isRefusal tells whether the server does not read history at all, or not for this user.
func isRefusal(err error) bool {
	for _, code := range []ua.StatusCode{
		ua.StatusBadServiceUnsupported, ua.StatusBadHistoryOperationUnsupported, ua.StatusBadHistoryOperationInvalid,
		ua.StatusBadUserAccessDenied, ua.StatusBadNotReadable, ua.StatusBadNotSupported, ua.StatusBadNotImplemented,
		ua.StatusBadNodeIDUnknown, ua.StatusBadNodeIDInvalid, ua.StatusBadAttributeIDInvalid,
		ua.StatusBadTimestampNotSupported, ua.StatusBadInvalidArgument, ua.StatusBadDataEncodingUnsupported,
	} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// isTooMuch tells whether less might be answered.
func isTooMuch(err error) bool {
	for _, code := range []ua.StatusCode{
		ua.StatusBadTooManyOperations, ua.StatusBadEncodingLimitsExceeded, ua.StatusBadRequestTooLarge,
		ua.StatusBadResponseTooLarge, ua.StatusBadTCPMessageTooLarge, ua.StatusBadTimeout, ua.StatusBadOutOfMemory,
		ua.StatusBadNoContinuationPoints,
	} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}
