package mes

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind is the type of a signal's value.
type Kind uint8

// The kinds. Numbers are exact decimals. An array is kept as one value, in
// canonical JSON.
const (
	KindNull Kind = iota
	KindBool
	KindNumber
	KindString
	KindArray
)

// Value is one value of a signal in canonical form: two values that mean the
// same have the same text. The zero Value is null ("no value yet").
type Value struct {
	kind Kind
	text string
}

// maxNumberDigits bounds the significant digits of a number. A 64-bit integer
// has 20, a double at most 17 that matter.
const maxNumberDigits = 64

// Bool returns a boolean value.
func Bool(b bool) Value { return Value{KindBool, strconv.FormatBool(b)} }

// String returns a text value.
func String(s string) Value { return Value{KindString, s} }

// Int returns a whole number, unrounded.
func Int(i int64) Value { return Value{KindNumber, canonicalMust(strconv.FormatInt(i, 10))} }

// Uint returns a whole number, unrounded.
func Uint(u uint64) Value { return Value{KindNumber, canonicalMust(strconv.FormatUint(u, 10))} }

// Float returns the shortest decimal that reads back as f in bitSize (32 or 64)
// bits. NaN and the infinities, which are no numbers in JSON, become the
// strings NaN, Infinity and -Infinity.
func Float(f float64, bitSize int) Value {
	switch {
	case math.IsNaN(f):
		return String("NaN")
	case math.IsInf(f, 1):
		return String("Infinity")
	case math.IsInf(f, -1):
		return String("-Infinity")
	}
	return Value{KindNumber, canonicalMust(strconv.FormatFloat(f, 'e', -1, bitSize))}
}

// Number reads a number as JSON writes it and keeps every digit. It refuses
// what a double can't hold (beyond 1.8e308, or below 4.9e-324 but not 0) and
// more than 64 significant digits.
func Number(text string) (Value, error) {
	c, err := canonicalNumber(text)
	if err != nil {
		return Value{}, err
	}
	return Value{KindNumber, c}, nil
}

// Array returns an array value; canonical is its canonical JSON.
func Array(canonical string) Value { return Value{KindArray, canonical} }

// Restore rebuilds a value from its kind and canonical text, as a store keeps
// them.
func Restore(kind Kind, text string) Value { return Value{kind, text} }

// Kind returns the value's type.
func (v Value) Kind() Kind { return v.kind }

// IsNull tells whether there is no value.
func (v Value) IsNull() bool { return v.kind == KindNull }

// Text returns the canonical text without quotes: the string itself, the
// decimal, true or false, the array's JSON, "" for null.
func (v Value) Text() string { return v.text }

// Float64 returns the nearest double of a number, 1 or 0 of a boolean, and
// false where the value has no number.
func (v Value) Float64() (float64, bool) {
	switch v.kind {
	case KindNumber:
		f, err := strconv.ParseFloat(v.text, 64)
		return f, err == nil
	case KindBool:
		if v.text == "true" {
			return 1, true
		}
		return 0, true
	default:
		return 0, false
	}
}

// AppendJSON appends the value's JSON to b.
func (v Value) AppendJSON(b []byte) []byte {
	switch v.kind {
	case KindString:
		return appendQuoted(b, v.text)
	case KindNull:
		return append(b, "null"...)
	default:
		return append(b, v.text...)
	}
}

