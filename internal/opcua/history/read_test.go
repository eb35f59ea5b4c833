package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/opcua/link"
)

var day = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// fake is a server's history with faults that no server at hand has.
type fake struct {
	// times of the values of each node, ascending.
	nodes map[uint32][]time.Time
	// forgets: it gives no continuation point where there is more.
	forgets bool
	// refuse answers for a call, or with nil not; answer for a node.
	refuse func(*ua.HistoryReadRequest) error
	answer func(node uint32) *ua.HistoryReadResult

	open  map[string]bool
	calls []*ua.HistoryReadRequest
	most  int // values of one answer
}

func (f *fake) Send(ctx context.Context, req ua.Request, h func(ua.Response) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := req.(*ua.HistoryReadRequest)
	f.calls = append(f.calls, r)
	if f.refuse != nil {
		if err := f.refuse(r); err != nil {
			return err
		}
	}
	res := &ua.HistoryReadResponse{}
	total := 0
	for _, n := range r.NodesToRead {
		one := f.read(r, n)
		if values, err := valuesOf(one); err == nil {
			total += len(values)
		}
		res.Results = append(res.Results, one)
	}
	f.most = max(f.most, total)
	return h(res)
}

func (f *fake) read(r *ua.HistoryReadRequest, n *ua.HistoryReadValueID) *ua.HistoryReadResult {
	d := r.HistoryReadDetails.Value.(*ua.ReadRawModifiedDetails)
	from := d.StartTime
	if p := string(n.ContinuationPoint); p != "" {
		delete(f.open, p)
		if r.ReleaseContinuationPoints {
			return &ua.HistoryReadResult{}
		}
		var micros int64
		if _, err := fmt.Sscanf(p, "%d/", &micros); err != nil {
			panic(err)
		}
		from = time.UnixMicro(micros)
	}
	if f.answer != nil {
		if a := f.answer(n.NodeID.IntID()); a != nil {
			return a
		}
	}
	var values []*ua.DataValue
	result := &ua.HistoryReadResult{}
	for _, at := range f.nodes[n.NodeID.IntID()] {
		if at.Before(from) || at.After(d.EndTime) {
			continue
		}
		if len(values) == int(d.NumValuesPerNode) {
			if !f.forgets {
				p := fmt.Sprintf("%d/%s", at.UnixMicro(), n.NodeID)
				result.ContinuationPoint = []byte(p)
				f.open[p] = true
			}
			break
		}
		values = append(values, value(at))
	}
	if len(values) == 0 {
		result.StatusCode = ua.StatusGoodNoData
		return result
	}
	result.HistoryData = &ua.ExtensionObject{Value: &ua.HistoryData{DataValues: values}}
	return result
}

func value(at time.Time) *ua.DataValue {
	v := &ua.DataValue{Value: ua.MustVariant(at.UnixMicro()), SourceTimestamp: at}
	v.UpdateMask()
	return v
}

func every(n int, step time.Duration) []time.Time {
	var list []time.Time
	for i := range n {
		list = append(list, day.Add(time.Duration(i)*step))
	}
	return list
}

func newFake(nodes map[uint32][]time.Time) *fake {
	return &fake{nodes: nodes, open: map[string]bool{}}
}

func spansOf(n int, to time.Duration) []Span {
	var spans []Span
	for i := range n {
		spans = append(spans, Span{NodeID: ua.NewNumericNodeID(1, uint32(i+1)), From: day, To: day.Add(to)})
	}
	return spans
}

// reading collects the times that came of each span.
func reading(got map[int][]time.Time) Take {
	return func(span int, v *ua.DataValue) error {
		got[span] = append(got[span], v.SourceTimestamp)
		return nil
	}
}

// expectAll fails unless every value came, the first time in order.
func expectAll(t *testing.T, f *fake, spans int, got map[int][]time.Time) {
	t.Helper()
	for i := range spans {
		var once []time.Time
		for _, at := range got[i] {
			if !slices.Contains(once, at) {
				once = append(once, at)
			}
		}
		want := f.nodes[uint32(i+1)]
		if all := len(want); len(got[i]) < all || !slices.Equal(once, slices.Compact(slices.Clone(want))) {
			t.Errorf("span %d: %d values at %d times, want %d", i, len(got[i]), len(once), all)
		}
	}
	if len(f.open) != 0 {
		t.Errorf("%d continuation points are left open", len(f.open))
	}
}

