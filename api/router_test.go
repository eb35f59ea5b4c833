package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plantgate/api"
	"plantgate/api/web"
	"plantgate/internal/mes"
)

func TestEveryRouteIsDocumentedAndTheReverse(t *testing.T) {
	t.Parallel()
	f := setup(t)
	param := regexp.MustCompile(`:(\w+)`)
	var routes, documented []string
	for _, r := range f.api.Routes() {
		routes = append(routes, r.Method+" "+param.ReplaceAllString(r.Path, "{$1}"))
	}
	for path, item := range document(t).Paths.Map() {
		for method, op := range item.Operations() {
			documented = append(documented, method+" "+path)
			if op.Summary == "" || op.OperationID == "" || len(op.Tags) != 1 {
				t.Errorf("%s %s lacks a summary, an id or a tag", method, path)
			}
			if open := op.Security == nil; !open && op.Responses.Value("401") == nil {
				t.Errorf("%s %s needs a key but documents no 401", method, path)
			}
		}
	}
	slices.Sort(routes)
	slices.Sort(documented)
	if !slices.Equal(routes, documented) {
		t.Errorf("routes:\n%s\ndocumented:\n%s", strings.Join(routes, "\n"), strings.Join(documented, "\n"))
	}
}

// The document says which routes are open; the routes must agree.
func TestOnlyOpenRoutesAnswerWithoutAKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for path, item := range document(t).Paths.Map() {
		path = strings.NewReplacer("{id}", mes.NewID().String(), "{code}", "invalid", "{file}", "swagger-ui.css").Replace(path)
		for method, op := range item.Operations() {
			r := f.send(f.request(call{method: method, path: path, key: "-"}))
			if refused := r.status == http.StatusUnauthorized; refused != (op.Security != nil) {
				t.Errorf("%s %s without a key: %d", method, path, r.status)
			}
		}
	}
}

func TestOpenRoutes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, path := range []string{
		"/healthz", "/readyz", "/openapi.json", "/swagger/", "/swagger/swagger-ui.css", "/swagger/swagger-ui-bundle.js",
		"/swagger/favicon-32x32.png", "/", "/problems/invalid",
	} {
		r := f.do(call{path: path, key: "-"}).want(http.StatusOK)
		if len(r.body) == 0 {
			t.Errorf("%s is empty", path)
		}
	}
	f.do(call{path: "/swagger", key: "-"}).want(http.StatusPermanentRedirect)
	f.do(call{path: "/swagger/other.js", key: "-", invalid: true}).wantProblem(http.StatusNotFound)
	f.do(call{path: "/problems/other", key: "-"}).wantProblem(http.StatusNotFound)
	names, err := web.Names()
	f.must(err)
	for _, name := range names {
		if name != "index.html" {
			f.do(call{path: "/" + name, key: "-"}).want(http.StatusOK)
		}
	}
}

func TestPagesAllowTheirOwnScriptsOnly(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, path := range []string{"/", "/swagger/"} {
		r := f.get(path).want(http.StatusOK)
		policy := r.header.Get("Content-Security-Policy")
		_, scripts, _ := strings.Cut(policy, "script-src")
		scripts, _, _ = strings.Cut(scripts, ";")
		if strings.Contains(scripts, "unsafe") || strings.Count(scripts, "sha256-") != bytes.Count(r.body, []byte("<script>")) {
			t.Errorf("%s: %s", path, scripts)
		}
		if bytes.Contains(r.body, []byte("//cdn")) || bytes.Contains(r.body, []byte(`src="http`)) {
			t.Errorf("%s loads something from elsewhere", path)
		}
	}
}

