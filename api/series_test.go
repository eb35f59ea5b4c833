package api_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/series"
)

// seriesAnswer is what tests look at in an answer.
type seriesAnswer struct {
	SiteID    string `json:"site_id"`
	MachineID string `json:"machine_id"`
	Width     string
	Series    []struct {
		Signal, Unit string
		Buckets      []object
		Points       []object
	}
}

const seriesPath = "/api/v1/equipment/M001/series?signal=temperature"

// fillSeries stores a temperature of 0, 1, 2 ... every ten seconds.
func (f *fixture) fillSeries(n int) {
	f.t.Helper()
	start := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for i := 0; i < n; i += 100 {
		var b strings.Builder
		for j := i; j < min(i+100, n); j++ {
			fmt.Fprintf(&b, "{\"machine_id\":\"M001\",\"timestamp\":%q,\"temperature\":%d,\"on\":%v}\n", start.Add(time.Duration(j)*10*time.Second).Format(time.RFC3339), j, j%2 == 0)
		}
		f.do(call{method: http.MethodPost, path: "/data", body: b.String(), header: map[string]string{"Content-Type": "application/x-ndjson"}}).want(http.StatusCreated)
	}
}

func TestSeries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.fillSeries(400)
	f.post(`{"machine_id":"M001","timestamp":"2026-11-22T10:00:05Z","temperature":"broken"}`).want(http.StatusCreated)
	rollup := series.NewRollup(f.store, series.RollupOptions{})
	query := seriesPath + "&signal=on&signal=nothing&from=2026-11-22T10:00:00Z&to=2026-11-22T10:59:35Z&width=30m&percentile=50&percentile=99.9"
	var first []byte
	for _, state := range []string{"due", "rolled up"} {
		r := f.get(query).want(http.StatusOK)
		if first == nil {
			first = r.body
		}
		if !bytes.Equal(r.body, first) {
			t.Errorf("%s: %s, want %s", state, r.body, first)
		}
		a := into[seriesAnswer](r)
		if a.SiteID != "main" || a.MachineID != "M001" || a.Width != "30m" || len(a.Series) != 3 || len(a.Series[2].Buckets) != 0 {
			t.Fatalf("%s: %s", state, r.body)
		}
		got := fmt.Sprint(a.Series[0].Buckets[1])
		if want := "map[avg:268.5 bad:0 count:178 first:180 last:357 max:357 min:180 p50:268.5 p99.9:357 start:2026-11-22T10:30:00Z sum:47793]"; withoutQuantiles(got) != withoutQuantiles(want) {
			t.Errorf("%s: %s, want %s", state, got, want)
		}
		if b := a.Series[0].Buckets[0]; fmt.Sprint(b["bad"]) != "1" || fmt.Sprint(b["count"]) != "180" {
			t.Errorf("%s: %v", state, b)
		}
		if b := a.Series[1].Buckets[0]; fmt.Sprint(b["avg"]) != "0.5" {
			t.Errorf("%s: %v", state, b)
		}
		if _, err := rollup.Pass(t.Context(), time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)); err != nil {
			t.Fatal(err)
		}
	}
	// A late record counts at once.
	f.post(`{"machine_id":"M001","timestamp":"2026-11-22T10:30:01Z","temperature":-7}`).want(http.StatusCreated)
	a := into[seriesAnswer](f.get(query))
	if b := a.Series[0].Buckets[1]; fmt.Sprint(b["min"]) != "-7" || fmt.Sprint(b["count"]) != "179" {
		t.Errorf("with a late record: %v", b)
	}
}

// withoutQuantiles leaves out what is only known within 1 %.
func withoutQuantiles(text string) string {
	var kept []string
	for field := range strings.FieldsSeq(text) {
		if !strings.HasPrefix(field, "p") {
			kept = append(kept, field)
		}
	}
	return strings.Join(kept, " ")
}

