package api

import (
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// maxRequestID is the length of a caller's request id.
const maxRequestID = 128

// requestID takes the caller's id of the request, or gives it one.
func requestID(r *http.Request, now time.Time) string {
	if given := r.Header[echo.HeaderXRequestID]; len(given) > 0 && isRequestID(given[0]) {
		return given[0]
	}
	return newRequestID(now)
}

// isRequestID allows printable ASCII without spaces, which can stand in logs and
// headers as it is.
func isRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	return !strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' })
}

// newRequestID returns a UUID of version 7 (RFC 9562, 5.7). It opens nothing, so
// that it need not be hard to guess, only unlike every other.
func newRequestID(now time.Time) string {
	var id mes.ID
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16|0x7000|rand.Uint64()&0x0fff)
	binary.BigEndian.PutUint64(id[8:], 1<<63|rand.Uint64()>>2)
	return id.String()
}
