package ingest

import (
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// reader reads a JSON message in one pass, with next to no memory of its own: the
// texts of its nodes are parts of the message, and the nodes stand in memory that
// the next message uses again. It knows no faults. Whatever it does not take, for
// whatever reason, parseJSON reads from the beginning, and tells what is wrong.
type reader struct {
	text     string
	at       int
	maxDepth int
	members  lender[member]
	items    lender[node]
}

// read returns the message as a node, which is good until the reader forgets it, and
// false if the message is nothing for it.
func (r *reader) read(message string, maxDepth int) (n node, ok bool) {
	r.text, r.at, r.maxDepth = message, 0, maxDepth
	if !utf8.ValidString(message) {
		return node{}, false
	}
	n, ok = r.value(0)
	return n, ok && scanSpace(message, r.at) == len(message)
}

// forget ends the use of the nodes that were read.
func (r *reader) forget() {
	r.text = ""
	r.members.takeBack()
	r.items.takeBack()
}

// value reads the value that comes next.
func (r *reader) value(depth int) (n node, ok bool) {
	if r.at = scanSpace(r.text, r.at); r.at == len(r.text) {
		return node{}, false
	}
	switch start := r.at; r.text[start] {
	case '{':
		n.kind = '{'
		n.members, ok = r.object(depth + 1)
		return n, ok
	case '[':
		n.kind = '['
		n.items, ok = r.array(depth + 1)
		return n, ok
	case '"':
		n.kind = '"'
		n.text, ok = r.string()
		return n, ok
	default:
		end, kind, ok := scanLiteral(r.text, start)
		if n.kind = jsontext.Kind(kind); kind == '0' {
			n.text = r.text[start:end]
		}
		r.at = end
		return n, ok
	}
}

func (r *reader) object(depth int) (members []member, ok bool) {
	if depth > r.maxDepth {
		return nil, false
	}
	first := r.members.begin()
	for more := r.opens('}'); more; more = r.takes(',') {
		var m member
		r.at = scanSpace(r.text, r.at)
		if m.name, ok = r.string(); !ok || !r.takes(':') {
			return nil, false
		}
		if m.value, ok = r.value(depth); !ok {
			return nil, false
		}
		r.members.add(m)
	}
	members = r.members.end(first)
	return members, r.takes('}') && !hasTwice(members)
}

func (r *reader) array(depth int) (items []node, ok bool) {
	if depth > r.maxDepth {
		return nil, false
	}
	first := r.items.begin()
	for more := r.opens(']'); more; more = r.takes(',') {
		item, ok := r.value(depth)
		if !ok {
			return nil, false
		}
		r.items.add(item)
	}
	return r.items.end(first), r.takes(']')
}

// opens leaves the bracket that opens an object or array behind, and tells whether
// anything comes before the one that closes it.
func (r *reader) opens(end byte) bool {
	r.at = scanSpace(r.text, r.at+1)
	return r.at < len(r.text) && r.text[r.at] != end
}

// takes leaves c behind if it comes next.
func (r *reader) takes(c byte) bool {
	if r.at = scanSpace(r.text, r.at); r.at == len(r.text) || r.text[r.at] != c {
		return false
	}
	r.at++
	return true
}

func (r *reader) string() (string, bool) {
	start := r.at
	end, escaped, ok := scanString(r.text, start)
	if !ok {
		return "", false
	}
	r.at = end
	if !escaped {
		return r.text[start+1 : end-1], true
	}
	plain, err := jsontext.AppendUnquote(nil, r.text[start:end])
	return string(plain), err == nil
}

// fewMembers is up to how many members it is quicker to compare each with each.
const fewMembers = 16

// hasTwice tells whether two members have the same name.
func hasTwice(members []member) bool {
	if len(members) <= fewMembers {
		for i := range members {
			for j := range members[:i] {
				if members[i].name == members[j].name {
					return true
				}
			}
		}
		return false
	}
	names := make(map[string]struct{}, len(members))
	for i := range members {
		names[members[i].name] = struct{}{}
	}
	return len(names) < len(members)
}

// maxLent is how many elements are kept for later messages.
const maxLent = 1024

// lender lends slices, all of them until it takes them back. Those of outer and
// inner objects grow at the same time: what is begun last ends first.
type lender[T any] struct {
	begun, lent []T
}

// begin starts a slice; its elements are those added until it ends.
func (l *lender[T]) begin() int { return len(l.begun) }

func (l *lender[T]) add(v T) { l.begun = append(l.begun, v) }

// end lends what was added since begin returned first.
func (l *lender[T]) end(first int) []T {
	from := len(l.lent)
	l.lent = append(l.lent, l.begun[first:]...)
	clear(l.begun[first:])
	l.begun = l.begun[:first]
	return l.lent[from:len(l.lent):len(l.lent)]
}

// takeBack makes what was lent ready to be lent again. It keeps no hold of the
// message, nor of the memory that an unusually large one took.
func (l *lender[T]) takeBack() {
	if cap(l.begun) > maxLent || cap(l.lent) > maxLent {
		*l = lender[T]{}
		return
	}
	clear(l.begun)
	clear(l.lent)
	l.begun, l.lent = l.begun[:0], l.lent[:0]
}