func TestSeriesWithoutNumbers(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.post(`{"machine_id":"M001","timestamp":"2026-11-22T10:00:05Z","temperature":"x","unit":"Cel"}`).want(http.StatusCreated)
	a := into[seriesAnswer](f.get(seriesPath + "&to=2026-11-23T00:00:00Z&percentile=5").want(http.StatusOK))
	if b := a.Series[0].Buckets; len(b) != 1 || b[0]["min"] != nil || b[0]["p5"] != nil || fmt.Sprint(b[0]["bad"]) != "1" || a.Width != "5m" {
		t.Errorf("%+v", a)
	}
	// Sums that no double holds are null, too.
	for i := range 2 {
		f.post(fmt.Sprintf(`{"machine_id":"M001","timestamp":"2026-11-21T10:00:0%dZ","temperature":1.7e308}`, i)).want(http.StatusCreated)
	}
	a = into[seriesAnswer](f.get(seriesPath + "&from=2026-11-21T00:00:00Z&to=2026-11-22T00:00:00Z&width=1d").want(http.StatusOK))
	if b := a.Series[0].Buckets[0]; b["sum"] != nil || b["avg"] != nil || b["max"] == nil {
		t.Errorf("%v", b)
	}
}

func TestRawSeries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.fillSeries(200)
	f.post(`{"machine_id":"M001","timestamp":"2026-11-22T10:00:05.5Z","temperature":0.1000000000000000000001}`).want(http.StatusCreated)
	query := seriesPath + "&from=2026-11-22T10:00:00Z&to=2026-11-22T11:00:00Z&width=raw"
	a := into[seriesAnswer](f.get(query).want(http.StatusOK))
	points := a.Series[0].Points
	if len(points) != 201 || fmt.Sprint(points[1]) != "map[status_code:0 timestamp:2026-11-22T10:00:05.5Z value:0.1000000000000000000001]" {
		t.Errorf("%d points, %v", len(points), points[:2])
	}
	a = into[seriesAnswer](f.get(query + "&points=20").want(http.StatusOK))
	if points := a.Series[0].Points; len(points) != 20 || fmt.Sprint(points[19]["value"]) != "199" {
		t.Errorf("%d points", len(points))
	}
}

func TestFaultsOfASeries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.fillSeries(1)
	path := "/api/v1/equipment/M001/series"
	for query, pointers := range map[string][]string{
		"":                                 {"/signal"},
		"?signal=":                         {"/signal"},
		"?signal=a&signal=a":               {"/signal"},
		"?signal=a&signal=":                {"/signal"},
		"?signal=%FF":                      {"/signal"},
		"?signal=a&width=5":                {"/width"},
		"?signal=a&width=":                 {"/width"},
		"?signal=a&width=1m&width=1h":      {"/width"},
		"?signal=a&points=3":               {"/points"},
		"?signal=a&points=x":               {"/points"},
		"?signal=a&width=1h&points=5":      {"/points"},
		"?signal=a&percentile=101":         {"/percentile"},
		"?signal=a&percentile=x":           {"/percentile"},
		"?signal=a&percentile=":            {"/percentile"},
		"?signal=a&width=raw&percentile=5": {"/percentile"},
		"?signal=a&from=yesterday":         {"/from"},
		"?signal=a&limit=5":                {"/limit"},
		"?signal=a&from=2026-11-22T10:00:00Z&to=2026-11-22T10:00:00Z":                     {"/to"},
		"?signal=a&from=2020-11-22T10:00:00Z&to=2026-11-22T10:00:00Z&width=1m":            {"/width"},
		"?width=1s&points=1&percentile=-1&from=1&to=2&foo=3&signal=a&signal=a":            {"/width", "/points", "/percentile", "/from", "/to", "/foo", "/signal"},
		"?signal=" + strings.Join(strings.Split(strings.Repeat("x", 21), ""), "&signal="): {"/signal"},
	} {
		f.do(call{path: path + query, invalid: true}).wantProblem(http.StatusUnprocessableEntity, pointers...)
	}
	f.get("/api/v1/equipment/M999/series?signal=a").wantProblem(http.StatusNotFound)
	f.do(call{path: path + "?signal=a", key: f.key(mes.Scope{}, mes.ScopeEquipmentRead)}).wantProblem(http.StatusForbidden)
	f.do(call{path: path + "?signal=a", key: f.key(mes.Scope{Sites: []string{"main"}, Machines: []string{"M2"}}, mes.ScopeDataRead)}).wantProblem(http.StatusNotFound)
	f.do(call{path: path + "?signal=a", key: f.key(mes.Scope{Sites: []string{"main"}, Machines: []string{"M001"}}, mes.ScopeDataRead)}).want(http.StatusOK)
	f.do(call{path: path + "?signal=" + url.QueryEscape(`a/b "ü"`)}).want(http.StatusOK)
}

