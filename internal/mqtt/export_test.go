package mqtt

import (
	"net"
	"slices"
	"time"
)

// SetBounds replaces the bounds of the hand-over before Run.
func (a *Adapter) SetBounds(count, bytes int) { a.queue = newHandover(count, bytes) }

// FiltersOf is filtersOf.
func FiltersOf(name string) []string { return filtersOf(name) }

// Filters returns what the bindings subscribe to.
func (b Bindings) Filters() []string {
	var names []string
	for _, f := range b.filters() {
		names = append(names, f.name)
	}
	return names
}

// AllowAnswers tells whether a stream that comes in parts of a size is allowed.
func AllowAnswers(stream []byte, size int) bool {
	var a answers
	for part := range slices.Chunk(stream, max(size, 1)) {
		if !a.allow(part) {
			return false
		}
	}
	return true
}

// SetBirthRetry replaces how long after a failure no birth is kept.
func SetBirthRetry(a *Adapter, d time.Duration) { a.sparkplug.keeper.retry = d }

// Hear is a connection that remembers the first error of reading, which fault tells.
func Hear(c net.Conn) (conn net.Conn, fault func() error) {
	h := &heardConn{Conn: c}
	return h, h.fault
}
