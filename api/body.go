package api

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// defaultBodyTimeout is how long a request's body may take to arrive.
const defaultBodyTimeout = 60 * time.Second

// bodyMemory is how many of the largest bodies may be in memory at the same
// time. Their records take several times as much.
const bodyMemory = 4

// freeBody is how much of every body's buffers is not counted, in bytes, so that
// ordinary readings find room however many large bodies there are.
const freeBody = 64 << 10

// smallBody is the size of the memory that every exchange has for its body.
const smallBody = 4 << 10

// budget bounds the bytes of all bodies in memory, so that many large ones at
// the same time are refused for a while instead of ending the process.
type budget struct {
	limit int64
	used  atomic.Int64
}

// allowance is one request's part of the budget.
type allowance struct {
	budget *budget
	// limit is the largest body of the route, in either form.
	limit int64
	// size is of the request's buffers, taken the part of it that counts.
	size, taken int64
	// first is memory for the first bytes.
	first []byte
}

func (a *allowance) take(n int64) bool {
	a.size += n
	counted := max(a.size-freeBody, 0) - a.taken
	if counted == 0 {
		return true
	}
	a.taken += counted
	return a.budget.used.Add(counted) <= a.budget.limit
}

func (a *allowance) giveBack() {
	if a.taken != 0 {
		a.budget.used.Add(-a.taken)
	}
}

// boundBody sets how much of a request's body will be read. The memory is given
// back once the request is answered.
func (a *API) boundBody(class bodyClass, next echo.HandlerFunc) echo.HandlerFunc {
	limit := int64(maxResourceBody)
	switch class {
	case noBody:
		return next
	case dataBody:
		limit = a.settings.MaxBody
	}
	return func(c echo.Context) error {
		exchangeOf(c).bodyAllowance = allowance{budget: &a.bodies, limit: limit}
		return next(c)
	}
}

// readBody returns the whole body, decompressed, and bounded in both forms. It
// fails with CodeTooLarge, CodeUnsupported (of encoding), CodeMalformed, or
// CodeUnavailable while other bodies fill the memory.
//
// The body is the handler's for ever, unless it hands it back with doneWithBody.
func (a *API) readBody(c echo.Context) ([]byte, error) {
	r, x := c.Request(), exchangeOf(c)
	mine := &x.bodyAllowance
	if r.ContentLength > mine.limit {
		return nil, tooLarge(mine.limit)
	}
	mine.first, x.small = x.small, nil
	if mine.first == nil {
		mine.first = make([]byte, 0, smallBody)
	}
	raw, err := a.readInTime(c, mine)
	if err != nil {
		return nil, a.bodyError(err, mine.limit)
	}
	switch encoding := strings.ToLower(r.Header.Get(echo.HeaderContentEncoding)); encoding {
	case "", "identity":
		return raw, nil
	case "gzip", "x-gzip":
		body, err := a.decompress(mine, raw)
		x.doneWithBody(raw)
		return body, err
	default:
		return nil, mes.Errorf(mes.CodeUnsupported, "the Content-Encoding must be gzip or none")
	}
}

// doneWithBody tells that nothing refers to the body any more.
func (x *exchange) doneWithBody(body []byte) {
	if cap(body) == smallBody {
		x.small = body[:0]
	}
}

// readInTime reads the body as it came. One that trickles in must not hold a
// connection for ever. After a failure the limit stays, since the server reads on
// to the end of the body.
func (a *API) readInTime(c echo.Context, mine *allowance) ([]byte, error) {
	r := c.Request()
	// Writers without deadlines (recorders) are no reason to fail.
	control := http.NewResponseController(c.Response().Writer)
	_ = control.SetReadDeadline(time.Now().Add(a.settings.BodyTimeout))
	raw, err := mine.read(r.Body, r.ContentLength)
	if err == nil {
		_ = control.SetReadDeadline(time.Time{})
	}
	return raw, err
}

var (
	errTooLarge = errors.New("too large")
	errBusy     = mes.Errorf(mes.CodeUnavailable, "too many large requests at the same time")
)

// read returns everything that r holds, within the limit and the allowance;
// expected is how many bytes are said to come, or -1.
func (a *allowance) read(r io.Reader, expected int64) ([]byte, error) {
	b := a.first
	a.first = nil
	if !a.take(int64(cap(b))) {
		return nil, errBusy
	}
	for {
		if have := int64(len(b)); len(b) == cap(b) {
			room := a.room(have, expected)
			if !a.take(room - have) {
				return nil, errBusy
			}
			b = append(make([]byte, 0, room), b...)
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > a.limit:
			return nil, errTooLarge
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return nil, err
		}
	}
}

// room is how large a buffer that is full at have bytes is made. It grows by
// factors, and to what is said to come once a part of that is there: memory
// follows what was sent, not what was promised. One byte more shows the end.
func (a *allowance) room(have, expected int64) int64 {
	const least, factor = 512, 4
	if expected >= have && expected <= max(factor*have, least) {
		return expected + 1
	}
	return min(max(factor*have, least), a.limit+1)
}

// unzipper is a gzip reader with what it reads from.
type unzipper struct {
	zip gzip.Reader
	raw bytes.Reader
}

func (a *API) decompress(mine *allowance, raw []byte) ([]byte, error) {
	z, ok := a.unzips.Get().(*unzipper)
	if !ok {
		z = new(unzipper)
	}
	defer func() {
		z.raw.Reset(nil)
		a.unzips.Put(z)
	}()
	z.raw.Reset(raw)
	if err := z.zip.Reset(&z.raw); err != nil {
		return nil, mes.Errorf(mes.CodeMalformed, "the body is not gzip, as its Content-Encoding says")
	}
	body, err := mine.read(&z.zip, -1)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, tooLarge(mine.limit)
	case errors.Is(err, errBusy):
		return nil, err
	case err != nil:
		return nil, mes.Errorf(mes.CodeMalformed, "the gzip body is damaged or ends too early")
	}
	return body, nil
}

func (a *API) bodyError(err error, limit int64) error {
	switch {
	case errors.Is(err, errTooLarge):
		return tooLarge(limit)
	case errors.Is(err, errBusy):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return mes.Errorf(mes.CodeMalformed, "the body did not arrive within %s", a.settings.BodyTimeout)
	default:
		return mes.Errorf(mes.CodeMalformed, "the body ended before it was complete")
	}
}

func tooLarge(limit int64) *mes.Error {
	return mes.Errorf(mes.CodeTooLarge, "the body has more than %d bytes, the most that is taken", limit)
}

// mediaType returns the media type of the body in lower case, "" if there is
// none. A charset other than UTF-8 is unsupported: JSON has no other (RFC 8259,
// 8.1).
func mediaType(r *http.Request) (string, error) {
	header := r.Header.Get(echo.HeaderContentType)
	if header == "" || header == echo.MIMEApplicationJSON || header == ndjson {
		return header, nil // nearly always
	}
	name, params, err := mime.ParseMediaType(header)
	if err != nil {
		return "", mes.Errorf(mes.CodeUnsupported, "the Content-Type is not a media type")
	}
	switch strings.ToLower(params["charset"]) {
	case "", "utf-8", "utf8", "us-ascii":
		return name, nil
	default:
		return "", mes.Errorf(mes.CodeUnsupported, "the charset must be UTF-8")
	}
}

// isJSON tells whether the media type is JSON or a format based on it (RFC 6839).
func isJSON(name string) bool {
	return name == "application/json" || name == "text/json" || strings.HasSuffix(name, "+json")
}
