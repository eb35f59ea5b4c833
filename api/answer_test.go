package api

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// answerOf calls a handler on a route of its own, as ServeHTTP calls all.
func answerOf(t *testing.T, header http.Header, handler echo.HandlerFunc) *httptest.ResponseRecorder {
	t.Helper()
	a, err := New(Deps{Logger: slog.New(slog.DiscardHandler)}, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	a.echo.GET("/test", handler)
	r := httptest.NewRequest(http.MethodGet, "/test", nil)
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

// encoded is what encoding/json writes of an answer.
func encoded(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Answers that are put together by hand are those that the types describe.
func TestStoredIsAsDescribed(t *testing.T) {
	t.Parallel()
	id, other := mes.NewID(), mes.NewID()
	at := time.Date(2026, 11, 22, 10, 15, 0, 120_000_000, time.UTC)
	for name, c := range map[string]struct {
		record  mes.Record
		receipt mes.Receipt
		timed   bool
	}{
		"created":   {mes.Record{ID: id, SiteID: "main", MachineID: "M001", Time: at}, mes.Receipt{ID: id, Status: mes.ReceiptCreated}, true},
		"of before": {mes.Record{ID: id, SiteID: "main", MachineID: "M001", Time: at}, mes.Receipt{ID: other, Status: mes.ReceiptDuplicate}, false},
		"odd names": {mes.Record{ID: id, SiteID: `wör"k<s>`, MachineID: "a\\b&\u2028", Time: at}, mes.Receipt{ID: id, Status: mes.ReceiptDuplicate}, true},
		"no time":   {mes.Record{ID: id, SiteID: "main", MachineID: "M001"}, mes.Receipt{ID: id, Status: mes.ReceiptCreated}, false},
	} {
		want := stored{ID: c.receipt.ID.String(), Status: string(c.receipt.Status), SiteID: c.record.SiteID, MachineID: c.record.MachineID}
		if c.timed {
			want.Timestamp = &at
		}
		w := answerOf(t, nil, func(e echo.Context) error { return exchangeOf(e).answerOne(e, &c.record, c.receipt) })
		if got := w.Body.String(); got != encoded(t, want) {
			t.Errorf("%s: %s, want %s", name, got, encoded(t, want))
		}
		if w.Code != statusOfReceipt(c.receipt) || w.Header().Get("Location") != "/data/"+want.ID || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
}

func TestBatchResultIsAsDescribed(t *testing.T) {
	t.Parallel()
	kinds := []mes.Receipt{
		{ID: mes.NewID(), Status: mes.ReceiptCreated},
		{ID: mes.NewID(), Status: mes.ReceiptDuplicate},
		{ID: mes.NewID(), Status: mes.ReceiptQuarantined, Fault: mes.Invalid([]mes.FieldError{{Pointer: "/a<b", Detail: `"ü"`}})},
		{Status: mes.ReceiptRejected, Fault: mes.Errorf(mes.CodeInternal, "secret")},
	}
	for _, n := range []int{0, 1, 2, 4, 7, 1000} {
		want := batchResult{Items: []batchItem{}}
		var receipts []mes.Receipt
		for i := range n {
			r := kinds[i%len(kinds)]
			receipts = append(receipts, r)
			item := batchItem{Index: i, StatusCode: statusOfReceipt(r), Status: string(r.Status)}
			if !r.ID.IsZero() {
				item.ID = r.ID.String()
			}
			if r.Fault != nil {
				doc := problemOf(r.Fault)
				item.Error = &doc
			}
			want.Items = append(want.Items, item)
		}
		want.Summary = batchSummary{Created: (n + 3) / 4, Duplicate: (n + 2) / 4, Quarantined: (n + 1) / 4, Rejected: n / 4}
		w := answerOf(t, nil, func(c echo.Context) error { return sendBatch(c, http.StatusMultiStatus, receipts) })
		if got := w.Body.String(); got != encoded(t, want) || w.Code != http.StatusMultiStatus {
			t.Errorf("%d receipts: %d %.300s", n, w.Code, got)
		}
	}
}

// Large answers are compressed for callers that take it, however they are written;
// small ones and errors are not.
func TestCompressedAnswers(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("machine ", 1000)
	write := func(parts ...string) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.Response().WriteHeader(http.StatusAccepted)
			for _, part := range parts {
				if _, err := io.WriteString(c.Response(), part); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		accept   string
		handler  echo.HandlerFunc
		want     string
		zip, any bool
	}{
		"large":           {"gzip, br", write(large), large, true, true},
		"large in parts":  {"gzip", write(large[:100], large[100:900], large[900:1500], large[1500:]), large, true, true},
		"not taken":       {"br", write(large), large, false, true},
		"refused":         {"gzip;q=0", write(large), large, false, false},
		"small":           {"gzip", write("a", "b"), "ab", false, true},
		"empty":           {"gzip", write(), "", false, true},
		"nothing is said": {"", write(large), large, false, true},
		"flushed": {"gzip", func(c echo.Context) error {
			c.Response().WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(c.Response(), "a")
			c.Response().Flush()
			_, err := io.WriteString(c.Response(), "b")
			return err
		}, "ab", true, true},
	} {
		header := http.Header{}
		if c.accept != "" {
			header.Set("Accept-Encoding", c.accept)
		}
		w := answerOf(t, header, c.handler)
		body := w.Body.Bytes()
		if zipped := w.Header().Get("Content-Encoding") == "gzip"; zipped != c.zip {
			t.Errorf("%s: Content-Encoding %q", name, w.Header().Get("Content-Encoding"))
		} else if zipped {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if body, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if string(body) != c.want || w.Code != http.StatusAccepted {
			t.Errorf("%s: %d %.100q", name, w.Code, body)
		}
		if vary := w.Header().Get("Vary"); (vary == "Accept-Encoding") != c.any {
			t.Errorf("%s: Vary %q", name, vary)
		}
	}
	fails := func(echo.Context) error { return mes.Errorf(mes.CodeInvalid, "%s", large) }
	if w := answerOf(t, http.Header{"Accept-Encoding": {"gzip"}}, fails); w.Header().Get("Content-Encoding") != "" || w.Code != http.StatusUnprocessableEntity {
		t.Errorf("an error: %d %v", w.Code, w.Header())
	}
}

// The headers that answers share must not be changed by one of them.
func TestSharedHeadersStay(t *testing.T) {
	t.Parallel()
	answerOf(t, nil, func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Cache-Control", "no-cache")
		h.Add("Vary", "Origin")
		h.Add("Referrer-Policy", "origin")
		return c.NoContent(http.StatusOK)
	})
	w := answerOf(t, nil, func(c echo.Context) error { return c.NoContent(http.StatusOK) })
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Vary": "Accept-Encoding",
	} {
		if got := w.Header().Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// What a page can make a browser post must not be framed when it is answered; programs'
// JSON, which no form can post, needs no such headers.
func TestFormsAreNotFramed(t *testing.T) {
	t.Parallel()
	a, err := New(Deps{Logger: slog.New(slog.DiscardHandler)}, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	for contentType, framed := range map[string]bool{
		"": false, "text/plain": false, "application/x-www-form-urlencoded": false, "multipart/form-data; boundary=x": false,
		"application/json": true, "application/json; charset=utf-8": true,
	} {
		r := httptest.NewRequest(http.MethodPost, "/data", strings.NewReader("{}"))
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		for _, name := range []string{"X-Frame-Options", "Content-Security-Policy", "Referrer-Policy"} {
			if got := w.Header().Get(name) == ""; got != framed {
				t.Errorf("%q: %s is %q", contentType, name, w.Header().Get(name))
			}
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %v", contentType, w.Header())
		}
	}
}

func TestRequestIDsAreUUIDs(t *testing.T) {
	t.Parallel()
	now := time.Now()
	seen := make(map[string]bool)
	for range 1000 {
		id := newRequestID(now)
		u, err := uuid.Parse(id)
		if err != nil || u.Version() != 7 || u.Variant() != uuid.RFC4122 {
			t.Fatalf("%s: version %d, %s, %v", id, u.Version(), u.Variant(), err)
		}
		if sec, nsec := u.Time().UnixTime(); time.Unix(sec, nsec).UnixMilli() != now.UnixMilli() {
			t.Fatalf("%s is of %s, not %s", id, time.Unix(sec, nsec), now)
		}
		if seen[id] {
			t.Fatalf("%s twice", id)
		}
		seen[id] = true
	}
}
