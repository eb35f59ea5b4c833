package api

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// requestMetrics counts requests by route, never by path, so that callers can't
// make up new requestSeries.
type requestMetrics struct {
	total    *prometheus.CounterVec
	duration *prometheus.HistogramVec

	// known are the series so far, in a map that is replaced by one with more, so
	// that requests need not wait for one another to look theirs up.
	known  atomic.Pointer[map[outcome]requestSeries]
	making sync.Mutex
}

// outcome is what requests are counted by.
type outcome struct {
	method, route string
	status        int
}

type requestSeries struct {
	total    prometheus.Counter
	duration prometheus.Observer
}

func newRequestMetrics(reg prometheus.Registerer) (*requestMetrics, error) {
	m := &requestMetrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plantgate_http_requests_total", Help: "HTTP requests answered.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "plantgate_http_request_duration_seconds", Help: "Time from the request's headers to its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "route"}),
	}
	m.known.Store(&map[outcome]requestSeries{})
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.total, m.duration} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *requestMetrics) observe(method, route string, status int, took time.Duration) {
	if status == http.StatusNotFound && route == "" || status == http.StatusMethodNotAllowed {
		method, route = "any", "none"
	}
	of := outcome{method, route, status}
	s, ok := (*m.known.Load())[of]
	if !ok {
		s = m.add(of)
	}
	s.total.Inc()
	s.duration.Observe(took.Seconds())
}

// add makes the series of an outcome known.
func (m *requestMetrics) add(of outcome) requestSeries {
	m.making.Lock()
	defer m.making.Unlock()
	s := requestSeries{
		total:    m.total.WithLabelValues(of.method, of.route, strconv.Itoa(of.status)),
		duration: m.duration.WithLabelValues(of.method, of.route),
	}
	more := maps.Clone(*m.known.Load())
	more[of] = s
	m.known.Store(&more)
	return s
}
