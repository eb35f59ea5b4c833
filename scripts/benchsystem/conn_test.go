package main

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAnswersAreRead(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(`{"index":0,"status":"created"},`, 5000)
	answers := map[string]struct {
		status, created int
		body            string
		chunked         bool
	}{
		"single":  {201, 1, `{"status":"created"}`, false},
		"known":   {200, 0, `{"status":"duplicate"}`, false},
		"refused": {503, 0, `{"status":503}`, false},
		"empty":   {201, 1, "", false},
		"batch":   {201, 1000, `{"items":[` + long + `],"summary":{"created":1000,"duplicate":0,"quarantined":0,"rejected":0}}`, false},
		"mixed":   {207, 7, `{"items":[` + long + `],"summary":{"created":7,"duplicate":3,"quarantined":0,"rejected":0}}`, true},
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := answers[r.Header.Get("Case")]
		if !a.chunked {
			w.Header().Set("Content-Length", fmt.Sprint(len(a.body)))
		}
		w.WriteHeader(a.status)
		for part := range strings.SplitSeq(a.body, "},") { // uneven chunks
			if !a.chunked {
				_, _ = w.Write([]byte(a.body))
				return
			}
			_, _ = w.Write([]byte(part + "},"))
			_ = http.NewResponseController(w).Flush()
		}
	}))
	server.StartTLS()
	t.Cleanup(server.Close)
	config := server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos, config.ServerName = []string{"http/1.1"}, "example.com"
	c, err := dial(t.Context(), server.Listener.Addr().String(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	for range 3 { // one connection for all
		for name, want := range answers {
			status, err := c.do(fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: x\r\nCase: %s\r\nContent-Length: 2\r\n\r\n{}", name))
			if err != nil || status != want.status {
				t.Fatalf("%s: %d, %v", name, status, err)
			}
			records := 1
			if strings.Contains(want.body, "items") {
				records = 1000
			}
			if n := c.created(status, records); n != want.created {
				t.Errorf("%s: %d records, want %d, from %q", name, n, want.created, c.tail)
			}
		}
	}
}

func TestBadAnswersAreErrors(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		"", "HTTP/1.1 201", "HTTP/2.0 201 Created\r\n\r\n", "HTTP/1.1 2x1 Created\r\n\r\n", "HTTP/1.1 201 Created\r\n\r\n",
		"HTTP/1.1 201 Created\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nabc",
		"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
	} {
		c := &conn{in: bufio.NewReader(strings.NewReader(answer))}
		if status, err := c.read(); err == nil {
			t.Errorf("%q was read as %d", answer, status)
		}
	}
}
