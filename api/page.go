package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"

	strict "github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"
)

// page is a list, or the part of one that was asked for.
type page[T any] struct {
	Items []T `json:"items" validate:"required"`
	// Send it as cursor for the next part; null at the end of the list.
	NextCursor *string `json:"next_cursor" validate:"required" extensions:"x-nullable"`
}

// maxCursor bounds what is decoded of a caller's cursor.
const maxCursor = 2048

// cursorContent is what an opaque cursor holds: the filter that it belongs to,
// and the position of the last item that was shown.
type cursorContent[P any] struct {
	Filter   []byte `json:"f"`
	Position P      `json:"p"`
}

// filterHash binds a cursor to the list and the filter that it came from.
func (q *query) filterHash() []byte {
	values := make(url.Values, len(q.values))
	for name, list := range q.values {
		if name != "cursor" && name != "limit" {
			values[name] = list
		}
	}
	sum := sha256.Sum256([]byte(q.path + "?" + values.Encode()))
	return sum[:12]
}

// cursorOf returns the position after which the list goes on, nil at its
// beginning.
func cursorOf[P any](q *query) *P {
	text := q.text("cursor")
	if text == "" {
		return nil
	}
	content, ok := decodeCursor[P](text)
	if !ok {
		q.fault("cursor", "is damaged; take it from next_cursor as it is")
		return nil
	}
	if !bytes.Equal(content.Filter, q.filterHash()) {
		q.fault("cursor", "belongs to another list or filter")
		return nil
	}
	return &content.Position
}

func decodeCursor[P any](text string) (content cursorContent[P], ok bool) {
	if len(text) > maxCursor {
		return content, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return content, false
	}
	err = strict.Unmarshal(raw, &content, strict.RejectUnknownMembers(true))
	return content, err == nil
}

func encodeCursor[P any](q *query, position P) (string, error) {
	raw, err := json.Marshal(cursorContent[P]{q.filterHash(), position})
	return base64.RawURLEncoding.EncodeToString(raw), err
}

// Bounds of a page besides its limit, so that large records can't fill the memory:
// how many are read at once, and the bytes after which a page ends.
const (
	maxRead = 50
	maxPage = 8 << 20
)

// readPage reads what a page of the limit shows, and one more if the list goes on.
// It returns the limit that the size of the items leaves of the one given. read
// returns at most n items that stand after last, which is nil at the beginning.
func readPage[S any](limit int, size func(S) int, read func(last *S, n int) ([]S, error)) ([]S, int, error) {
	var found []S
	var last *S
	total := 0
	for len(found) <= limit {
		n := min(maxRead, limit+1-len(found))
		part, err := read(last, n)
		if err != nil {
			return nil, 0, err
		}
		for _, s := range part {
			found = append(found, s)
			if total += size(s); total > maxPage && len(found) > 1 {
				return found, len(found) - 1, nil
			}
		}
		if len(part) < n {
			break
		}
		last = &found[len(found)-1]
	}
	return found, limit, nil
}

// answerPage answers with the found items, of which there is one more than the
// limit if the list goes on.
func answerPage[S, T, P any](c echo.Context, q *query, found []S, limit int, convert func(S) T, position func(S) P) error {
	answer := page[T]{Items: make([]T, 0, min(len(found), limit))}
	for i, s := range found {
		if i == limit {
			cursor, err := encodeCursor(q, position(found[limit-1]))
			if err != nil {
				return err
			}
			answer.NextCursor = &cursor
			c.Response().Header().Set("Link", `<`+q.next(cursor)+`>; rel="next"`)
			break
		}
		answer.Items = append(answer.Items, convert(s))
	}
	return c.JSON(http.StatusOK, answer)
}

// next is the address of the next part of the list.
func (q *query) next(cursor string) string {
	values := make(url.Values, len(q.values)+1)
	for name, list := range q.values {
		values[name] = list
	}
	values.Set("cursor", cursor)
	return (&url.URL{Path: q.path, RawQuery: values.Encode()}).String()
}
