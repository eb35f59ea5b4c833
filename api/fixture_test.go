package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"plantgate/api"
	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/auth"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/series"
	"plantgate/internal/store"
	"plantgate/openapi"
)

func TestMain(m *testing.M) {
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.RegisteredBodyDecoder("text/plain"))
	goleak.VerifyTestMain(m)
}

const bootstrapKey = "a key of sixteen or more"

// fixture is the interface over a real store and ingest service.
type fixture struct {
	t        *testing.T
	store    *store.Store
	auth     *auth.Service
	service  *ingest.Service
	deps     api.Deps
	settings api.Settings
	api      *api.API
	server   *httptest.Server
	doc      *openapi3.T
	adapters []mes.AdapterStatus
	log      *lockedBuffer
}

// lockedBuffer is a log that requests write to at the same time.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// setup starts the interface. Each change is applied before it is built.
func setup(t *testing.T, changes ...func(*fixture)) *fixture {
	t.Helper()
	f := &fixture{t: t, log: &lockedBuffer{}}
	var err error
	plant := apptest.OpenPlant(t, filepath.Join(t.TempDir(), "p.db"), app.StorageOptions{})
	f.store = plant.Store
	sites, err := ingest.NewSites("main", map[string]string{"main": "UTC", "pune": "Asia/Kolkata"})
	f.must(err)
	decoder := ingest.NewDecoder(ingest.Limits{MaxRecord: 256 << 10, MaxBatch: 100, MaxDepth: 32}, sites)
	f.service = ingest.New(plant, decoder, ingest.Options{
		Sites: sites, MaxFuture: 5 * time.Minute, DedupeWindow: time.Hour, Unknown: ingest.RegisterUnknown,
		QueueRecords: 1000, QueueBytes: 64 << 20,
	})
	f.run()
	f.auth, err = auth.New(f.store, auth.Options{BootstrapKey: bootstrapKey})
	f.must(err)
	registry := prometheus.NewRegistry()
	f.deps = api.Deps{
		Auth: f.auth, Decoder: decoder, Ingester: f.service, Quarantine: f.service, Store: f.store,
		Series:   series.NewReader(f.store),
		Adapters: func() []mes.AdapterStatus { return f.adapters }, Registerer: registry, Gatherer: registry,
		Logger: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	f.settings = api.Settings{SiteID: "main", MaxBody: 1 << 20, Version: "test"}
	for _, change := range changes {
		change(f)
	}
	f.api, err = api.New(f.deps, f.settings)
	f.must(err)
	f.server = httptest.NewServer(f.api)
	t.Cleanup(f.server.Close)
	f.doc = document(t)
	return f
}

// run runs the ingest service until the test ends.
func (f *fixture) run() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.t.Context()))
	done := make(chan error, 1)
	go func() { done <- f.service.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		f.must(<-done)
	})
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openapi.Document)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// key makes an API key and returns its text.
func (f *fixture) key(limit mes.Scope, scopes ...mes.KeyScope) string {
	f.t.Helper()
	_, text, err := f.auth.Create(f.t.Context(), auth.NewKey{Name: "test", Scopes: scopes, Limit: limit})
	f.must(err)
	return text
}

// call is a request; its zero fields are those of an ordinary one.
type call struct {
	method, path string
	// key is the bootstrap key by default; "-" sends none.
	key    string
	body   string
	header map[string]string
	// invalid means that the request breaks the document on purpose.
	invalid bool
}

// reply is an answer that agreed with the document.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

// do sends the request, and fails the test if request or answer are not as the
// document says.
func (f *fixture) do(c call) reply {
	f.t.Helper()
	request := f.request(c)
	route, params := f.route(request)
	if route == nil {
		f.t.Fatalf("%s %s is not in the document", request.Method, c.path)
	}
	input := &openapi3filter.RequestValidationInput{
		Request: request, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true},
	}
	if !c.invalid {
		if err := openapi3filter.ValidateRequest(f.t.Context(), input); err != nil {
			f.t.Fatalf("%s %s: the request is not as the document says: %v", c.method, c.path, err)
		}
	}
	r := f.send(f.request(c))
	f.checkAnswer(input, r)
	return r
}

// route finds what the document says of a request. Paths are matched as they
// are written, escaped and with their last slash.
func (f *fixture) route(request *http.Request) (*routers.Route, map[string]string) {
	parts := strings.Split(request.URL.EscapedPath(), "/")
	for _, template := range f.doc.Paths.InMatchingOrder() {
		params, ok := matchPath(strings.Split(template, "/"), parts)
		item := f.doc.Paths.Value(template)
		if op := item.GetOperation(request.Method); ok && op != nil {
			return &routers.Route{Spec: f.doc, Path: template, PathItem: item, Method: request.Method, Operation: op}, params
		}
	}
	return nil, nil
}

func matchPath(template, parts []string) (params map[string]string, ok bool) {
	if len(template) != len(parts) {
		return nil, false
	}
	params = make(map[string]string)
	for i, t := range template {
		if strings.HasPrefix(t, "{") && parts[i] != "" {
			params[strings.Trim(t, "{}")], _ = url.PathUnescape(parts[i])
		} else if t != parts[i] {
			return nil, false
		}
	}
	return params, true
}

