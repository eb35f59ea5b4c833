package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"plantgate/internal/mes"
)

// Authenticator tells whose key a text is. It fails with CodeUnauthenticated
// for a key that is not valid.
type Authenticator interface {
	Authenticate(ctx context.Context, key string) (mes.APIKey, error)
}

// headerKey is where callers send their key, in any case of letters.
const headerKey = "X-Api-Key"

// require lets requests pass whose key grants the scope, within its rate.
func (a *API) require(scope mes.KeyScope, next echo.HandlerFunc) echo.HandlerFunc {
	if scope == open {
		return next
	}
	return func(c echo.Context) error {
		x := exchangeOf(c)
		var err error
		if x.key, err = a.deps.Auth.Authenticate(c.Request().Context(), keyText(c.Request())); err != nil {
			return err
		}
		x.authenticated = true
		if err := a.limiter.allow(x.key.ID, c.Response().Header()); err != nil {
			return err
		}
		if !x.key.Has(scope) {
			return mes.Errorf(mes.CodeForbidden, "the API key lacks the scope %s", scope)
		}
		return next(c)
	}
}

// keyText is the key as sent in x-api-key, or else as a bearer token (RFC 6750,
// 2.1).
func keyText(r *http.Request) string {
	if keys := r.Header[headerKey]; len(keys) > 0 && keys[0] != "" {
		return keys[0]
	}
	scheme, token, ok := strings.Cut(r.Header.Get(echo.HeaderAuthorization), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// keyOf returns the key of a request that passed require. It is good until the
// request is answered.
func keyOf(c echo.Context) *mes.APIKey { return &exchangeOf(c).key }

// homeSite is the site of machine ids without one: the key's only site, else
// the configured one.
func (a *API) homeSite(key *mes.APIKey) string {
	if len(key.Limit.Sites) == 1 {
		return key.Limit.Sites[0]
	}
	return a.settings.SiteID
}

// address splits {site}~{id}; a bare id is of the key's home site.
func (a *API) address(key *mes.APIKey, text string) (siteID, id string) {
	if site, id, ok := strings.Cut(text, "~"); ok {
		return site, id
	}
	return a.homeSite(key), text
}

// limiter bounds the requests of each key.
type limiter struct {
	perSecond rate.Limit
	burst     int
	now       func() time.Time

	mu   sync.Mutex
	keys map[mes.ID]*rate.Limiter
}

// newLimiter returns nil, which allows everything, if perSecond is zero.
func newLimiter(perSecond float64, burst int, now func() time.Time) *limiter {
	if perSecond <= 0 {
		return nil
	}
	return &limiter{perSecond: rate.Limit(perSecond), burst: max(burst, 1), now: now, keys: make(map[mes.ID]*rate.Limiter)}
}

// allow counts a request of the key and says in the headers what is left, as in
// draft-ietf-httpapi-ratelimit-headers. Only valid keys come this far, so that
// there are no more entries than keys.
func (l *limiter) allow(id mes.ID, h http.Header) error {
	if l == nil {
		return nil
	}
	bucket, now := l.bucket(id), l.now()
	allowed := bucket.AllowN(now, 1)
	tokens := max(bucket.TokensAt(now), 0)
	window := math.Ceil(float64(l.burst) / float64(l.perSecond))
	reset := math.Ceil((float64(l.burst) - tokens) / float64(l.perSecond))
	h.Set("RateLimit-Policy", fmt.Sprintf(`"key";q=%d;w=%.0f`, l.burst, window))
	h.Set("RateLimit", fmt.Sprintf(`"key";r=%d;t=%.0f`, int(tokens), reset))
	if allowed {
		return nil
	}
	err := mes.Errorf(mes.CodeRateLimited, "the API key may send %g requests a second and %d at once", float64(l.perSecond), l.burst)
	err.RetryAfter = time.Duration((1 - tokens) / float64(l.perSecond) * float64(time.Second))
	return err
}

func (l *limiter) bucket(id mes.ID) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.keys[id]
	if !ok {
		b = rate.NewLimiter(l.perSecond, l.burst)
		l.keys[id] = b
	}
	return b
}
