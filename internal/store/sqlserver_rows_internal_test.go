package store

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"pgregory.net/rapid"

	"plantgate/internal/mes"
)

// received does what OPENJSON and TRANSLATE do to the texts of rows that were sent.
func received(t interface{ Fatal(...any) }, args []any) [][]any {
	var sent struct {
		Rows [][]any
		Long []string
	}
	if err := json.Unmarshal([]byte(args[0].(mssql.NVarCharMax)), &sent); err != nil {
		t.Fatal(err)
	}
	rows := sent.Rows
	for _, row := range rows {
		for i, v := range row {
			if s, ok := v.(string); ok && strings.HasPrefix(s, string(placeMark)) {
				place, err := strconv.Atoi(strings.TrimPrefix(s, string(placeMark)))
				if err != nil {
					t.Fatal(err)
				}
				row[i] = sent.Long[place]
			}
		}
	}
	from, to := []rune(args[1].(string)), []rune(args[2].(string))
	if len(from) != len(to) {
		t.Fatal("TRANSLATE takes as many characters as it gives", len(from), len(to))
	}
	back := map[rune]rune{}
	for i := range from {
		back[from[i]] = to[i]
	}
	for _, row := range rows {
		for i, v := range row {
			if s, ok := v.(string); ok {
				row[i] = strings.Map(func(c rune) rune {
					if meant, ok := back[c]; ok {
						return meant
					}
					return c
				}, s)
			}
		}
	}
	return rows
}

// TestTextsArriveAsTheyAre sends texts of every kind, those of private use among them,
// and expects them back, from JSON that has no escapes where that can be.
func TestTextsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(
		rapid.String(),
		rapid.StringOf(rapid.SampledFrom([]rune("\x01\x1f\n\t\"\\a \ue000\ue022\ue05c\ue0bc\uf8f5\uf8ff🏭"))),
	)
	rapid.Check(t, func(rt *rapid.T) {
		var sent [][]any
		for _, s := range rapid.SliceOfN(text, 1, 5).Draw(rt, "texts") {
			s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")
			s = strings.Repeat(s, rapid.SampledFrom([]int{1, 1, 4_000}).Draw(rt, "times"))
			sent = append(sent, []any{maxText(s)})
		}
		args, err := sentRows(sent)
		if err != nil {
			rt.Fatal(err)
		}
		for i, row := range received(rt, args) {
			if row[0] != string(sent[i][0].(maxText)) {
				rt.Fatalf("%q arrived as %q", sent[i][0], row[0])
			}
		}
		if raw := string(args[0].(mssql.NVarCharMax)); strings.Contains(raw, `\`) {
			rt.Fatalf("an escape is sent: %s", raw)
		}
	})
}

// TestAllOfPrivateUse sends a text that leaves no block free.
func TestAllOfPrivateUse(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for c := privateUse; c < endOfPrivateUse; c++ {
		b.WriteRune(c)
	}
	b.WriteString("\"\\\n")
	args, err := sentRows([][]any{{b.String()}})
	if err != nil {
		t.Fatal(err)
	}
	if got := received(t, args)[0][0]; got != b.String() {
		t.Error("it did not arrive as it was")
	}
}

// TestValuesOfRows: bytes are the text of a UNIQUEIDENTIFIER, and what can't be sent is
// an error.
func TestValuesOfRows(t *testing.T) {
	t.Parallel()
	id := uuid(mes.ID{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff})
	at := time.Date(2026, 11, 22, 10, 15, 0, 123456789, time.FixedZone("", 3600))
	args, err := sentRows([][]any{{int64(-7), 3, true, nil, id, id[:], uuid{}, timestamp{at}, timestamp{}}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"rows":[[-7,3,true,null,"33221100-5544-7766-8899-aabbccddeeff","33221100-5544-7766-8899-aabbccddeeff",null,"2026-11-22T09:15:00.123456",null]],"long":[]}`
	if got := string(args[0].(mssql.NVarCharMax)); got != want {
		t.Errorf("sent %s\nwant %s", got, want)
	}
	for _, v := range []any{1.5, []byte{1}, struct{}{}} {
		if _, err := sentRows([][]any{{v}}); err == nil {
			t.Errorf("%T is sent", v)
		}
	}
}