func TestReadAll(t *testing.T) {
	t.Parallel()
	same := append(every(5, time.Second), slices.Repeat([]time.Time{day.Add(6 * time.Second)}, 45)...)
	for name, tc := range map[string]struct {
		fake   *fake
		limits func(*link.Limits)
	}{
		"pages":            {newFake(map[uint32][]time.Time{1: every(35, time.Second), 2: every(3, time.Second), 3: nil}), nil},
		"no point":         {&fake{forgets: true, nodes: map[uint32][]time.Time{1: every(35, time.Second), 2: every(10, time.Second), 3: every(11, time.Second)}}, nil},
		"no point, a time": {&fake{forgets: true, nodes: map[uint32][]time.Time{1: same, 2: same}}, nil},
		"one at a time": {newFake(map[uint32][]time.Time{1: every(15, time.Second), 2: every(3, time.Second), 3: every(1, 1)}),
			func(l *link.Limits) { l.NodesPerHistoryReadData = 1 }},
		"one point": {newFake(map[uint32][]time.Time{1: every(15, time.Second), 2: every(30, time.Second), 3: every(1, 1)}),
			func(l *link.Limits) { l.HistoryContinuationPoints = 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := link.NoLimits()
			if tc.limits != nil {
				tc.limits(&limits)
			}
			r := &Reader{Client: tc.fake, Limits: limits, Chunk: 10}
			got := map[int][]time.Time{}
			results, err := r.Read(t.Context(), spansOf(3, time.Minute), reading(got))
			if err != nil {
				t.Fatal(err)
			}
			expectAll(t, tc.fake, 3, got)
			for i, res := range results {
				if res.Err != nil || res.Values > 0 && !res.First.Equal(day) {
					t.Errorf("span %d: %+v", i, res)
				}
			}
			for _, c := range tc.fake.calls {
				if tc.limits != nil && len(c.NodesToRead) > 1 {
					t.Errorf("%d nodes in one call", len(c.NodesToRead))
				}
			}
		})
	}
}

// TestReadIsBounded: an answer has few values, however many nodes there are.
func TestReadIsBounded(t *testing.T) {
	t.Parallel()
	f := newFake(map[uint32][]time.Time{})
	for i := range 200 {
		f.nodes[uint32(i+1)] = every(1500, 10*time.Millisecond)
	}
	got := map[int][]time.Time{}
	r := &Reader{Client: f, Limits: link.NoLimits(), Chunk: 1000}
	if _, err := r.Read(t.Context(), spansOf(200, time.Minute), reading(got)); err != nil {
		t.Fatal(err)
	}
	expectAll(t, f, 200, got)
	if f.most > valuesPerCall {
		t.Errorf("%d values in one answer", f.most)
	}
}

// TestHistoryWithoutEnd: a server that makes values up for ever is given up, whether it goes on
// by continuation points or has to be asked again.
func TestHistoryWithoutEnd(t *testing.T) {
	t.Parallel()
	for name, point := range map[string][]byte{"continued": []byte("1/x"), "cut": nil} {
		f := newFake(nil)
		at := day
		f.answer = func(uint32) *ua.HistoryReadResult {
			if len(f.calls) > 100 {
				return &ua.HistoryReadResult{}
			}
			var values []*ua.DataValue
			for range 10 {
				at = at.Add(time.Millisecond)
				values = append(values, value(at))
			}
			return &ua.HistoryReadResult{ContinuationPoint: point, HistoryData: &ua.ExtensionObject{Value: &ua.HistoryData{DataValues: values}}}
		}
		r := &Reader{Client: f, Limits: link.NoLimits(), Chunk: 10, limit: 200}
		results, err := r.Read(t.Context(), spansOf(1, time.Second), reading(map[int][]time.Time{}))
		if err != nil || results[0].Err == nil || len(f.calls) > 30 {
			t.Errorf("%s: %v, %v after %d calls", name, results[0].Err, err, len(f.calls))
		}
	}
}

