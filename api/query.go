package api

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// Sizes of lists.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// query reads the parameters of a request and collects every fault of them.
type query struct {
	path   string
	values url.Values
	known  []string
	faults []mes.FieldError
}

func newQuery(c echo.Context) *query {
	q := &query{path: c.Request().URL.Path}
	values, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		q.fault("", "the query is not properly escaped")
	}
	q.values = values
	return q
}

func (q *query) fault(name, format string, args ...any) {
	pointer := ""
	if name != "" {
		pointer = mes.Pointer(name)
	}
	q.faults = append(q.faults, mes.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

// text returns a parameter, "" if it is not given.
func (q *query) text(name string) string {
	q.known = append(q.known, name)
	list := q.values[name]
	switch {
	case len(list) == 0:
		return ""
	case len(list) > 1:
		q.fault(name, "must be given once")
	case list[0] == "":
		q.fault(name, "must not be empty")
	}
	return list[0]
}

// repeated returns a parameter that may be given several times.
func (q *query) repeated(name string) []string {
	q.known = append(q.known, name)
	if slices.Contains(q.values[name], "") {
		q.fault(name, "must not be empty")
	}
	return q.values[name]
}

// number returns a whole number, 0 if it is not given.
func (q *query) number(name string, least, greatest int) int {
	s := q.text(name)
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > greatest {
		q.fault(name, "must be a whole number from %d to %d", least, greatest)
		return 0
	}
	return n
}

// adopt takes over what a service finds wrong, but for parameters whose own fault
// is known.
func (q *query) adopt(found *mes.Error) {
	if found == nil {
		return
	}
	for _, f := range found.Fields {
		if !slices.ContainsFunc(q.faults, func(own mes.FieldError) bool { return own.Pointer == f.Pointer }) {
			q.faults = append(q.faults, f)
		}
	}
}

// id returns an equipment id.
func (q *query) id(name string) string {
	s := q.text(name)
	if s != "" {
		if err := mes.CheckID(s); err != nil {
			q.fault(name, "%s", err.Error())
		}
	}
	return s
}

// time returns a time, the zero time if it is not given. Who gives the zero time itself,
// as some languages do for the beginning, means the moment after it as well.
func (q *query) time(name string) time.Time {
	s := q.text(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		q.fault(name, "must be a time with offset such as 2026-11-22T10:15:00Z (a + is written %%2B)")
	}
	if err == nil && t.IsZero() {
		t = t.Add(time.Microsecond)
	}
	return t.UTC()
}

// limit returns the size of the page that is asked for.
func (q *query) limit() int {
	if n := q.number("limit", 1, maxLimit); n > 0 {
		return n
	}
	return defaultLimit
}

// oneOf returns a parameter that has one of a few values.
func oneOf[T ~string](q *query, name string, allowed []T) T {
	s := T(q.text(name))
	if s != "" && !slices.Contains(allowed, s) {
		parts := make([]string, len(allowed))
		for i, a := range allowed {
			parts[i] = string(a)
		}
		q.fault(name, "must be one of %s", strings.Join(parts, ", "))
	}
	return s
}

// err returns every fault, unknown parameters included, or nil.
func (q *query) err() error {
	var unknown []string
	for name := range q.values {
		if !slices.Contains(q.known, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		q.fault(name, "is not a parameter of this route, which has %s", strings.Join(q.known, ", "))
	}
	if fault := mes.Invalid(q.faults); fault != nil {
		return fault
	}
	return nil
}

// noQuery refuses parameters on routes that have none.
func noQuery(c echo.Context) error {
	if c.Request().URL.RawQuery == "" {
		return nil
	}
	for name := range newQuery(c).values {
		return invalidParameter(name, "is not a parameter of this route, which has none")
	}
	return nil
}

// pathParam returns a parameter of the path, unescaped.
func pathParam(c echo.Context, name string) string {
	value := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return value // the server has unescaped the whole path
	}
	if plain, err := url.PathUnescape(value); err == nil {
		return plain
	}
	return value
}

// pathID returns a parameter of the path that is a UUID.
func pathID(c echo.Context) (mes.ID, error) {
	id, err := mes.ParseID(pathParam(c, "id"))
	if err != nil {
		return mes.ID{}, invalidParameter("id", "%s", err.Error())
	}
	return id, nil
}
