package browsepath

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const uriPrefix = "nsu="

// Parse reads a path. The error says what is wrong and where.
func Parse(text string) (*Path, error) {
	switch {
	case text == "":
		return nil, fmt.Errorf("is empty")
	case len(text) > MaxLength:
		return nil, fmt.Errorf("must have at most %d bytes", MaxLength)
	case !utf8.ValidString(text):
		return nil, fmt.Errorf("must be valid UTF-8")
	}
	p := parser{rest: text}
	if !strings.ContainsRune("/.<", rune(text[0])) {
		p.rest = "/" + text
	}
	path := &Path{Text: text}
	deep := 0
	for p.rest != "" {
		e, err := p.element()
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", len(path.Elements)+1, err)
		}
		if e.Deep {
			deep++
		}
		path.Elements = append(path.Elements, e)
		if len(path.Elements) > MaxElements {
			return nil, fmt.Errorf("must have at most %d elements", MaxElements)
		}
	}
	if deep > MaxDeep {
		return nil, fmt.Errorf("has ** more than %d times", MaxDeep)
	}
	names := path.Captures()
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return nil, fmt.Errorf("captures {%s} twice", names[i])
		}
	}
	return path, nil
}

// parser takes the text from its front.
type parser struct{ rest string }

func (p *parser) element() (Element, error) {
	var e Element
	var err error
	if e.Reference, err = p.reference(); err != nil {
		return e, err
	}
	if rest, deep := strings.CutPrefix(p.rest, "**"); deep {
		if rest != "" && !startsElement(rest[0]) {
			return e, fmt.Errorf("** stands alone between its separators")
		}
		e.Deep, p.rest = true, rest
		return e, nil
	}
	namespace, given, err := p.namespace()
	if err != nil {
		return e, err
	}
	e.Namespace = namespace
	if e.parts, err = p.name(startsElement); err != nil {
		return e, err
	}
	return e, e.compile(given)
}

// reference reads what stands before a browse name.
func (p *parser) reference() (Reference, error) {
	first := p.rest[0]
	p.rest = p.rest[1:]
	switch first {
	case '/':
		return Reference{Kind: Hierarchical}, nil
	case '.':
		return Reference{Kind: Aggregates}, nil
	}
	r := Reference{Kind: Named}
	p.rest, r.NoSubtypes = strings.CutPrefix(p.rest, "#")
	p.rest, r.Inverse = strings.CutPrefix(p.rest, "!")
	var err error
	if r.Namespace, _, err = p.namespace(); err != nil {
		return r, err
	}
	parts, err := p.name(func(c byte) bool { return c == '>' })
	switch {
	case err != nil:
		return r, fmt.Errorf("reference type: %w", err)
	case p.rest == "":
		return r, fmt.Errorf("the reference type has no > at its end")
	case len(parts) != 1 || parts[0].any || parts[0].capture != "" || r.Namespace.Any:
		return r, fmt.Errorf("a reference type has no wildcards and captures")
	}
	p.rest = p.rest[1:]
	r.Name = parts[0].text
	return r, nil
}

func startsElement(c byte) bool { return c == '/' || c == '.' || c == '<' }

// namespace reads nsu=URI; or INDEX: or *: if one of them is there.
func (p *parser) namespace() (n Namespace, given bool, err error) {
	if rest, isURI := strings.CutPrefix(p.rest, uriPrefix); isURI {
		uri, rest, ended := strings.Cut(rest, ";")
		if !ended || uri == "" {
			return n, true, fmt.Errorf("nsu= must be followed by a namespace URI and a semicolon")
		}
		p.rest = rest
		return Namespace{URI: UnescapeURI(uri)}, true, nil
	}
	if rest, every := strings.CutPrefix(p.rest, "*:"); every {
		p.rest = rest
		return Namespace{Any: true}, true, nil
	}
	end := 0
	for end < len(p.rest) && p.rest[end] >= '0' && p.rest[end] <= '9' {
		end++
	}
	if end == 0 || end == len(p.rest) || p.rest[end] != ':' {
		return n, false, nil
	}
	index, err := strconv.ParseUint(p.rest[:end], 10, 16)
	if err != nil {
		return n, true, fmt.Errorf("the namespace index %s is above 65535", p.rest[:end])
	}
	p.rest = p.rest[end+1:]
	return Namespace{Index: uint16(index)}, true, nil
}

// name reads a browse name up to a character that ends it.
func (p *parser) name(ends func(byte) bool) ([]part, error) {
	var parts []part
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			parts = append(parts, part{text: text.String()})
			text.Reset()
		}
	}
	for p.rest != "" && !ends(p.rest[0]) {
		c := p.rest[0]
		p.rest = p.rest[1:]
		switch {
		case c == '&':
			if p.rest == "" || !isReserved(p.rest[0]) {
				return nil, fmt.Errorf("& stands before a reserved character; a & itself is &&")
			}
			text.WriteByte(p.rest[0])
			p.rest = p.rest[1:]
		case c == '*':
			flush()
			parts = append(parts, part{any: true})
		case c == '{':
			flush()
			name, rest, closed := strings.Cut(p.rest, "}")
			if !closed || !captureForm.MatchString(name) {
				return nil, fmt.Errorf("a capture is a name of small letters, digits and _ in braces, such as {machine}; a brace itself is &{")
			}
			p.rest = rest
			parts = append(parts, part{capture: name})
		case isReserved(c):
			return nil, fmt.Errorf("%q in a name must be written &%c", c, c)
		default:
			text.WriteByte(c)
		}
	}
	flush()
	for i := 1; i < len(parts); i++ {
		if parts[i].text == "" && parts[i-1].text == "" {
			return nil, fmt.Errorf("two wildcards or captures side by side: where the one ends can't be told")
		}
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("has no browse name")
	}
	return parts, nil
}

var captureForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// compile makes the expression of a name with wildcards, and gives a wildcard without a
// namespace every one.
func (e *Element) compile(namespaceGiven bool) error {
	if len(e.parts) == 1 && e.parts[0].text != "" {
		return nil
	}
	var x strings.Builder
	x.WriteString("(?s)^")
	for _, p := range e.parts {
		switch {
		case p.any:
			x.WriteString(".*")
		case p.capture != "":
			x.WriteString("(.+)")
		default:
			x.WriteString(regexp.QuoteMeta(p.text))
		}
	}
	x.WriteString("$")
	var err error
	if e.match, err = regexp.Compile(x.String()); err != nil {
		return fmt.Errorf("the name can't be read: %w", err)
	}
	if !namespaceGiven {
		e.Namespace.Any = true
	}
	return nil
}