func TestTooMuchIsHalved(t *testing.T) {
	t.Parallel()
	f := newFake(map[uint32][]time.Time{1: every(100, time.Second), 2: every(100, time.Second), 3: every(100, time.Second)})
	f.refuse = func(r *ua.HistoryReadRequest) error {
		d := r.HistoryReadDetails.Value.(*ua.ReadRawModifiedDetails)
		if len(r.NodesToRead) > 1 || d.NumValuesPerNode > 30 {
			return ua.StatusBadEncodingLimitsExceeded
		}
		return nil
	}
	got := map[int][]time.Time{}
	r := &Reader{Client: f, Limits: link.NoLimits(), Chunk: 100}
	if _, err := r.Read(t.Context(), spansOf(3, 3*time.Minute), reading(got)); err != nil {
		t.Fatal(err)
	}
	expectAll(t, f, 3, got)

	f.refuse = func(*ua.HistoryReadRequest) error { return ua.StatusBadTimeout }
	if _, err := r.Read(t.Context(), spansOf(3, 3*time.Minute), reading(got)); !errors.Is(err, ua.StatusBadTimeout) {
		t.Errorf("a server that never answers: %v", err)
	}
}

func TestWhatServersSay(t *testing.T) {
	t.Parallel()
	data := &ua.ExtensionObject{Value: &ua.HistoryData{DataValues: []*ua.DataValue{nil, value(day)}}}
	for name, tc := range map[string]struct {
		answer  ua.HistoryReadResult
		values  int
		passing bool
		err     string
	}{
		"good":              {ua.HistoryReadResult{HistoryData: data}, 1, false, ""},
		"good more data":    {ua.HistoryReadResult{StatusCode: ua.StatusGoodMoreData, HistoryData: data}, 1, false, ""},
		"good no data":      {ua.HistoryReadResult{StatusCode: ua.StatusGoodNoData}, 0, false, ""},
		"no body":           {ua.HistoryReadResult{HistoryData: &ua.ExtensionObject{}}, 0, false, ""},
		"uncertain":         {ua.HistoryReadResult{StatusCode: ua.StatusUncertainDataSubNormal, HistoryData: data}, 1, false, ""},
		"bad no data":       {ua.HistoryReadResult{StatusCode: ua.StatusBadNoData}, 0, false, ""},
		"unsupported":       {ua.HistoryReadResult{StatusCode: ua.StatusBadHistoryOperationUnsupported}, 0, false, "StatusBadHistoryOperationUnsupported"},
		"denied":            {ua.HistoryReadResult{StatusCode: ua.StatusBadUserAccessDenied}, 0, false, "StatusBadUserAccessDenied"},
		"busy":              {ua.HistoryReadResult{StatusCode: ua.StatusBadResourceUnavailable}, 0, true, "StatusBadResourceUnavailable"},
		"point gone":        {ua.HistoryReadResult{StatusCode: ua.StatusBadContinuationPointInvalid}, 0, true, "StatusBadContinuationPointInvalid"},
		"something else":    {ua.HistoryReadResult{HistoryData: &ua.ExtensionObject{Value: &ua.HistoryEvent{}}}, 0, true, "HistoryEvent"},
		"never any value":   {ua.HistoryReadResult{ContinuationPoint: []byte("1/x")}, 0, false, "does not end"},
		"value of no time":  {ua.HistoryReadResult{HistoryData: &ua.ExtensionObject{Value: &ua.HistoryData{DataValues: []*ua.DataValue{{}}}}}, 1, false, ""},
		"not a good at all": {ua.HistoryReadResult{StatusCode: 0xC0000000}, 0, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(nil)
			f.answer = func(uint32) *ua.HistoryReadResult { a := tc.answer; return &a }
			r := &Reader{Client: f, Limits: link.NoLimits(), Chunk: 10}
			got := map[int][]time.Time{}
			results, err := r.Read(t.Context(), spansOf(1, time.Second), reading(got))
			if err != nil {
				t.Fatal(err)
			}
			res := results[0]
			if res.Values != tc.values || len(got[0]) != tc.values || res.Passing != tc.passing {
				t.Errorf("%+v, want %d values, passing %v", res, tc.values, tc.passing)
			}
			if failed := res.Err != nil; failed != (tc.err != "" || tc.passing) || failed && !strings.Contains(res.Err.Error(), tc.err) {
				t.Errorf("the error is %v, want %q", res.Err, tc.err)
			}
		})
	}
}

func TestRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	f := newFake(nil)
	f.refuse = func(*ua.HistoryReadRequest) error { return ua.StatusBadServiceUnsupported }
	r := &Reader{Client: f, Limits: link.NoLimits(), Chunk: 10}
	results, err := r.Read(t.Context(), spansOf(2, time.Second), nil)
	if err != nil || results[0].Err == nil || results[1].Err == nil || results[0].Passing {
		t.Errorf("%+v, %v", results, err)
	}
	f.refuse = func(*ua.HistoryReadRequest) error { return errors.New("broken pipe") }
	if _, err := r.Read(t.Context(), spansOf(2, time.Second), nil); err == nil || !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("got %v", err)
	}
}

// TestPointsAreReleased: a reading that is given up leaves nothing open at the server.
func TestPointsAreReleased(t *testing.T) {
	t.Parallel()
	f := newFake(map[uint32][]time.Time{1: every(35, time.Second), 2: every(35, time.Second), 3: every(35, time.Second)})
	r := &Reader{Client: f, Limits: link.NoLimits(), Chunk: 10}
	full := errors.New("full")
	n := 0
	_, err := r.Read(t.Context(), spansOf(3, time.Minute), func(int, *ua.DataValue) error {
		if n++; n > 15 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if len(f.open) != 0 || !f.calls[len(f.calls)-1].ReleaseContinuationPoints {
		t.Errorf("%d continuation points are left open", len(f.open))
	}
}

func TestReaches(t *testing.T) {
	t.Parallel()
	f := newFake(map[uint32][]time.Time{
		1: every(35, time.Second), 2: {day.Add(30 * time.Second)}, 3: {day.Add(-time.Minute)}, 4: nil, 5: {day},
	})
	r := &Reader{Client: f, Limits: link.NoLimits(), Chunk: 10}
	spans := spansOf(5, time.Second)
	spans[4].From, spans[4].To = day.Add(30*time.Second), day.Add(31*time.Second)
	spans[2].From = day.Add(-time.Hour)
	got, err := r.Reaches(t.Context(), spans)
	if err != nil || !slices.Equal(got, []bool{true, false, true, false, true}) {
		t.Errorf("got %v, %v", got, err)
	}
	if len(f.open) != 0 {
		t.Errorf("%d continuation points are left open", len(f.open))
	}
}

// TestGroups: what is missing for long is not read with what is missing for a moment.
func TestGroups(t *testing.T) {
	t.Parallel()
	f := newFake(map[uint32][]time.Time{})
	for i := range 3 {
		f.nodes[uint32(i+1)] = every(5000, time.Second)
	}
	r := &Reader{Client: f, Limits: link.NoLimits(), Chunk: 100}
	spans := spansOf(3, 10*time.Second)
	spans[2].To = day.Add(4000 * time.Second)
	got := map[int][]time.Time{}
	results, err := r.Read(t.Context(), spans, reading(got))
	if err != nil || len(got[0]) != 11 || len(got[1]) != 11 || len(got[2]) != 4001 {
		t.Errorf("%d, %d and %d values, %v", len(got[0]), len(got[1]), len(got[2]), err)
	}
	if last := results[2].Last; !last.Equal(spans[2].To) {
		t.Errorf("the newest is of %v", last)
	}
}

// TestAsking: at a failure it is known which spans were asked for.
func TestAsking(t *testing.T) {
	t.Parallel()
	f := newFake(map[uint32][]time.Time{1: every(3, time.Second), 2: every(3, time.Second)})
	broken := errors.New("broken pipe")
	f.refuse = func(r *ua.HistoryReadRequest) error {
		if r.NodesToRead[0].NodeID.IntID() == 2 {
			return broken
		}
		return nil
	}
	limits := link.NoLimits()
	limits.NodesPerHistoryReadData = 1
	r := &Reader{Client: f, Limits: limits, Chunk: 10}
	if _, err := r.Read(t.Context(), spansOf(2, time.Minute), reading(map[int][]time.Time{})); !errors.Is(err, broken) || !slices.Equal(r.Asking, []int{1}) {
		t.Errorf("asking are %v, %v", r.Asking, err)
	}
}