func TestNotFoundAndMethods(t *testing.T) {
	t.Parallel()
	f := setup(t)
	problemOf := func(method, path string) reply { return f.send(f.request(call{method: method, path: path})) }
	for _, path := range []string{"/nothing", "/api", "/api/v1", "/api/v2/equipment", "/data/a/b", "//data", "/data/../etc/passwd", "/%00", "/web.go"} {
		problemOf("GET", path).wantProblem(http.StatusNotFound)
	}
	for path, methods := range map[string][]string{"/data": {"GET", "HEAD", "POST", "OPTIONS"}, "/api/v1/equipment": {"GET", "HEAD", "OPTIONS"}} {
		for _, method := range []string{"DELETE", "PUT", "PATCH", "TRACE", "FOO"} {
			r := problemOf(method, path)
			r.wantProblem(http.StatusMethodNotAllowed)
			sameMethods(t, r.header.Get("Allow"), methods)
		}
		r := problemOf("OPTIONS", path).want(http.StatusNoContent)
		sameMethods(t, r.header.Get("Allow"), methods)
	}
	get, head := problemOf("GET", "/healthz").want(200), problemOf("HEAD", "/healthz").want(200)
	if len(head.body) != 0 || head.header.Get("Content-Type") != get.header.Get("Content-Type") {
		t.Errorf("HEAD: %q, %v", head.body, head.header)
	}
	problemOf("HEAD", "/api/v1/quarantine/x/replay").want(http.StatusMethodNotAllowed)
	f.send(f.request(call{method: "HEAD", path: "/data", key: "-"})).want(http.StatusUnauthorized)
}

func sameMethods(t *testing.T, allow string, want []string) {
	t.Helper()
	got := strings.Split(allow, ", ")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("Allow %q, want %q", got, want)
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for id, kept := range map[string]bool{
		"erp-4711": true, strings.Repeat("x", 128): true, strings.Repeat("x", 129): false,
		"two words": false, "ümlaut": false, "": false,
	} {
		r := f.do(call{path: "/healthz", key: "-", header: map[string]string{"X-Request-Id": id}})
		if got := r.header.Get("X-Request-Id"); (got == id) != kept || got == "" {
			t.Errorf("%q came back as %q", id, got)
		}
	}
}

func TestAnswersAreCompressed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.fill("main", "M001", 50)
	for accept, want := range map[string]string{"gzip": "gzip", "br, gzip;q=0.5": "gzip", "gzip;q=0": "", "identity": ""} {
		request := f.request(call{path: "/data", header: map[string]string{"Accept-Encoding": accept}})
		r := f.send(request).want(http.StatusOK)
		if r.header.Get("Content-Encoding") != want {
			t.Errorf("%q: Content-Encoding %q", accept, r.header.Get("Content-Encoding"))
		}
		if want == "gzip" {
			z, err := gzip.NewReader(bytes.NewReader(r.body))
			f.must(err)
			r.body, err = io.ReadAll(z)
			f.must(err)
		}
		if got := into[struct{ Items []object }](r); len(got.Items) != 50 {
			t.Errorf("%q: %d records", accept, len(got.Items))
		}
	}
	small := f.send(f.request(call{path: "/healthz", header: map[string]string{"Accept-Encoding": "gzip"}}))
	if small.header.Get("Content-Encoding") != "" {
		t.Error("a small answer is compressed")
	}
}

// panicking is an Ingester with a fault of its own.
type panicking struct{}

func (panicking) Ingest(context.Context, []mes.Record) ([]mes.Receipt, error) {
	panic("secret of the inside")
}

func TestPanicIsAnswered(t *testing.T) {
	t.Parallel()
	f := setup(t, func(f *fixture) { f.deps.Ingester = panicking{} })
	r := f.post(contract1)
	r.wantProblem(http.StatusInternalServerError)
	if bytes.Contains(r.body, []byte("secret")) || !strings.Contains(f.log.String(), "secret of the inside") {
		t.Errorf("answer %s, log %s", r.body, f.log)
	}
}

// schemaStore is a store whose schema is old, or that is away.
type schemaStore struct {
	api.Store
	ping, schema error
}

func (s schemaStore) Ping(context.Context) error        { return s.ping }
func (s schemaStore) CheckSchema(context.Context) error { return s.schema }

func TestUnreadyStore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		store  schemaStore
		detail string
	}{
		"old schema": {schemaStore{schema: mes.Errorf(mes.CodeUnavailable, "run plantgate migrate up")}, "run plantgate migrate up"},
		"away":       {schemaStore{ping: errors.New("dial tcp 10.9.8.7: refused")}, "the store does not answer"},
	} {
		f := setup(t, func(f *fixture) { c.store.Store = f.deps.Store; f.deps.Store = c.store })
		r := f.do(call{path: "/readyz", key: "-"}).want(http.StatusServiceUnavailable)
		if got := into[object](r); got["status"] != "unready" || got["store"].(object)["detail"] != c.detail {
			t.Errorf("%s: %s", name, r.body)
		}
		f.do(call{path: "/healthz", key: "-"}).want(http.StatusOK)
	}
}

