package mapping

import (
	"fmt"
	"strings"
)

// Pointer is a JSON Pointer (RFC 6901).
type Pointer struct {
	// Text is the pointer as it was written.
	Text string
	// Tokens are its levels, unescaped; none is the whole value.
	Tokens []string
}

// Wildcard is the level of a path that stands for each element.
const Wildcard = "*"

// ParsePointer reads a pointer.
func ParsePointer(text string) (Pointer, error) {
	p := Pointer{Text: text}
	if text == "" {
		return p, nil
	}
	if text[0] != '/' {
		return p, fmt.Errorf("a JSON pointer begins with a slash: /%s (RFC 6901)", text)
	}
	for _, level := range strings.Split(text[1:], "/") {
		token, err := unescape(level)
		if err != nil {
			return p, err
		}
		p.Tokens = append(p.Tokens, token)
	}
	return p, nil
}

// unescape reads ~0 as ~ and ~1 as a slash (RFC 6901, 4).
func unescape(level string) (string, error) {
	for rest := level; ; {
		_, after, found := strings.Cut(rest, "~")
		if !found {
			return strings.NewReplacer("~1", "/", "~0", "~").Replace(level), nil
		}
		if after == "" || after[0] != '0' && after[0] != '1' {
			return "", fmt.Errorf("in a JSON pointer ~ stands before 0 or 1 (RFC 6901): ~0 is ~, ~1 is /")
		}
		rest = after[1:]
	}
}
