package apptest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Client speaks to a server with one API key.
type Client struct {
	// URL is the server's address, without a slash at its end.
	URL string
	// Key goes into every request; "" sends none.
	Key  string
	HTTP *http.Client
	t    testing.TB
}

// NewClient returns a client that trusts the CA alone.
func NewClient(t testing.TB, url, caFile, key string) *Client {
	t.Helper()
	transport := trust(t, caFile)
	t.Cleanup(transport.CloseIdleConnections)
	return &Client{URL: url, Key: key, HTTP: &http.Client{Transport: transport, Timeout: Patience}, t: t}
}

// Answer is what a server answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	t      testing.TB
}

// Request makes a request with the client's key. A POST is JSON unless a header
// says otherwise.
func (c *Client) Request(ctx context.Context, method, path string, body io.Reader, headers ...string) *http.Request {
	c.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, c.URL+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.Key != "" {
		r.Header.Set("X-Api-Key", c.Key)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// Send sends a request and returns the whole answer, or the reason why there is
// none. It may be called from any goroutine.
func (c *Client) Send(r *http.Request) (Answer, error) {
	resp, err := c.HTTP.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return Answer{resp.StatusCode, resp.Header, body, c.t}, err
}

// Do sends a request with headers in pairs of name and value.
func (c *Client) Do(method, path, body string, headers ...string) Answer {
	c.t.Helper()
	a, err := c.Send(c.Request(c.t.Context(), method, path, strings.NewReader(body), headers...))
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// Post posts machine data.
func (c *Client) Post(body string, headers ...string) Answer {
	c.t.Helper()
	return c.Do(http.MethodPost, "/data", body, headers...)
}

// Get reads path into a new T and fails the test unless the answer is 200.
func Get[T any](c *Client, path string) T {
	c.t.Helper()
	a := c.Do(http.MethodGet, path, "")
	a.Want(http.StatusOK)
	return Decode[T](a)
}

// Want fails the test unless the answer has the status.
func (a Answer) Want(status int) Answer {
	a.t.Helper()
	if a.Status != status {
		a.t.Fatalf("status %d, want %d: %.500s", a.Status, status, a.Body)
	}
	return a
}

// Decode reads the answer's body.
func Decode[T any](a Answer) T {
	a.t.Helper()
	var v T
	if err := json.Unmarshal(a.Body, &v); err != nil {
		a.t.Fatalf("%v in %.500s", err, a.Body)
	}
	return v
}

// Eventually asks again and again until ok, and fails the test with what is
// missing if that does not happen.
func Eventually(t testing.TB, missing string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", Patience, missing)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