// TestReadinessOfABacklog: a shared database that is away makes a server degraded that has
// room for what comes in, and it is told what waits, since when and why.
func TestReadinessOfABacklog(t *testing.T) {
	t.Parallel()
	away := mes.Wrap(mes.CodePrecondition, mes.ErrStoreAway, "run plantgate migrate up")
	backlog := api.Backlog{Records: 7, Room: true, Oldest: time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC), Refusal: "it is away", Attempts: 3}
	f := setup(t, func(f *fixture) {
		f.deps.Store = schemaStore{Store: f.deps.Store, schema: away}
		f.deps.Backlog = func() api.Backlog { return backlog }
	})
	got := into[object](f.do(call{path: "/readyz", key: "-"}).want(http.StatusOK))
	want := object{"ready": false, "detail": "run plantgate migrate up", "waiting": json.Number("7"), "waiting_since": "2026-11-22T10:15:00Z", "refusal": "it is away", "attempts": json.Number("3")}
	if diff := cmp.Diff(want, got["store"]); diff != "" || got["status"] != "degraded" {
		t.Errorf("%v (-want +got):\n%s", got["status"], diff)
	}
	backlog.Room = false
	f.do(call{path: "/readyz", key: "-"}).want(http.StatusServiceUnavailable)
}

// TestReadinessOfAFullDisk: a server that can store nothing is not ready, and says why,
// until it can.
func TestReadinessOfAFullDisk(t *testing.T) {
	t.Parallel()
	refused := error(mes.Errorf(mes.CodeUnavailable, "the disk is full"))
	f := setup(t, func(f *fixture) { f.deps.Refused = func() error { return refused } })
	got := into[object](f.do(call{path: "/readyz", key: "-"}).want(http.StatusServiceUnavailable))
	if diff := cmp.Diff(object{"ready": false, "detail": "the disk is full"}, got["store"]); diff != "" || got["status"] != "unready" {
		t.Errorf("%v (-want +got):\n%s", got["status"], diff)
	}
	refused = nil
	if got := into[object](f.do(call{path: "/readyz", key: "-"}).want(http.StatusOK)); got["status"] != "ready" {
		t.Errorf("with room: %v", got)
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	f := setup(t, func(f *fixture) {
		f.adapters = []mes.AdapterStatus{{Door: mes.DoorMQTT, Name: "line-1", State: mes.AdapterRunning}}
	})
	if got := into[object](f.do(call{path: "/readyz", key: "-"}).want(http.StatusOK)); got["status"] != "ready" {
		t.Errorf("%v", got)
	}
	f.adapters = append(f.adapters, mes.AdapterStatus{Door: mes.DoorOPCUA, Name: "press", State: mes.AdapterBackingOff, Detail: "dial tcp 10.1.2.3: refused"})
	r := f.do(call{path: "/readyz", key: "-"}).want(http.StatusOK)
	if got := into[object](r); got["status"] != "degraded" || len(got["adapters"].([]any)) != 2 {
		t.Errorf("%s", r.body)
	}
	if bytes.Contains(r.body, []byte("10.1.2.3")) {
		t.Error("the open route shows addresses")
	}
	if list := f.get("/api/v1/adapters").want(http.StatusOK); !bytes.Contains(list.body, []byte("10.1.2.3")) {
		t.Errorf("adapters: %s", list.body)
	}
}

func TestMetricsAreByRoute(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.get("/data/" + mes.NewID().String())
	f.send(f.request(call{path: "/made-up-by-a-caller"}))
	f.send(f.request(call{method: "MADEUP", path: "/data"}))
	text := string(f.get("/metrics").want(http.StatusOK).body)
	if !strings.Contains(text, `plantgate_http_requests_total{method="GET",route="/data/:id",status="404"} 1`) {
		t.Errorf("the request is not counted by its route:\n%s", text)
	}
	if strings.Contains(text, "made-up") || strings.Contains(text, "MADEUP") {
		t.Errorf("callers can make series:\n%s", text)
	}
}
