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
// reads. JSON has no bytes, and servers differ in how they read escapes in a text and
// long ones, so that none of it is left to it:
//   - 16 bytes are the text of a UNIQUEIDENTIFIER, which T-SQL casts to them;
//   - characters that JSON would escape are sent as others, of a block of Unicode's
//     private use that occurs in none of the texts, and TRANSLATE turns them back;
//   - long texts stand in an array of their own, and in the row is their place there.
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
		case kind == "NVARCHAR(MAX)":
			outer = append(outer, "TRANSLATE(CASE WHEN LEFT(raw."+quoted+", 1) COLLATE "+collation+" = N'"+string(placeMark)+"'"+
				" THEN (SELECT TOP (1) long.value FROM OPENJSON(@p1, '$.long') AS long"+
				" WHERE long.[key] COLLATE "+collation+" = SUBSTRING(raw."+quoted+", 2, 10) COLLATE "+collation+") COLLATE "+collation+
				" ELSE raw."+quoted+" COLLATE "+collation+" END, @p2, @p3) AS "+quoted)
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
	return "(SELECT " + strings.Join(outer, ", ") + " FROM OPENJSON(@p1, '$.rows') WITH (" + strings.Join(inner, ", ") + ") AS raw) AS j"
}

// maxText is a text for a column of type NVARCHAR(MAX): one that is longer than servers
// read from a row for certain stands by itself.
type maxText string

// Value implements driver.Valuer.
func (t maxText) Value() (driver.Value, error) { return string(t), nil }

// maxInRow is the longest text in a row, in bytes; 4,000 characters are certain.
const maxInRow = 3900

// placeMark begins the place of a text that stands by itself. It is of Unicode's private
// use, and no substitute.
const placeMark = '\uf8f5'

// argumentsOfRows is how many sentRows returns.
const argumentsOfRows = 3

// sentRows are the arguments of a statement that takes rows.
func sentRows(rows [][]any) ([]any, error) {
	for base := privateUse; base < endOfPrivateUse; base += blockOfPrivateUse {
		e := rowEncoder{base: base, clean: true}
		if err := e.encode(rows); err != nil {
			return nil, err
		}
		if e.clean {
			return []any{mssql.NVarCharMax(e.b), substitutes(base), substituted}, nil
		}
	}
	// Somebody sent every one of them.
	var e rowEncoder
	err := e.encode(rows)
	return []any{mssql.NVarCharMax(e.b), " ", " "}, err
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

// rowEncoder writes rows with the characters of a block, or with JSON's escapes if base
// is 0. It is not clean once a text had one of the block.
type rowEncoder struct {
	base  rune
	clean bool
	b     []byte
	// long are the texts that stand by themselves.
	long []string
}

func (e *rowEncoder) encode(rows [][]any) error {
	e.b = append(e.b, `{"rows":[`...)
	for i, row := range rows {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.b = append(e.b, '[')
		for j, value := range row {
			if j > 0 {
				e.b = append(e.b, ',')
			}
			if err := e.value(value); err != nil {
				return err
			}
		}
		e.b = append(e.b, ']')
	}
	e.b = append(e.b, `],"long":[`...)
	for i, text := range e.long {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.text(text)
	}
	e.b = append(e.b, "]}"...)
	return nil
}

func (e *rowEncoder) value(value any) error {
	switch v := value.(type) {
	case nil:
		e.b = append(e.b, "null"...)
	case int64:
		e.b = strconv.AppendInt(e.b, v, 10)
	case int:
		e.b = strconv.AppendInt(e.b, int64(v), 10)
	case bool:
		e.b = strconv.AppendBool(e.b, v)
	case string:
		e.text(v)
	case maxText:
		e.maxText(string(v))
	case []byte:
		if len(v) != len(uuid{}) {
			return fmt.Errorf("a row holds %d bytes", len(v))
		}
		e.b = appendGUID(e.b, v)
	case uuid:
		if mes.ID(v).IsZero() {
			return e.value(nil)
		}
		e.b = appendGUID(e.b, v[:])
	case timestamp:
		if v.IsZero() {
			return e.value(nil)
		}
		e.b = v.UTC().AppendFormat(e.b, `"`+dateTimeInJSON+`"`)
	case driver.Valuer:
		inner, err := v.Value()
		if err != nil {
			return err
		}
		return e.value(inner)
	default:
		return fmt.Errorf("a row holds a %T", v)
	}
	return nil
}

const dateTimeInJSON = "2006-01-02T15:04:05.000000"

func (e *rowEncoder) maxText(text string) {
	if len(text) <= maxInRow && !strings.HasPrefix(text, string(placeMark)) {
		e.text(text)
		return
	}
	e.b = append(append(e.b, '"'), string(placeMark)...)
	e.b = append(strconv.AppendInt(e.b, int64(len(e.long)), 10), '"')
	e.long = append(e.long, text)
}

func (e *rowEncoder) text(text string) {
	if e.base == 0 {
		e.b = mes.String(text).AppendJSON(e.b)
		return
	}
	e.b = append(e.b, '"')
	for _, c := range text {
		switch {
		case c < blockOfPrivateUse && isEscaped(c):
			e.b = utf8.AppendRune(e.b, e.base+c)
		default:
			e.clean = e.clean && (c < e.base || c >= e.base+blockOfPrivateUse)
			e.b = utf8.AppendRune(e.b, c)
		}
	}
	e.b = append(e.b, '"')
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