// manyBuckets is a reader that gives buckets, and fails after some of them.
type manyBuckets struct {
	n   int
	err error
	// proceed is waited for before the failure, if it is set.
	proceed chan struct{}
}

func (m manyBuckets) Read(_ context.Context, _ series.Query, sink series.Sink) error {
	if m.n == 0 {
		return m.err
	}
	if err := sink.Signal("temperature", "Cel"); err != nil {
		return err
	}
	for i := range m.n {
		b := series.Bucket{Start: time.Unix(int64(i)*60, 0).UTC()}
		b.Add(mes.Position{Time: b.Start}, float64(i))
		if err := sink.Bucket(&b, nil); err != nil {
			return err
		}
	}
	if m.proceed != nil {
		<-m.proceed
	}
	return m.err
}

func TestFailureBeforeTheFirstBytesIsAProblem(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 10} {
		f := setup(t, func(f *fixture) {
			f.deps.Series = manyBuckets{n: n, err: mes.Errorf(mes.CodeUnavailable, "the store is busy")}
		})
		f.fillSeries(1)
		r := f.get(seriesPath)
		if r.wantProblem(http.StatusServiceUnavailable); r.header.Get("Retry-After") == "" {
			t.Errorf("after %d buckets: %v", n, r.header)
		}
	}
}

// An answer that fails in its middle never looks complete, compressed or not.
func TestFailureInTheMiddleCutsTheAnswer(t *testing.T) {
	t.Parallel()
	f := setup(t, func(f *fixture) { f.deps.Series = manyBuckets{n: 5000, err: errors.New("lost")} })
	f.fillSeries(1)
	for _, encoding := range []string{"gzip", "identity"} {
		request := f.request(call{path: seriesPath, header: map[string]string{"Accept-Encoding": encoding}})
		response, err := f.server.Client().Do(request)
		f.must(err)
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err == nil {
			t.Errorf("%s: a cut answer of %d bytes looks complete", encoding, len(body))
		}
		if len(body) == 0 {
			t.Errorf("%s: nothing came before the cut", encoding)
		}
	}
	if log := f.log.String(); strings.Count(log, "request failed") != 2 || !strings.Contains(log, "lost") {
		t.Errorf("the failures are not in the log")
	}
}

// Answers are sent as they are made.
func TestSeriesIsStreamed(t *testing.T) {
	t.Parallel()
	proceed := make(chan struct{})
	f := setup(t, func(f *fixture) { f.deps.Series = manyBuckets{n: 3000, proceed: proceed} })
	f.fillSeries(1)
	response, err := f.server.Client().Do(f.request(call{path: seriesPath, header: map[string]string{"Accept-Encoding": "identity"}}))
	f.must(err)
	defer response.Body.Close()
	reader := bufio.NewReader(response.Body)
	head, err := reader.Peek(1000)
	f.must(err)
	if !bytes.HasPrefix(head, []byte(`{"site_id":"main","machine_id":"M001",`)) {
		t.Errorf("it begins with %s", head)
	}
	close(proceed)
	body, err := io.ReadAll(reader)
	f.must(err)
	if a := into[seriesAnswer](reply{t: t, body: body}); len(a.Series[0].Buckets) != 3000 {
		t.Errorf("%d buckets", len(a.Series[0].Buckets))
	}
}

func TestSeriesIsCompressed(t *testing.T) {
	t.Parallel()
	f := setup(t, func(f *fixture) { f.deps.Series = manyBuckets{n: 3000} })
	f.fillSeries(1)
	response, err := f.server.Client().Do(f.request(call{path: seriesPath, header: map[string]string{"Accept-Encoding": "gzip"}}))
	f.must(err)
	defer response.Body.Close()
	plain, err := gzip.NewReader(response.Body)
	f.must(err)
	body, err := io.ReadAll(plain)
	f.must(err)
	if a := into[seriesAnswer](reply{t: t, body: body}); len(a.Series[0].Buckets) != 3000 || a.Series[0].Unit != "Cel" {
		t.Errorf("%d buckets", len(a.Series[0].Buckets))
	}
	head := f.send(f.request(call{method: http.MethodHead, path: seriesPath})).want(http.StatusOK)
	if len(head.body) != 0 {
		t.Errorf("HEAD: %s", head.body)
	}
}
