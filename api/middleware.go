package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"plantgate/internal/mes"
)

const (
	levelDebug = slog.LevelDebug
	levelInfo  = slog.LevelInfo
	levelError = slog.LevelError
)

// maxRequestID is the length of a caller's request id.
const maxRequestID = 128

// compressFrom is the size of an answer from which compressing it pays.
const compressFrom = 1 << 10

// headAsGet makes the router treat HEAD like GET; the server itself leaves out
// the body, since it looks at the request as it came.
func headAsGet(r *http.Request) *http.Request {
	if r.Method != http.MethodHead {
		return r
	}
	get := r.Clone(r.Context())
	get.Method = http.MethodGet
	return get
}

// allowHead adds HEAD to what OPTIONS answers.
func allowHead(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Request().Method == http.MethodOptions {
			h := c.Response().Header()
			c.Response().Before(func() { h.Set(echo.HeaderAllow, withHead(h.Get(echo.HeaderAllow))) })
		}
		return next(c)
	}
}

// wholeSegments keeps a parameter at the end of a path from taking what comes
// after the next slash, as the router has it.
func wholeSegments(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		for _, value := range c.ParamValues() {
			if strings.Contains(value, "/") {
				return echo.ErrNotFound
			}
		}
		return next(c)
	}
}

// requestID takes the caller's id of the request, or gives it one.
func (a *API) requestID(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := c.Request().Header.Get(echo.HeaderXRequestID)
		if !isRequestID(id) {
			id = mes.NewID().String()
		}
		c.Response().Header().Set(echo.HeaderXRequestID, id)
		return next(c)
	}
}

// isRequestID allows printable ASCII without spaces, which can stand in logs and
// headers as it is.
func isRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	return !strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' })
}

// observe counts and logs requests, refused ones at a level that is shown. An
// answer whose making failed after its beginning was sent must not look complete:
// its connection, or its stream in HTTP/2, is cut.
func (a *API) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := a.deps.Clock()
		err := next(c)
		cut := err != nil && c.Response().Committed
		if err != nil {
			c.Error(err)
		}
		took := a.deps.Clock().Sub(start)
		status := c.Response().Status
		a.metrics.observe(c.Request().Method, c.Path(), status, took)
		level := levelDebug
		if status >= http.StatusBadRequest {
			level = levelInfo
		}
		log, ctx := a.deps.Logger, c.Request().Context()
		if log.Enabled(ctx, level) {
			log.LogAttrs(ctx, level, "request", append(requestAttrs(c, nil),
				slog.Int("status", status), slog.Duration("took", took), slog.Int64("bytes", c.Response().Size))...)
		}
		if cut {
			panic(http.ErrAbortHandler)
		}
		return nil
	}
}

// requestAttrs names a request in the log. Query and headers stay out of it:
// they may hold what nobody should read there.
func requestAttrs(c echo.Context, err error) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("request_id", c.Response().Header().Get(echo.HeaderXRequestID)),
		slog.String("method", c.Request().Method),
		slog.String("path", c.Request().URL.Path),
		slog.String("client", c.RealIP()),
	}
	if key, ok := c.Get(keyOfRequest).(*mes.APIKey); ok {
		attrs = append(attrs, slog.String("key", key.Prefix))
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", withCauses(err)))
	}
	return attrs
}

// withCauses adds the causes that an Error keeps from its user.
func withCauses(err error) string {
	text := err.Error()
	for cause := err; cause != nil; {
		u, ok := cause.(interface{ Unwrap() error })
		if !ok {
			break
		}
		if cause = u.Unwrap(); cause != nil && !strings.Contains(text, cause.Error()) {
			text += ": " + cause.Error()
		}
	}
	return text
}

// recoverPanic turns a panic of a handler into an answer, and its stack into a
// line of the log.
func (a *API) recoverPanic(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			r := recover()
			if r == nil {
				return
			}
			if r == http.ErrAbortHandler {
				panic(r)
			}
			err = mes.Wrap(mes.CodeInternal, fmt.Errorf("panic: %v\n%s", r, debug.Stack()), "the handler panicked")
		}()
		return next(c)
	}
}

// securityHeaders keeps browsers from sniffing, framing and caching. Pages set
// their own policy on top. Strict-Transport-Security is left to whoever owns the
// host's name: on localhost it would break every other program's pages.
func securityHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set(echo.HeaderXContentTypeOptions, "nosniff")
		h.Set(echo.HeaderXFrameOptions, "DENY")
		h.Set(echo.HeaderReferrerPolicy, "no-referrer")
		h.Set(echo.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
		h.Set(echo.HeaderCacheControl, "no-store")
		return next(c)
	}
}

// compress answers in gzip where the caller takes it and it pays.
func compress() echo.MiddlewareFunc {
	return middleware.GzipWithConfig(middleware.GzipConfig{
		MinLength: compressFrom,
		Skipper: func(c echo.Context) bool {
			return refusesGzip(c.Request().Header.Get(echo.HeaderAcceptEncoding)) ||
				strings.HasPrefix(c.Path(), "/swagger/") || // compressed already
				c.Path() == "/metrics" // does its own
		},
	})
}

// refusesGzip sees the weight 0, which the middleware does not look at.
func refusesGzip(accept string) bool {
	for coding := range strings.SplitSeq(accept, ",") {
		name, weight, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(coding, " ", "")), ";q=")
		if name == "gzip" {
			q, err := strconv.ParseFloat(weight, 64)
			return err == nil && q == 0
		}
	}
	return false
}

// requestMetrics counts requests by route, never by path, so that callers can't
// make up new series.
type requestMetrics struct {
	total    *prometheus.CounterVec
	duration *prometheus.HistogramVec
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
	m.total.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(method, route).Observe(took.Seconds())
}
