package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"plantgate/internal/mes"
)

// node is a parsed JSON value. Numbers keep their text, so that no digit is lost.
type node struct {
	kind    jsontext.Kind // 'n' null, 't' true, 'f' false, '"', '0', '{', '['
	text    string
	members []member
	items   []node
}

type member struct {
	name  string
	value node
}

// parseJSON reads exactly one JSON value. It refuses duplicate members, invalid
// UTF-8, trailing bytes and nesting deeper than maxDepth. It is for messages that a
// reader does not take, and says what is wrong with them.
func parseJSON(raw []byte, maxDepth int) (node, *mes.Error) {
	dec := jsontext.NewDecoder(bytes.NewReader(raw))
	p := parser{dec: dec, maxDepth: maxDepth}
	n, err := p.value(0)
	if err != nil {
		return node{}, syntaxFault(raw, err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return node{}, mes.Errorf(mes.CodeMalformed, "the message goes on after its JSON value ends at byte %d", dec.InputOffset())
	}
	return n, nil
}

type parser struct {
	dec      *jsontext.Decoder
	maxDepth int
}

func (p *parser) value(depth int) (node, error) {
	tok, err := p.dec.ReadToken()
	if err != nil {
		return node{}, err
	}
	n := node{kind: tok.Kind()}
	if (n.kind == '{' || n.kind == '[') && depth >= p.maxDepth {
		return node{}, mes.Errorf(mes.CodeMalformed, "the message is nested deeper than %d levels", p.maxDepth)
	}
	switch n.kind {
	case '{':
		for p.dec.PeekKind() != '}' {
			name, err := p.dec.ReadToken()
			if err != nil {
				return node{}, err
			}
			m := member{name: name.String()}
			if m.value, err = p.value(depth + 1); err != nil {
				return node{}, err
			}
			n.members = append(n.members, m)
		}
		_, err = p.dec.ReadToken()
	case '[':
		for p.dec.PeekKind() != ']' {
			item, err := p.value(depth + 1)
			if err != nil {
				return node{}, err
			}
			n.items = append(n.items, item)
		}
		_, err = p.dec.ReadToken()
	case '"', '0':
		n.text = tok.String()
	}
	return n, err
}

// syntaxFault puts the decoder's error into words for the sender.
func syntaxFault(raw []byte, err error) *mes.Error {
	var known *mes.Error
	if errors.As(err, &known) {
		return known
	}
	if fault := encodingFault(raw); fault != nil {
		return fault
	}
	var syn *jsontext.SyntacticError
	if !errors.As(err, &syn) {
		return mes.Errorf(mes.CodeMalformed, "the message is not valid JSON: it ends too early")
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return &mes.Error{Code: mes.CodeMalformed, Message: "the message has a member twice", Fields: []mes.FieldError{{
			Pointer: string(syn.JSONPointer), Detail: "stands more than once in its object",
		}}}
	}
	reason := "unexpected character"
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		reason = "it ends too early"
	case notANumber(raw, syn.ByteOffset):
		reason = "NaN and Infinity are not JSON; leave the member out or send null"
	}
	return &mes.Error{Code: mes.CodeMalformed, Message: "the message is not valid JSON", Fields: []mes.FieldError{{
		Pointer: string(syn.JSONPointer), Detail: fmt.Sprintf("at byte %d: %s", syn.ByteOffset, reason),
	}}}
}

// encodingFault tells of bytes that are not UTF-8, the only encoding of JSON.
func encodingFault(raw []byte) *mes.Error {
	switch {
	case bytes.HasPrefix(raw, []byte{0xff, 0xfe}), bytes.HasPrefix(raw, []byte{0xfe, 0xff}), bytes.IndexByte(raw[:min(len(raw), 4)], 0) >= 0:
		return mes.Errorf(mes.CodeMalformed, "the message looks like UTF-16 or UTF-32; JSON is UTF-8")
	case !utf8.Valid(raw):
		return mes.Errorf(mes.CodeMalformed, "the message is not valid UTF-8")
	}
	return nil
}

func notANumber(raw []byte, offset int64) bool {
	if offset < 0 || offset >= int64(len(raw)) {
		return false
	}
	rest := strings.TrimLeft(string(raw[offset:min(int64(len(raw)), offset+10)]), "-+")
	return strings.HasPrefix(rest, "NaN") || strings.HasPrefix(rest, "Inf") || strings.HasPrefix(rest, "nan") || strings.HasPrefix(rest, "inf")
}

// value returns the node as a signal's value.
func (n node) value() (mes.Value, error) {
	switch n.kind {
	case 'n':
		return mes.Value{}, nil
	case 't', 'f':
		return mes.Bool(n.kind == 't'), nil
	case '"':
		return mes.String(n.text), nil
	case '0':
		return mes.Number(n.text)
	case '[':
		b, err := n.appendCanonical(nil)
		return mes.Array(string(b)), err
	default:
		return mes.Value{}, fmt.Errorf("must be a single value, not an object")
	}
}

// appendCanonical writes JSON in one way only: members sorted, numbers as
// canonical decimals, no spaces.
func (n node) appendCanonical(b []byte) ([]byte, error) {
	switch n.kind {
	case '{':
		sorted := slices.Clone(n.members)
		slices.SortFunc(sorted, func(a, c member) int { return strings.Compare(a.name, c.name) })
		b = append(b, '{')
		for i, m := range sorted {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(mes.String(m.name).AppendJSON(b), ':')
			var err error
			if b, err = m.value.appendCanonical(b); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case '[':
		b = append(b, '[')
		for i, item := range n.items {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = item.appendCanonical(b); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	default:
		v, err := n.value()
		if err != nil {
			return nil, err
		}
		return v.AppendJSON(b), nil
	}
}

func (n node) member(name string) (node, bool) {
	for _, m := range n.members {
		if m.name == name {
			return m.value, true
		}
	}
	return node{}, false
}

func (n node) has(name string) bool {
	_, ok := n.member(name)
	return ok
}

// kindName is the node's type in words.
func (n node) kindName() string {
	switch n.kind {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '[':
		return "an array"
	default:
		return "an object"
	}
}
