package store

import (
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	mssql "github.com/microsoft/go-mssqldb"

	"plantgate/internal/mes"
)

// Statements take many rows in one round trip, as an array of arrays that OPENJSON
// reads. JSON has no bytes, and servers differ in how they read escapes in a text, so
// that neither is left to it:
//   - 16 bytes are the text of a UNIQUEIDENTIFIER, which T-SQL casts to them;
//   - characters that JSON would escape are sent as others, of a block of Unicode's
//     private use that occurs in none of the texts, and TRANSLATE turns them back.
// The statement has @p1 for the rows, @p2 for the characters sent and @p3 for those
// that are meant.

// collation compares texts by their code units.
const collation = "Latin1_General_100_BIN2"

// rowsOf is the source of a statement, named j, with one column for each "name TYPE".
func rowsOf(columns ...string) string {
	var outer, inner []string
	for i, c := range columns {
		name, kind, _ := strings.Cut(c, " ")
		quoted := "[" + name + "]"
		switch {
		case strings.HasPrefix(kind, "NVARCHAR"):
			outer = append(outer, "TRANSLATE(raw."+quoted+" COLLATE "+collation+", @p2, @p3) AS "+quoted)
		case kind == "BINARY(16)":
			outer = append(outer, "CAST(CAST(raw."+quoted+" AS UNIQUEIDENTIFIER) AS BINARY(16)) AS "+quoted)
			kind = "CHAR(36)"
		default:
			outer = append(outer, "raw."+quoted)
		}
		inner = append(inner, quoted+" "+kind+" '$["+strconv.Itoa(i)+"]'")
	}
	return "(SELECT " + strings.Join(outer, ", ") + " FROM OPENJSON(@p1) WITH (" + strings.Join(inner, ", ") + ") AS raw) AS j"
}

// argumentsOfRows is how many sentRows returns.
const argumentsOfRows = 3

// sentRows are the arguments of a statement that takes rows.
func sentRows(rows [][]any) ([]any, error) {
	for base := privateUse; base < endOfPrivateUse; base += blockOfPrivateUse {
		b, clean, err := encodeRows(rows, base)
		if err != nil {
			return nil, err
		}
		if clean {
			return []any{mssql.NVarCharMax(b), substitutes(base), substituted}, nil
		}
	}
	// Somebody sent every one of them.
	b, _, err := encodeRows(rows, 0)
	return []any{mssql.NVarCharMax(b), " ", " "}, err
}

// The blocks of private use that may stand for what JSON escapes.
const (
	privateUse        rune = 0xe000
	endOfPrivateUse   rune = 0xf8a0
	blockOfPrivateUse rune = 0x60
)

// substituted are the characters that JSON escapes, but for U+0000.
var substituted = func() string {
	var b strings.Builder
	for c := rune(1); c < blockOfPrivateUse; c++ {
		if isEscaped(c) {
			b.WriteRune(c)
		}
	}
	return b.String()
}()

func isEscaped(c rune) bool { return c < ' ' || c == '"' || c == '\\' }

// substitutes are what is sent in their place.
func substitutes(base rune) string {
	return strings.Map(func(c rune) rune { return base + c }, substituted)
}

// encodeRows writes the rows with the characters of a block, or with JSON's escapes if
// base is 0. It is not clean if a text has one of the block.
func encodeRows(rows [][]any, base rune) (b []byte, clean bool, err error) {
	clean = true
	b = append(b, '[')
	for i, row := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		for j, value := range row {
			if j > 0 {
				b = append(b, ',')
			}
			var ok bool
			if b, ok, err = appendValue(b, value, base); err != nil {
				return nil, false, err
			}
			clean = clean && ok
		}
		b = append(b, ']')
	}
	return append(b, ']'), clean, nil
}

func appendValue(b []byte, value any, base rune) (_ []byte, clean bool, err error) {
	switch v := value.(type) {
	case nil:
		return append(b, "null"...), true, nil
	case int64:
		return strconv.AppendInt(b, v, 10), true, nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), true, nil
	case bool:
		return strconv.AppendBool(b, v), true, nil
	case string:
		b, clean = appendSubstituted(b, v, base)
		return b, clean, nil
	case []byte:
		if len(v) != len(uuid{}) {
			return nil, false, fmt.Errorf("a row holds %d bytes", len(v))
		}
		return appendGUID(b, v), true, nil
	case uuid:
		if mes.ID(v).IsZero() {
			return append(b, "null"...), true, nil
		}
		return appendGUID(b, v[:]), true, nil
	case timestamp:
		if v.IsZero() {
			return append(b, "null"...), true, nil
		}
		return v.UTC().AppendFormat(b, `"`+dateTimeInJSON+`"`), true, nil
	case driver.Valuer:
		inner, err := v.Value()
		if err != nil {
			return nil, false, err
		}
		return appendValue(b, inner, base)
	default:
		return nil, false, fmt.Errorf("a row holds a %T", v)
	}
}

const dateTimeInJSON = "2006-01-02T15:04:05.000000"

func appendSubstituted(b []byte, text string, base rune) (_ []byte, clean bool) {
	if base == 0 {
		return mes.String(text).AppendJSON(b), true
	}
	clean = true
	b = append(b, '"')
	for _, c := range text {
		switch {
		case c < blockOfPrivateUse && isEscaped(c):
			b = utf8.AppendRune(b, base+c)
		default:
			clean = clean && (c < base || c >= base+blockOfPrivateUse)
			b = utf8.AppendRune(b, c)
		}
	}
	return append(b, '"'), clean
}

// appendGUID writes 16 bytes as the text of a UNIQUEIDENTIFIER, of which the first three
// groups show their bytes turned round.
func appendGUID(b, id []byte) []byte {
	b = append(b, '"')
	for i, place := range [...]int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15} {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, id[place:place+1])
	}
	return append(b, '"')
}
