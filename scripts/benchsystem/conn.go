package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// tailSize is how much is kept of the end of an answer: the summary of a batch
// stands there.
const tailSize = 160

// conn is a client's connection. It costs a fraction of what the library's client
// does, since load and server share the processors.
type conn struct {
	tls  *tls.Conn
	in   *bufio.Reader
	tail []byte
}

func dial(ctx context.Context, address string, config *tls.Config) (*conn, error) {
	c, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &conn{tls: c.(*tls.Conn), in: bufio.NewReaderSize(c, 4096), tail: make([]byte, 0, tailSize)}, nil
}

func (c *conn) close() { _ = c.tls.Close() }

// do sends a request and reads the whole answer. The end of its body is in tail.
func (c *conn) do(request []byte) (status int, err error) {
	if _, err := c.tls.Write(request); err != nil {
		return 0, err
	}
	return c.read()
}

func (c *conn) read() (status int, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, fmt.Errorf("no answer of HTTP/1.1: %.80q", line)
	}
	status, ok := number(line[9:12])
	if !ok {
		return 0, fmt.Errorf("no status in %.80q", line)
	}
	length, chunked, err := c.head()
	if err != nil {
		return 0, err
	}
	c.tail = c.tail[:0]
	if chunked {
		return status, c.chunks()
	}
	return status, c.take(length)
}

var (
	headLength  = []byte("content-length:")
	headChunked = []byte("transfer-encoding: chunked")
)

// head reads the header of the answer.
func (c *conn) head() (length int, chunked bool, err error) {
	length = -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, false, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0 && length < 0 && !chunked:
			return 0, false, errors.New("an answer without a length")
		case len(line) == 0:
			return length, chunked, nil
		case hasPrefixFold(line, headLength):
			var ok bool
			if length, ok = number(bytes.TrimSpace(line[len(headLength):])); !ok {
				return 0, false, fmt.Errorf("no length in %.80q", line)
			}
		case hasPrefixFold(line, headChunked):
			chunked = true
		}
	}
}

func hasPrefixFold(line, prefix []byte) bool {
	return len(line) >= len(prefix) && bytes.EqualFold(line[:len(prefix)], prefix)
}

// chunks reads a body in chunks (RFC 9112, 7.1), without trailers.
func (c *conn) chunks() error {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
		if err != nil {
			return fmt.Errorf("size of a chunk: %w", err)
		}
		if err := c.take(int(size)); err != nil {
			return err
		}
		if _, err := c.in.Discard(len("\r\n")); err != nil || size == 0 {
			return err
		}
	}
}

// take reads n bytes of a body and keeps the end of it.
func (c *conn) take(n int) error {
	for n > 0 {
		part, err := c.in.Peek(min(n, c.in.Size()))
		if len(part) == 0 {
			return errors.Join(err, io.ErrUnexpectedEOF)
		}
		// Peek waits for as much as it was asked for, or the end.
		c.keep(part)
		n -= len(part)
		if _, err := c.in.Discard(len(part)); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) keep(part []byte) {
	if len(part) >= tailSize {
		c.tail = append(c.tail[:0], part[len(part)-tailSize:]...)
		return
	}
	if over := len(c.tail) + len(part) - tailSize; over > 0 {
		c.tail = c.tail[:copy(c.tail, c.tail[over:])]
	}
	c.tail = append(c.tail, part...)
}

// created is how many records an answer says were stored by it.
func (c *conn) created(status, records int) int {
	if records == 1 {
		if status == 201 {
			return 1
		}
		return 0
	}
	mark := []byte(`"created":`)
	i := bytes.LastIndex(c.tail, mark)
	if i < 0 {
		return 0
	}
	digits := c.tail[i+len(mark):]
	end := 0
	for end < len(digits) && digits[end] >= '0' && digits[end] <= '9' {
		end++
	}
	n, _ := number(digits[:end])
	return n
}

func number(digits []byte) (n int, ok bool) {
	for _, d := range digits {
		if d < '0' || d > '9' || n > 1<<40 {
			return 0, false
		}
		n = n*10 + int(d-'0')
	}
	return n, len(digits) > 0
}
