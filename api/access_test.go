package api_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"plantgate/internal/auth"
	"plantgate/internal/mes"
)

func TestWithoutAValidKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	yesterday := time.Now().Add(-24 * time.Hour)
	past, err := auth.New(f.store, auth.Options{Clock: func() time.Time { return yesterday }})
	f.must(err)
	_, expired, err := past.Create(t.Context(), auth.NewKey{Name: "old", Scopes: []mes.KeyScope{mes.ScopeAdmin}, ExpiresAt: yesterday.Add(time.Hour)})
	f.must(err)
	revokedKey, revoked, err := f.auth.Create(t.Context(), auth.NewKey{Name: "gone", Scopes: []mes.KeyScope{mes.ScopeAdmin}})
	f.must(err)
	f.do(call{path: "/data", key: revoked}).want(http.StatusOK)
	f.must(f.auth.Revoke(t.Context(), revokedKey.ID))

	for name, c := range map[string]call{
		"none":          {key: "-"},
		"unknown":       {key: "pg_aaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		"nonsense":      {key: "' OR 1=1 --"},
		"expired":       {key: expired},
		"revoked":       {key: revoked},
		"basic":         {key: "-", header: map[string]string{"Authorization": "Basic " + bootstrapKey}},
		"empty bearer":  {key: "-", header: map[string]string{"Authorization": "Bearer "}},
		"bad x-api-key": {key: "wrong", header: map[string]string{"Authorization": "Bearer " + bootstrapKey}},
	} {
		c.path = "/data"
		r := f.do(c)
		p := r.wantProblem(http.StatusUnauthorized)
		if !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: WWW-Authenticate %q", name, r.header.Get("WWW-Authenticate"))
		}
		if p.Detail != "the API key is missing, unknown, expired or revoked" {
			t.Errorf("%s: the answer tells what is wrong with the key: %q", name, p.Detail)
		}
	}
	f.do(call{path: "/data", key: "-", header: map[string]string{"Authorization": "bearer " + bootstrapKey}}).want(http.StatusOK)
	if strings.Contains(f.log.String(), revoked[12:]) || strings.Contains(f.log.String(), bootstrapKey) {
		t.Error("the log holds a key")
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, c := range []struct {
		scope  mes.KeyScope
		method string
		path   string
		status int
	}{
		{mes.ScopeDataRead, "GET", "/data", 200},
		{mes.ScopeDataRead, "GET", "/api/v1/latest", 200},
		{mes.ScopeDataRead, "GET", "/api/v1/quarantine", 200},
		{mes.ScopeDataRead, "POST", "/data", 403},
		{mes.ScopeDataRead, "GET", "/api/v1/equipment", 403},
		{mes.ScopeDataRead, "GET", "/metrics", 403},
		{mes.ScopeDataWrite, "GET", "/data", 403},
		{mes.ScopeDataWrite, "POST", "/data", 201},
		{mes.ScopeEquipmentRead, "GET", "/api/v1/equipment", 200},
		{mes.ScopeAdaptersRead, "GET", "/api/v1/adapters", 200},
		{mes.ScopeMetricsRead, "GET", "/metrics", 200},
		{mes.ScopeAdmin, "GET", "/metrics", 200},
		{mes.ScopeAdmin, "GET", "/data", 200},
	} {
		key := f.key(mes.Scope{}, c.scope)
		body := ""
		if c.method == "POST" {
			body = contract1
		}
		r := f.do(call{method: c.method, path: c.path, key: key, body: body})
		if r.status != c.status {
			t.Errorf("%s: %s %s answers %d, want %d: %s", c.scope, c.method, c.path, r.status, c.status, r.body)
		}
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f := setup(t, func(f *fixture) {
		f.settings.RatePerSecond, f.settings.RateBurst = 0.5, 3
		f.deps.Clock = func() time.Time { return now }
	})
	for i := range 3 {
		r := f.get("/data").want(http.StatusOK)
		if want := `"key";r=` + strconv.Itoa(2-i) + `;t=` + strconv.Itoa(2*(i+1)); r.header.Get("RateLimit") != want {
			t.Errorf("RateLimit %q, want %q", r.header.Get("RateLimit"), want)
		}
	}
	r := f.get("/data")
	r.wantProblem(http.StatusTooManyRequests)
	if r.header.Get("Retry-After") != "2" || r.header.Get("RateLimit-Policy") != `"key";q=3;w=6` {
		t.Errorf("Retry-After %q, RateLimit-Policy %q", r.header.Get("Retry-After"), r.header.Get("RateLimit-Policy"))
	}
	f.do(call{path: "/data", key: f.key(mes.Scope{}, mes.ScopeDataRead)}).want(http.StatusOK) // another key has its own
	now = now.Add(2 * time.Second)
	f.get("/data").want(http.StatusOK)
}

// brokenAuth is an Authenticator whose store is away.
type brokenAuth struct{}

func (brokenAuth) Authenticate(context.Context, string) (mes.APIKey, error) {
	return mes.APIKey{}, mes.Errorf(mes.CodeUnavailable, "the store is away")
}

func TestStoreOfKeysIsAway(t *testing.T) {
	t.Parallel()
	f := setup(t, func(f *fixture) { f.deps.Auth = brokenAuth{} })
	f.get("/data").wantProblem(http.StatusServiceUnavailable)
}

func TestClientAddressTrustsOnlyProxies(t *testing.T) {
	t.Parallel()
	_, network, err := net.ParseCIDR("10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		trusted []*net.IPNet
		peer    string
		want    string
	}{
		"no proxy":        {nil, "203.0.113.9:1", "client=203.0.113.9"},
		"trusted proxy":   {[]*net.IPNet{network}, "10.1.1.1:1", "client=198.51.100.7"},
		"untrusted proxy": {[]*net.IPNet{network}, "203.0.113.9:1", "client=203.0.113.9"},
		"loopback":        {[]*net.IPNet{network}, "127.0.0.1:1", "client=127.0.0.1"},
	} {
		f := setup(t, func(f *fixture) { f.settings.TrustedProxies = c.trusted })
		r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Forwarded-For", "198.51.100.7")
		r.Header.Set("X-Real-Ip", "198.51.100.8")
		f.api.ServeHTTP(httptest.NewRecorder(), r)
		if !strings.Contains(f.log.String(), c.want) {
			t.Errorf("%s: log %s, want %s", name, f.log, c.want)
		}
	}
}
