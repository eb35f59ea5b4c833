package mes

import (
	"encoding/json"
	"testing"
)

// FuzzNumber: what is canonical at first sight is what the long way makes of it.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{
		"0", "-0", "1", "-1", "10", "72.31", "72.310", "29.0", "0.0", "-0.0", "0.1", "0.10", "0.000001", "0.0000001", "0.00000001", "00", "01", "1.", ".1", "-", "",
		"12345678901234567890", "123456789012345678901", "1e5", "1.5e-7", "100.00", "-0.5", "+1", "0x1", "9223372036854775807",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := plainDecimal(s)
		if !ok {
			return
		}
		if want, err := canonicalDecimal(s); err != nil || got != want {
			t.Fatalf("%q: %q, want %q %v", s, got, want, err)
		}
	})
}

// FuzzAppendQuoted: strings are written as encoding/json writes them.
func FuzzAppendQuoted(f *testing.F) {
	for _, s := range []string{"", "M001", `a"b\c`, "<&>", "\x00\x1f\x7f", "ü\u2028", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if got := String(s).AppendJSON([]byte("x")); err != nil || string(got) != "x"+string(want) {
			t.Fatalf("%q: %s, want %s %v", s, got, want, err)
		}
	})
}
