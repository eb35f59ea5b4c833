package app_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"plantgate/internal/app/apptest"
)

// http1 posts over one kept connection. It costs a fraction of what the
// library's client does, since load generator and server share the processors.
type http1 struct {
	conn *tls.Conn
	in   *bufio.Reader
	head string
	out  []byte
}

func newHTTP1(b *testing.B, s *apptest.Process) *http1 {
	b.Helper()
	config := s.HTTP.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos = []string{"http/1.1"}
	conn, err := (&tls.Dialer{Config: config}).DialContext(b.Context(), "tcp", strings.TrimPrefix(s.URL, "https://"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return &http1{
		conn: conn.(*tls.Conn), in: bufio.NewReader(conn),
		head: "POST /data HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: " + apptest.Key + "\r\nContent-Type: application/json\r\n",
	}
}

func (c *http1) post(body string) error {
	c.out = append(c.out[:0], c.head...)
	c.out = fmt.Appendf(c.out, "Content-Length: %d\r\n\r\n%s", len(body), body)
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("answer %s", resp.Status)
	}
	return nil
}
