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
	"time"

	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// defaultBodyTimeout is how long a request's body may take to arrive.
const defaultBodyTimeout = 60 * time.Second

// bodyLimitOfRequest is the name under which a route's limit is kept.
const bodyLimitOfRequest = "plantgate.body_limit"

// boundBody sets how much of a request's body will be read.
func (a *API) boundBody(class bodyClass) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			switch class {
			case resourceBody:
				c.Set(bodyLimitOfRequest, int64(maxResourceBody))
			case dataBody:
				c.Set(bodyLimitOfRequest, a.settings.MaxBody)
			}
			return next(c)
		}
	}
}

// readBody returns the whole body, decompressed, and bounded in both forms. It
// fails with CodeTooLarge, CodeUnsupported (of encoding) or CodeMalformed.
func (a *API) readBody(c echo.Context) ([]byte, error) {
	r := c.Request()
	limit, _ := c.Get(bodyLimitOfRequest).(int64)
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	// A body that trickles in must not hold a connection for ever. After a
	// failure the limit stays, since the server reads on to the end of the body.
	// Writers without deadlines (recorders) are no reason to fail.
	control := http.NewResponseController(c.Response().Writer)
	_ = control.SetReadDeadline(time.Now().Add(a.settings.BodyTimeout))
	raw, err := readAtMost(r.Body, limit)
	if err != nil {
		return nil, a.bodyError(err, limit)
	}
	_ = control.SetReadDeadline(time.Time{})
	switch encoding := strings.ToLower(r.Header.Get(echo.HeaderContentEncoding)); encoding {
	case "", "identity":
		return raw, nil
	case "gzip", "x-gzip":
		return decompress(raw, limit)
	default:
		return nil, mes.Errorf(mes.CodeUnsupported, "the Content-Encoding must be gzip or none")
	}
}

var errTooLarge = errors.New("too large")

func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	var b bytes.Buffer
	n, err := b.ReadFrom(io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = errTooLarge
	}
	return b.Bytes(), err
}

func decompress(raw []byte, limit int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, mes.Errorf(mes.CodeMalformed, "the body is not gzip, as its Content-Encoding says")
	}
	body, err := readAtMost(z, limit)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, tooLarge(limit)
	case err != nil:
		return nil, mes.Errorf(mes.CodeMalformed, "the gzip body is damaged or ends too early")
	}
	return body, nil
}

func (a *API) bodyError(err error, limit int64) error {
	switch {
	case errors.Is(err, errTooLarge):
		return tooLarge(limit)
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
	if header == "" {
		return "", nil
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
