package ingest

import "unicode/utf8"

// The scanners below find where a JSON value ends (RFC 8259) and whether it is
// well-formed. They do not look at the encoding: whoever calls them has made sure
// that the text is UTF-8.

// text is what is scanned: a message, or a whole body.
type text interface{ ~string | ~[]byte }

// maxScanDepth bounds the recursion of scanValue.
const maxScanDepth = 100

// scanSpace returns the place of the next byte that is not white space.
func scanSpace[T text](s T, at int) int {
	for at < len(s) && (s[at] == ' ' || s[at] == '\n' || s[at] == '\t' || s[at] == '\r') {
		at++
	}
	return at
}

// scanValue returns the end of the value that begins at at. It gives up on values
// that are nested too deeply for it.
func scanValue[T text](s T, at, depth int) (end int, ok bool) {
	if at == len(s) || depth == maxScanDepth {
		return at, false
	}
	switch s[at] {
	case '{':
		return scanMembers(s, at+1, depth+1)
	case '[':
		return scanItems(s, at+1, depth+1)
	case '"':
		end, _, ok = scanString(s, at)
		return end, ok
	default:
		end, _, ok = scanLiteral(s, at)
		return end, ok
	}
}

// scanMembers returns the end of the object whose brace stands before at.
func scanMembers[T text](s T, at, depth int) (end int, ok bool) {
	if at = scanSpace(s, at); at < len(s) && s[at] == '}' {
		return at + 1, true
	}
	for {
		if at, _, ok = scanString(s, scanSpace(s, at)); !ok {
			return at, false
		}
		if at = scanSpace(s, at); at == len(s) || s[at] != ':' {
			return at, false
		}
		if at, ok = scanValue(s, scanSpace(s, at+1), depth); !ok {
			return at, false
		}
		if at = scanSpace(s, at); at == len(s) || s[at] != ',' {
			return at + 1, at < len(s) && s[at] == '}'
		}
		at++
	}
}

// scanItems returns the end of the array whose bracket stands before at.
func scanItems[T text](s T, at, depth int) (end int, ok bool) {
	if at = scanSpace(s, at); at < len(s) && s[at] == ']' {
		return at + 1, true
	}
	for {
		if at, ok = scanValue(s, scanSpace(s, at), depth); !ok {
			return at, false
		}
		if at = scanSpace(s, at); at == len(s) || s[at] != ',' {
			return at + 1, at < len(s) && s[at] == ']'
		}
		at++
	}
}

// scanString returns the end of the string whose first quote stands at at, and
// whether it has escapes.
func scanString[T text](s T, at int) (end int, escaped, ok bool) {
	if at >= len(s) || s[at] != '"' {
		return at, false, false
	}
	for at++; at < len(s); {
		switch c := s[at]; {
		case c == '"':
			return at + 1, escaped, true
		case c == '\\':
			escaped = true
			if at, ok = scanEscape(s, at+1); !ok {
				return at, true, false
			}
		case c < ' ':
			return at, escaped, false
		default:
			at++
		}
	}
	return at, escaped, false
}

// scanEscape returns the end of the escape whose backslash stands before at. The
// halves of a character beyond 16 bits must stand together.
func scanEscape[T text](s T, at int) (end int, ok bool) {
	if at == len(s) {
		return at, false
	}
	switch s[at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return at + 1, true
	case 'u':
	default:
		return at, false
	}
	first, ok := hex4(s, at+1)
	at += 5
	switch {
	case !ok:
		return at, false
	case utf8.ValidRune(first):
		return at, true
	case first >= 0xdc00 || at+2 > len(s) || s[at] != '\\' || s[at+1] != 'u':
		return at, false
	}
	second, ok := hex4(s, at+2)
	return at + 6, ok && second >= 0xdc00 && second <= 0xdfff
}

func hex4[T text](s T, at int) (r rune, ok bool) {
	if at+4 > len(s) {
		return 0, false
	}
	for _, c := range []byte(s[at : at+4]) {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// scanLiteral returns the end of a number, true, false or null, and its kind: that
// of a node.
func scanLiteral[T text](s T, at int) (end int, kind byte, ok bool) {
	if at == len(s) {
		return at, 0, false
	}
	var word string
	switch kind = s[at]; kind {
	case 'n':
		word = "null"
	case 't':
		word = "true"
	case 'f':
		word = "false"
	default:
		end, ok = scanNumber(s, at)
		return end, '0', ok
	}
	end = at + len(word)
	return end, kind, end <= len(s) && string(s[at:end]) == word
}

// scanNumber returns the end of a number. What follows it is for others to judge.
func scanNumber[T text](s T, at int) (end int, ok bool) {
	if s[at] == '-' {
		at++
	}
	switch {
	case at == len(s) || s[at] < '0' || s[at] > '9':
		return at, false
	case s[at] == '0':
		at++
	default:
		at = scanDigits(s, at)
	}
	if at < len(s) && s[at] == '.' {
		whole := at
		if at = scanDigits(s, at+1); at == whole+1 {
			return at, false
		}
	}
	if at == len(s) || s[at] != 'e' && s[at] != 'E' {
		return at, true
	}
	if at++; at < len(s) && (s[at] == '+' || s[at] == '-') {
		at++
	}
	end = scanDigits(s, at)
	return end, end > at
}

func scanDigits[T text](s T, at int) int {
	for at < len(s) && s[at] >= '0' && s[at] <= '9' {
		at++
	}
	return at
}
