package mes_test

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"plantgate/internal/mes"
)

func TestNumberHasOneText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"29": "29", "29.0": "29", "2.9e1": "29", "290e-1": "29", "0": "0", "-0": "0", "0.000e5": "0",
		"-72.310": "-72.31", "18446744073709551615": "18446744073709551615", "9007199254740993": "9007199254740993",
		"1e21": "1e21", "1E+20": "100000000000000000000", "0.0000001": "0.0000001", "0.00000001": "1e-8",
		"123456789012345678901234567890": "1.2345678901234567890123456789e29",
	} {
		v, err := mes.Number(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if v.Text() != want {
			t.Errorf("%s: got %s, want %s", in, v.Text(), want)
		}
	}
}

func TestNumberRefusesWhatADoubleCannotHold(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"1e309", "-1e309", "1e-400", "1e99999999999", strings.Repeat("7", 65), "", "-", "1.2.3", "0x10"} {
		if v, err := mes.Number(in); err == nil {
			t.Errorf("%q became %s", in, v.Text())
		}
	}
}

func TestNumberKeepsItsValue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,20})?(e-?[0-9]{1,2})?`).Draw(t, "number")
		v, err := mes.Number(in)
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		want, _ := new(big.Rat).SetString(in)
		got, ok := new(big.Rat).SetString(v.Text())
		if !ok || got.Cmp(want) != 0 {
			t.Fatalf("%s became %s", in, v.Text())
		}
		if again, err := mes.Number(v.Text()); err != nil || again != v {
			t.Fatalf("%s is not stable: %s", v.Text(), again.Text())
		}
		if !json.Valid(v.AppendJSON(nil)) {
			t.Fatalf("%s is not JSON", v.Text())
		}
	})
}

func TestFloat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value mes.Value
		json  string
	}{
		{mes.Float(20.1, 64), "20.1"},
		{mes.Float(float64(float32(20.1)), 32), "20.1"},
		{mes.Float(math.MaxFloat64, 64), "1.7976931348623157e308"},
		{mes.Float(math.SmallestNonzeroFloat64, 64), "5e-324"},
		{mes.Float(math.NaN(), 64), `"NaN"`},
		{mes.Float(math.Inf(-1), 64), `"-Infinity"`},
		{mes.Int(math.MinInt64), "-9223372036854775808"},
		{mes.Uint(math.MaxUint64), "18446744073709551615"},
		{mes.Bool(true), "true"}, {mes.Value{}, "null"}, {mes.String("a\"b"), `"a\"b"`},
	} {
		if got := string(c.value.AppendJSON(nil)); got != c.json {
			t.Errorf("got %s, want %s", got, c.json)
		}
	}
}