func (f *fixture) request(c call) *http.Request {
	f.t.Helper()
	if c.method == "" {
		c.method = http.MethodGet
	}
	request, err := http.NewRequestWithContext(f.t.Context(), c.method, f.server.URL+c.path, strings.NewReader(c.body))
	f.must(err)
	switch c.key {
	case "":
		request.Header.Set("x-api-key", bootstrapKey)
	case "-":
	default:
		request.Header.Set("x-api-key", c.key)
	}
	if c.body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range c.header {
		if value == "" {
			request.Header.Del(name)
		} else {
			request.Header.Set(name, value)
		}
	}
	return request
}

// send returns the answer without looking at the document.
func (f *fixture) send(request *http.Request) reply {
	f.t.Helper()
	client := f.server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request)
	f.must(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	f.must(err)
	return reply{f.t, response.StatusCode, response.Header, body}
}

// ordinaryHeaders are those that any HTTP answer may bear.
func ordinaryHeaders() []string {
	return []string{
		"Date", "Content-Length", "Content-Type", "Content-Encoding", "Vary", "Cache-Control", "Content-Security-Policy",
		"X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Accept-Ranges",
		"Last-Modified", "Etag",
	}
}

func (f *fixture) checkAnswer(input *openapi3filter.RequestValidationInput, r reply) {
	f.t.Helper()
	name := input.Request.Method + " " + input.Request.URL.Path
	documented := input.Route.Operation.Responses.Status(r.status)
	if documented == nil {
		f.t.Fatalf("%s answers with %d, which is not documented: %s", name, r.status, r.body)
	}
	for header := range r.header {
		if !isDocumented(documented.Value.Headers, header) && !slices.Contains(ordinaryHeaders(), header) {
			f.t.Errorf("%s answers %d with the header %s, which is not documented", name, r.status, header)
		}
	}
	mediaType, _, _ := strings.Cut(r.header.Get("Content-Type"), ";")
	if len(r.body) > 0 && documented.Value.Content.Get(mediaType) == nil {
		f.t.Errorf("%s answers %d with a body of type %q, which is not documented", name, r.status, mediaType)
	}
	answer := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: r.status, Header: r.header,
		Options: &openapi3filter.Options{
			IncludeResponseStatus: true, MultiError: true, ExcludeResponseBody: !strings.Contains(mediaType, "json"),
		},
	}
	answer.SetBodyBytes(r.body)
	if err := openapi3filter.ValidateResponse(f.t.Context(), answer); err != nil {
		f.t.Errorf("%s: the answer is not as the document says: %v\n%s", name, err, r.body)
	}
}

func isDocumented(headers openapi3.Headers, name string) bool {
	for documented := range headers {
		if strings.EqualFold(documented, name) {
			return true
		}
	}
	return false
}

// want fails the test unless the answer has the status.
func (r reply) want(status int) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	return r
}

// into decodes the answer.
func into[T any](r reply) T {
	r.t.Helper()
	var v T
	dec := json.NewDecoder(bytes.NewReader(r.body))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		r.t.Fatalf("%v in %s", err, r.body)
	}
	return v
}

// object is a decoded JSON object.
type object = map[string]any

// problem is what tests look at in a problem document.
type problem struct {
	Type, Title, Detail, Instance string
	Status                        int
	RequestID                     string `json:"request_id"`
	Errors                        []struct{ Pointer, Detail string }
}

// wantProblem fails the test unless the answer is a whole problem document that
// names the given pointers.
func (r reply) wantProblem(status int, pointers ...string) problem {
	r.t.Helper()
	r.want(status)
	p := into[problem](r)
	if r.header.Get("Content-Type") != "application/problem+json" || p.Status != status || p.Title == "" || p.Type == "" {
		r.t.Errorf("not a problem document: %s", r.body)
	}
	if p.RequestID == "" || p.RequestID != r.header.Get("X-Request-Id") {
		r.t.Errorf("request id %q, header %q", p.RequestID, r.header.Get("X-Request-Id"))
	}
	for _, pointer := range pointers {
		if !slices.ContainsFunc(p.Errors, func(e struct{ Pointer, Detail string }) bool { return e.Pointer == pointer }) {
			r.t.Errorf("%s is not named: %s", pointer, r.body)
		}
	}
	return p
}

// post stores a body and returns the answer.
func (f *fixture) post(body string) reply {
	f.t.Helper()
	return f.do(call{method: http.MethodPost, path: "/data", body: body})
}

func (f *fixture) get(path string) reply {
	f.t.Helper()
	return f.do(call{path: path})
}

// list follows the cursors of a list and returns every item.
func (f *fixture) list(path string) (items []object, pages int) {
	f.t.Helper()
	for path != "" {
		r := f.get(path).want(http.StatusOK)
		p := into[struct {
			Items      []object
			NextCursor *string `json:"next_cursor"`
		}](r)
		items = append(items, p.Items...)
		pages++
		link := r.header.Get("Link")
		if (p.NextCursor == nil) != (link == "") {
			f.t.Fatalf("cursor %v, Link %q", p.NextCursor, link)
		}
		path, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
		if p.NextCursor != nil && !strings.Contains(path, "cursor="+url.QueryEscape(*p.NextCursor)) {
			f.t.Fatalf("Link %q does not bear the cursor %q", link, *p.NextCursor)
		}
	}
	return items, pages
}
