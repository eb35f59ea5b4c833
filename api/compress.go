package api

import (
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
)

// compressFrom is the size of an answer from which compressing it pays.
const compressFrom = 1 << 10

// answer writes an answer, in gzip if it may be and is large enough. What may be
// compressed is held back until its size shows.
type answer struct {
	http.ResponseWriter
	zips *sync.Pool // of *gzip.Writer
	// holds means that the answer may be compressed, and that nothing was sent.
	holds  bool
	status int
	held   []byte
	zip    *gzip.Writer
}

func (w *answer) begin(to http.ResponseWriter) {
	w.ResponseWriter, w.holds, w.status, w.held, w.zip = to, false, 0, w.held[:0], nil
}

// mayCompress tells the answer that the caller takes gzip, and caches that answers
// differ by what callers take. Some routes have files that are compressed already,
// and the metrics do their own.
func (w *answer) mayCompress(r *http.Request, route string) {
	accept := r.Header[echo.HeaderAcceptEncoding]
	if route == "/metrics" || strings.HasPrefix(route, "/swagger/") || len(accept) > 0 && refusesGzip(accept[0]) {
		return
	}
	w.Header()[echo.HeaderVary] = varyByEncoding
	w.holds = len(accept) > 0 && strings.Contains(accept[0], "gzip")
}

// plain ends the holding back: the answer is sent as it is.
func (w *answer) plain() {
	if !w.holds {
		return
	}
	w.holds = false
	if w.status != 0 {
		w.ResponseWriter.WriteHeader(w.status)
	}
	if len(w.held) > 0 {
		_, _ = w.ResponseWriter.Write(w.held) // whoever wrote it has gone on
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *answer) WriteHeader(status int) {
	if !w.holds {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.status = status
}

// Write implements http.ResponseWriter.
func (w *answer) Write(b []byte) (int, error) {
	switch {
	case w.zip != nil:
		return w.zip.Write(b)
	case !w.holds:
		return w.ResponseWriter.Write(b)
	}
	if len(w.held)+len(b) < compressFrom {
		w.held = append(w.held, b...)
		return len(b), nil
	}
	if err := w.compress(b); err != nil {
		return 0, err
	}
	return w.zip.Write(b)
}

// compress sends what is held back in gzip, and then does so with all that comes,
// of which next is the first.
func (w *answer) compress(next []byte) error {
	h := w.Header()
	if h.Get(echo.HeaderContentType) == "" {
		h.Set(echo.HeaderContentType, http.DetectContentType(append(w.held, next...)))
	}
	h.Del(echo.HeaderContentLength)
	h.Set(echo.HeaderContentEncoding, "gzip")
	w.holds = false
	if w.status != 0 {
		w.ResponseWriter.WriteHeader(w.status)
	}
	var ok bool
	if w.zip, ok = w.zips.Get().(*gzip.Writer); !ok {
		w.zip = gzip.NewWriter(w.ResponseWriter)
	} else {
		w.zip.Reset(w.ResponseWriter)
	}
	_, err := w.zip.Write(w.held)
	return err
}

// finish sends what is still to be sent.
func (w *answer) finish() {
	w.plain()
	if w.zip != nil {
		_ = w.zip.Close() // the caller has gone away
		w.zip.Reset(io.Discard)
		w.zips.Put(w.zip)
		w.zip = nil
	}
}

// FlushError sends what there is so far. More is to come, so that it pays to
// compress it.
func (w *answer) FlushError() error {
	if w.holds {
		if err := w.compress(nil); err != nil {
			return err
		}
	}
	if w.zip != nil {
		if err := w.zip.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *answer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// refusesGzip tells whether the caller gives gzip the weight 0.
func refusesGzip(accept string) bool {
	if !strings.Contains(accept, ";") {
		return false // there are no weights
	}
	for coding := range strings.SplitSeq(accept, ",") {
		name, weight, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(coding, " ", "")), ";q=")
		if name == "gzip" {
			q, err := strconv.ParseFloat(weight, 64)
			return err == nil && q == 0
		}
	}
	return false
}
