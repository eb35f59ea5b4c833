package api_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"plantgate/api"
	"plantgate/internal/auth"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// What the interface adds to net/http for one small record, beside a handler
// that reads the body and answers always the same.

func BenchmarkPostData(b *testing.B) { benchmarkPost(b, benchmarkAPI(b), nil) }

// Clients of most languages say that they take gzip.
func BenchmarkPostDataAcceptGzip(b *testing.B) {
	benchmarkPost(b, benchmarkAPI(b), http.Header{"Accept-Encoding": {"gzip, deflate"}})
}

func BenchmarkBareHandler(b *testing.B) {
	e := echo.New()
	answer := []byte(`{"id":"019aab1c-7d20-8c11-9e02-3f5a6b7c8d9e","status":"created","site_id":"main","machine_id":"M001","timestamp":"2026-11-22T10:15:00Z"}`)
	e.POST("/data", func(c echo.Context) error {
		if _, err := io.ReadAll(c.Request().Body); err != nil {
			return err
		}
		return c.JSONBlob(http.StatusCreated, answer)
	})
	benchmarkPost(b, e, nil)
}

func benchmarkAPI(b *testing.B) *api.API {
	b.Helper()
	keys, err := auth.New(nil, auth.Options{BootstrapKey: bootstrapKey})
	if err != nil {
		b.Fatal(err)
	}
	sites, err := ingest.NewSites("main", map[string]string{"main": "UTC"})
	if err != nil {
		b.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	a, err := api.New(api.Deps{
		Auth:       keys,
		Decoder:    ingest.NewDecoder(ingest.Limits{MaxRecord: 256 << 10, MaxBatch: 10_000, MaxDepth: 32}, sites),
		Ingester:   &instantIngester{receiver: mes.NewID()},
		Registerer: registry, Gatherer: registry,
	}, api.Settings{SiteID: "main", MaxBody: 16 << 20})
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// instantIngester answers as the service does, without a commit.
type instantIngester struct{ receiver mes.ID }

func (i *instantIngester) Ingest(_ context.Context, batch []mes.Record) ([]mes.Receipt, error) {
	receipts := make([]mes.Receipt, len(batch))
	for n := range batch {
		batch[n].Identify(i.receiver)
		receipts[n] = mes.Receipt{Status: mes.ReceiptCreated, ID: batch[n].ID}
	}
	return receipts, nil
}

// benchmarkPost calls the handler with the same request over and over.
func benchmarkPost(b *testing.B, h http.Handler, header http.Header) {
	b.Helper()
	body := bytes.NewReader([]byte(contract1))
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "/data", io.NopCloser(body))
	if err != nil {
		b.Fatal(err)
	}
	r.ContentLength = int64(len(contract1))
	r.Header = http.Header{"Content-Type": {"application/json"}, "X-Api-Key": {bootstrapKey}, "User-Agent": {"bench"}}
	for name, values := range header {
		r.Header[name] = values
	}
	w := new(discardedAnswer)
	b.ReportAllocs()
	for b.Loop() {
		body.Reset([]byte(contract1))
		w.header = make(http.Header) // as net/http does for each answer
		h.ServeHTTP(w, r)
		if w.status != http.StatusCreated {
			b.Fatalf("status %d", w.status)
		}
	}
}

// discardedAnswer is a ResponseWriter that keeps nothing but the status. It
// takes deadlines, as a connection does.
type discardedAnswer struct {
	header http.Header
	status int
}

func (w *discardedAnswer) Header() http.Header             { return w.header }
func (w *discardedAnswer) WriteHeader(status int)          { w.status = status }
func (w *discardedAnswer) Write(p []byte) (int, error)     { return len(p), nil }
func (w *discardedAnswer) SetReadDeadline(time.Time) error { return nil }
