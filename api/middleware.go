package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

const (
	levelDebug = slog.LevelDebug
	levelInfo  = slog.LevelInfo
	levelError = slog.LevelError
)

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

// The headers of every answer, and those of what a browser may show, which are not
// changed but replaced as a whole. They keep browsers from sniffing, caching and
// framing. Pages set their own policy on top. Strict-Transport-Security is left to
// whoever owns the host's name: on localhost it would break every other program's pages.
var (
	noSniffing     = []string{"nosniff"}
	noFraming      = []string{"DENY"}
	noReferrer     = []string{"no-referrer"}
	nothingAllowed = []string{"default-src 'none'; frame-ancestors 'none'"}
	noCaching      = []string{"no-store"}
	varyByEncoding = []string{echo.HeaderAcceptEncoding}
	jsonType       = []string{echo.MIMEApplicationJSON}
)

// ServeHTTP implements http.Handler. What holds for every request, known route or
// not, stands here.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := a.deps.Clock()
	r = headAsGet(r)
	x := a.begin(w, r)
	defer a.end(x)
	c := x.context
	h := w.Header()
	h[echo.HeaderXRequestID] = []string{requestID(r, start)}
	h[echo.HeaderXContentTypeOptions] = noSniffing
	h[echo.HeaderCacheControl] = noCaching
	if mayBeShown(r) {
		h[echo.HeaderXFrameOptions] = noFraming
		h[echo.HeaderReferrerPolicy] = noReferrer
		h[echo.HeaderContentSecurityPolicy] = nothingAllowed
	}
	a.echo.Router().Find(r.Method, echo.GetPath(r), c)
	x.mayCompress(r, c.Path())
	if r.Method == http.MethodOptions {
		allowHead(c)
	}
	err := handle(c)
	cut := err != nil && c.Response().Committed
	if err != nil {
		if !cut {
			x.plain()
		}
		a.answerError(err, c)
	}
	if !cut {
		x.finish()
	}
	a.observe(c, start)
	if cut {
		// An answer whose making failed after its beginning was sent must not look
		// complete: its connection, or its stream in HTTP/2, is cut.
		panic(http.ErrAbortHandler)
	}
}

// mayBeShown tells whether the answer might be a document in a browser. Programs post
// JSON, which a form of a page can't.
func mayBeShown(r *http.Request) bool {
	return r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get(echo.HeaderContentType), echo.MIMEApplicationJSON)
}

// handle calls the handler of the route. It turns a panic into an answer, and its
// stack into a line of the log.
func handle(c echo.Context) (err error) {
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
	return c.Handler()(c)
}

// allowHead adds HEAD to what OPTIONS answers.
func allowHead(c echo.Context) {
	h := c.Response().Header()
	c.Response().Before(func() { h.Set(echo.HeaderAllow, withHead(h.Get(echo.HeaderAllow))) })
}

// wholeSegments keeps a parameter at the end of a path from taking what comes
// after the next slash, as the router has it.
func wholeSegments(path string, next echo.HandlerFunc) echo.HandlerFunc {
	if !strings.Contains(path, ":") {
		return next
	}
	return func(c echo.Context) error {
		for _, value := range c.ParamValues() {
			if strings.Contains(value, "/") {
				return echo.ErrNotFound
			}
		}
		return next(c)
	}
}

// observe counts and logs a request, refused ones at a level that is shown.
func (a *API) observe(c echo.Context, start time.Time) {
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
	if x := exchangeOf(c); x.authenticated {
		attrs = append(attrs, slog.String("key", x.key.Prefix))
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", mes.WithCauses(err)))
	}
	return attrs
}
