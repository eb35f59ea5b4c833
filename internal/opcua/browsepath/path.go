package browsepath

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a path.
const (
	MaxLength   = 4096
	MaxElements = 64
	// MaxLevels is how many levels ** goes down at most.
	MaxLevels = 8
	// MaxDeep is how many ** a path may have.
	MaxDeep = 2
)

// Path is a sequence of references to follow. It is not changed after it was parsed.
type Path struct {
	// Text is what was parsed.
	Text     string
	Elements []Element
}

// Element is a reference to follow and the browse names of the nodes at its end.
type Element struct {
	Reference Reference
	// Deep is **: every node that any number of the references leads to, up to
	// MaxLevels, and the node itself. It has no name.
	Deep      bool
	Namespace Namespace
	parts     []part
	match     *regexp.Regexp // nil for a plain name
}

// Kind says by what a Reference is named.
type Kind int

// The kinds of references.
const (
	// Hierarchical is "/": any subtype of HierarchicalReferences.
	Hierarchical Kind = iota
	// Aggregates is ".": any subtype of Aggregates.
	Aggregates
	// Named is <name>: the reference type of that browse name.
	Named
)

// Reference says which references are followed.
type Reference struct {
	Kind Kind
	// Namespace and Name are of a named reference type.
	Namespace Namespace
	Name      string
	// NoSubtypes is #, Inverse is !.
	NoSubtypes, Inverse bool
}

// Namespace is that of a browse name: a URI, else an index.
type Namespace struct {
	// Any is every namespace.
	Any   bool
	URI   string
	Index uint16
}

// part is a piece of a name: a text, anything (*), or anything that has a name ({name}).
type part struct {
	text    string
	any     bool
	capture string
}

// Plain returns the name of an element that names one node, and whether it does.
func (e *Element) Plain() (string, bool) {
	if e.Deep || e.Namespace.Any || e.match != nil {
		return "", false
	}
	return e.parts[0].text, true
}

// Match holds a browse name, without its namespace, against the element, and returns what
// its captures stand for, in their order.
func (e *Element) Match(name string) ([]string, bool) {
	if e.match == nil {
		return nil, !e.Deep && name == e.parts[0].text
	}
	found := e.match.FindStringSubmatch(name)
	if found == nil {
		return nil, false
	}
	return found[1:], true
}

// Captures are the names of the element's captures, in their order.
func (e *Element) Captures() []string {
	var names []string
	for _, p := range e.parts {
		if p.capture != "" {
			names = append(names, p.capture)
		}
	}
	return names
}

// IsPattern tells whether the path may lead to more than one node.
func (p *Path) IsPattern() bool {
	return slices.ContainsFunc(p.Elements, func(e Element) bool {
		_, plain := e.Plain()
		return !plain
	})
}

// Captures are the names of all captures, in their order.
func (p *Path) Captures() []string {
	var names []string
	for i := range p.Elements {
		names = append(names, p.Elements[i].Captures()...)
	}
	return names
}

// LastName is the name of the last element if that is plain text; else "".
func (p *Path) LastName() string {
	last := &p.Elements[len(p.Elements)-1]
	if last.Deep || last.match != nil {
		return ""
	}
	return last.parts[0].text
}

// String writes the path such that Parse reads the same again.
func (p *Path) String() string { return Join(p.Elements) }

// Join writes elements as the text of a path.
func Join(elements []Element) string {
	var b strings.Builder
	for i := range elements {
		elements[i].write(&b)
	}
	return b.String()
}

func (e *Element) write(b *strings.Builder) {
	switch r := e.Reference; r.Kind {
	case Hierarchical:
		b.WriteByte('/')
	case Aggregates:
		b.WriteByte('.')
	case Named:
		b.WriteByte('<')
		if r.NoSubtypes {
			b.WriteByte('#')
		}
		if r.Inverse {
			b.WriteByte('!')
		}
		r.Namespace.write(b, r.Name, false)
		b.WriteString(Escape(r.Name))
		b.WriteByte('>')
	}
	if e.Deep {
		b.WriteString("**")
		return
	}
	e.Namespace.write(b, e.parts[0].text, e.match != nil)
	for _, p := range e.parts {
		switch {
		case p.any:
			b.WriteByte('*')
		case p.capture != "":
			b.WriteString("{" + p.capture + "}")
		default:
			b.WriteString(Escape(p.text))
		}
	}
}

// write leaves out what the parser takes for granted: index 0, of a wildcard any.
func (n Namespace) write(b *strings.Builder, name string, wild bool) {
	switch {
	case n.URI != "":
		b.WriteString("nsu=" + EscapeURI(n.URI) + ";")
	case n.Any && !wild:
		b.WriteString("*:")
	case n.Any:
	case n.Index != 0 || wild || strings.HasPrefix(name, uriPrefix):
		b.WriteString(strconv.Itoa(int(n.Index)) + ":")
	}
}

// EscapeURI escapes a namespace URI before a ";" (OPC 10000-6, 5.3.1.11).
func EscapeURI(uri string) string { return strings.NewReplacer("%", "%25", ";", "%3B").Replace(uri) }

// UnescapeURI is the reverse of EscapeURI.
func UnescapeURI(text string) string {
	return strings.NewReplacer("%3B", ";", "%3b", ";", "%25", "%").Replace(text)
}

// Escape writes a browse name such that a path takes it for plain text.
func Escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		if isReserved(name[i]) {
			b.WriteByte('&')
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

// isReserved: the reserved characters of Annex A.2, and those of wildcards and captures.
func isReserved(c byte) bool { return strings.IndexByte("/.<>:#!&*{}", c) >= 0 }
