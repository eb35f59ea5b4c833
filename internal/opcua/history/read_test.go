package history

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/opcua/link"
)

var begin = time.Date(2026, 11, 27, 6, 0, 0, 0, time.UTC)

// keeper is a server that keeps a value a second of each node.
type keeper struct {
	values int
	// page is how many it gives at once, points whether it says that there are more;
	// endless goes on for ever.
	page            int
	points, endless bool
	status          ua.StatusCode
	released, calls int
}

func (k *keeper) Send(_ context.Context, req ua.Request, h func(ua.Response) error) error {
	k.calls++
	r := req.(*ua.HistoryReadRequest)
	if r.ReleaseContinuationPoints {
		k.released += len(r.NodesToRead)
		return h(&ua.HistoryReadResponse{})
	}
	if k.status == ua.StatusBadServiceUnsupported {
		return k.status
	}
	details := r.HistoryReadDetails.Value.(*ua.ReadRawModifiedDetails)
	res := &ua.HistoryReadResponse{}
	for _, n := range r.NodesToRead {
		from := 0
		if len(n.ContinuationPoint) > 0 {
			_, _ = fmt.Sscan(string(n.ContinuationPoint), &from)
		}
		one := &ua.HistoryReadResult{StatusCode: k.status}
		data := &ua.HistoryData{}
		for i := from; i < k.values && len(data.DataValues) < min(k.page, int(details.NumValuesPerNode)); i++ {
			at := begin.Add(time.Duration(i) * time.Second)
			from = i + 1
			if at.Before(details.StartTime) || at.After(details.EndTime) {
				continue
			}
			data.DataValues = append(data.DataValues, &ua.DataValue{Value: ua.MustVariant(int32(i)), SourceTimestamp: at})
		}
		if k.endless || k.points && from < k.values {
			one.ContinuationPoint = fmt.Append(nil, from)
		}
		one.HistoryData = ua.NewExtensionObject(data)
		res.Results = append(res.Results, one)
	}
	return h(res)
}

func spansOf(n, seconds int) []Span {
	var list []Span
	for i := range n {
		list = append(list, Span{NodeID: ua.NewNumericNodeID(1, uint32(i+1)), From: begin, To: begin.Add(time.Duration(seconds) * time.Second)})
	}
	return list
}

// read returns which values came of each span.
func read(t *testing.T, k *keeper, spans []Span) ([]map[int32]bool, []Result, error) {
	t.Helper()
	got := make([]map[int32]bool, len(spans))
	for i := range got {
		got[i] = map[int32]bool{}
	}
	results, err := Reader{Client: k, Limits: link.NoLimits()}.Read(t.Context(), spans, func(i int, v *ua.DataValue) error {
		got[i][v.Value.Value().(int32)] = true
		return nil
	})
	return got, results, err
}

// TestEveryValueIsRead whether a server says that there are more or not.
func TestEveryValueIsRead(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]*keeper{
		"with continuation points": {values: 4321, page: 100, points: true},
		"without":                  {values: 4321, page: 1 << 20},
	} {
		got, results, err := read(t, k, spansOf(3, 5000))
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if len(got[i]) != 4321 || !results[i].First.Equal(begin) || results[i].Err != nil {
				t.Errorf("%s: %d values, %+v", name, len(got[i]), results[i])
			}
		}
	}
}

// TestGroups: what is missing for long is not read with what is missing for a moment.
func TestGroups(t *testing.T) {
	t.Parallel()
	k := &keeper{values: 100_000, page: 1000, points: true}
	spans := append(spansOf(2, 10), spansOf(1, 50_000)...)
	got, _, err := read(t, k, spans)
	if err != nil || len(got[0]) > 12 || len(got[2]) != 50_001 {
		t.Errorf("%d and %d values, %v", len(got[0]), len(got[2]), err)
	}
}

// TestServersWithoutHistory say so of a node, or of all.
func TestServersWithoutHistory(t *testing.T) {
	t.Parallel()
	for _, status := range []ua.StatusCode{ua.StatusBadServiceUnsupported, ua.StatusBadHistoryOperationUnsupported, ua.StatusBadUserAccessDenied} {
		_, results, err := read(t, &keeper{status: status}, spansOf(2, 10))
		if err != nil || results[0].Err == nil || results[1].Err == nil {
			t.Errorf("%v: %+v, %v", status, results, err)
		}
	}
	for _, status := range []ua.StatusCode{ua.StatusGoodNoData, ua.StatusBadNoData} {
		_, results, err := read(t, &keeper{status: status}, spansOf(1, 10))
		if err != nil || results[0].Err != nil || results[0].Values != 0 {
			t.Errorf("%v: %+v, %v", status, results, err)
		}
	}
}

// TestAnEndlessHistoryEnds, and what the server keeps open of it is released.
func TestAnEndlessHistoryEnds(t *testing.T) {
	t.Parallel()
	k := &keeper{endless: true}
	if _, _, err := read(t, k, spansOf(2, 10)); err == nil || k.calls > 50 || k.released == 0 {
		t.Errorf("%v after %d calls, %d released", err, k.calls, k.released)
	}
}