// appendQuoted appends a string as encoding/json writes it.
func appendQuoted(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			q, _ := json.Marshal(s)
			return append(b, q...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// MarshalJSON returns the value's JSON.
func (v Value) MarshalJSON() ([]byte, error) { return v.AppendJSON(nil), nil }

// UnmarshalJSON reads a JSON scalar or array. Arrays are taken as they are.
func (v *Value) UnmarshalJSON(b []byte) error {
	s := strings.TrimSpace(string(b))
	switch {
	case s == "null":
		*v = Value{}
	case s == "true" || s == "false":
		*v = Bool(s == "true")
	case strings.HasPrefix(s, `"`):
		var t string
		if err := json.Unmarshal(b, &t); err != nil {
			return err
		}
		*v = String(t)
	case strings.HasPrefix(s, "["):
		*v = Array(s)
	default:
		n, err := Number(s)
		if err != nil {
			return err
		}
		*v = n
	}
	return nil
}

func canonicalMust(text string) string {
	c, err := canonicalNumber(text)
	if err != nil {
		panic(err) // only called with text that strconv made
	}
	return c
}

// canonicalNumber writes a decimal in one way only: no leading or trailing
// zeros, no plus sign, no negative zero; plain digits for exponents from -7 to
// 20, else scientific.
func canonicalNumber(text string) (string, error) {
	if plain, ok := plainDecimal(text); ok {
		return plain, nil
	}
	return canonicalDecimal(text)
}

// maxPlain is the length of a decimal that is surely canonical as it is.
const maxPlain = 20

// plainDecimal returns the canonical form of a number where that is the text itself,
// or what is left of it without zeros at its end.
func plainDecimal(text string) (string, bool) {
	at := 0
	if text != "" && text[0] == '-' {
		at = 1
	}
	whole := digitsEnd(text, at)
	switch {
	case whole == at || len(text) > maxPlain || text[at] == '0' && (whole > at+1 || whole == len(text) && at > 0):
		return "", false
	case whole == len(text):
		return text, true
	case text[whole] != '.':
		return "", false
	}
	end := digitsEnd(text, whole+1)
	if end < len(text) || end == whole+1 {
		return "", false
	}
	for text[end-1] == '0' {
		end--
	}
	switch {
	case text[at] != '0' && text[end-1] == '.':
		return text[:whole], true
	case text[at] != '0':
		return text[:end], true
	}
	// Of a number below 1 the first digit must come soon.
	first := strings.IndexAny(text[whole+1:end], "123456789")
	return text[:end], first >= 0 && first <= 6
}

func digitsEnd(text string, at int) int {
	for at < len(text) && text[at] >= '0' && text[at] <= '9' {
		at++
	}
	return at
}

// canonicalDecimal does the same for any text.
func canonicalDecimal(text string) (string, error) {
	rest, negative := strings.CutPrefix(text, "-")
	mantissa, expText, hasExp := strings.Cut(strings.ToLower(rest), "e")
	exp := 0
	if hasExp {
		var err error
		if exp, err = strconv.Atoi(expText); err != nil || exp > 10_000 || exp < -10_000 {
			return "", numberRangeError(text)
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return "", fmt.Errorf("%s is not a number", abbreviate(text))
	}
	exp -= len(fraction)
	digits = strings.TrimLeft(digits, "0")
	trimmed := strings.TrimRight(digits, "0")
	exp += len(digits) - len(trimmed)
	digits = trimmed
	if digits == "" {
		return "0", nil
	}
	if len(digits) > maxNumberDigits {
		return "", fmt.Errorf("a number has at most %d significant digits", maxNumberDigits)
	}
	if f, err := strconv.ParseFloat(text, 64); err != nil || f == 0 {
		return "", numberRangeError(text)
	}
	return writeDecimal(negative, digits, exp), nil
}

func numberRangeError(text string) error {
	return fmt.Errorf("%s is outside the range of a double (4.9e-324 to 1.8e308)", abbreviate(text))
}

// writeDecimal writes digits × 10^exp; digits has no zeros at either end.
func writeDecimal(negative bool, digits string, exp int) string {
	var b strings.Builder
	if negative {
		b.WriteByte('-')
	}
	point := len(digits) + exp // the decimal point stands after this many digits
	switch {
	case exp >= 0 && point <= 21:
		b.WriteString(digits)
		b.WriteString(strings.Repeat("0", exp))
	case exp < 0 && point > 0:
		b.WriteString(digits[:point])
		b.WriteByte('.')
		b.WriteString(digits[point:])
	case exp < 0 && point > -7:
		b.WriteString("0.")
		b.WriteString(strings.Repeat("0", -point))
		b.WriteString(digits)
	default:
		b.WriteString(digits[:1])
		if len(digits) > 1 {
			b.WriteByte('.')
			b.WriteString(digits[1:])
		}
		b.WriteByte('e')
		b.WriteString(strconv.Itoa(point - 1))
	}
	return b.String()
}

func abbreviate(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
