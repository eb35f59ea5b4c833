package mes_test

import (
	"encoding/json"
	"strings"
	"testing"

	"plantgate/internal/mes"
)

func TestJSONDepth(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		``: 0, `1`: 0, `"{[{["`: 0, `{}`: 1, `[1,2]`: 1, `{"a":{"b":1},"c":[[]]}`: 3,
		`{"a]\"}[[[":"\\"}`: 1, `["\\",[]]`: 2, `[],[]`: 1, `"\`: 0,
		strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000): 100_000,
	} {
		if got := mes.JSONDepth([]byte(text)); got != want {
			t.Errorf("%.40s has %d levels, not %d", text, got, want)
		}
	}
}

// FuzzJSONDepth holds it against the tokens that the standard library finds.
func FuzzJSONDepth(f *testing.F) {
	for _, text := range []string{`{"a":[{"b":"]\\\""}]}`, `[[],[[1]],"[["]`, `"\u005b"`, `{`, `\`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := mes.JSONDepth(text)
		if !json.Valid(text) {
			return
		}
		depth, want := 0, 0
		for d := json.NewDecoder(strings.NewReader(string(text))); ; {
			token, err := d.Token()
			if err != nil {
				break
			}
			switch token {
			case json.Delim('{'), json.Delim('['):
				depth++
				want = max(want, depth)
			case json.Delim('}'), json.Delim(']'):
				depth--
			}
		}
		if got != want {
			t.Errorf("%q has %d levels, not %d", text, want, got)
		}
	})
}
