package mes_test

import (
	"math/big"
	"strings"
	"testing"

	"plantgate/internal/mes"
)

func TestScaleIsExact(t *testing.T) {
	t.Parallel()
	tests := []struct{ value, factor, offset, want string }{
		{"3", "0.1", "", "0.3"},
		{"1.1", "1.1", "", "1.21"},
		{"2215", "0.1", "-40", "181.5"},
		{"0.1", "", "0.2", "0.3"},
		{"-5", "2", "10", "0"},
		{"18446744073709551615", "10", "1", "184467440737095516151"},
		{"1e300", "1e-300", "", "1"},
		{"0", "123", "4", "4"},
		{"1e308", "10", "", "error: range"},
		{"1e300", "1", "1", "error: digits"},
		{"1e-300", "1e-300", "", "error: range"},
	}
	for _, tt := range tests {
		v, err := mes.Number(tt.value)
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.Scale(decimal(t, tt.factor), decimal(t, tt.offset))
		if part, fails := strings.CutPrefix(tt.want, "error: "); fails {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s × %s + %s = %s, %v, want an error of the %s", tt.value, tt.factor, tt.offset, got.Text(), err, part)
			}
			continue
		}
		if err != nil || got.Text() != tt.want {
			t.Errorf("%s × %s + %s = %s, %v, want %s", tt.value, tt.factor, tt.offset, got.Text(), err, tt.want)
		}
	}
	if _, err := mes.String("7").Scale(decimal(t, "2"), nil); err == nil {
		t.Error("a text was scaled")
	}
	if v, err := mes.String("7").Scale(nil, nil); err != nil || v != mes.String("7") {
		t.Errorf("without a scale: %v, %v", v, err)
	}
}

func decimal(t *testing.T, text string) *mes.Decimal {
	t.Helper()
	if text == "" {
		return nil
	}
	d, err := mes.ParseDecimal(text)
	if err != nil {
		t.Fatal(err)
	}
	return &d
}

// FuzzScale holds the result to that of rational numbers.
func FuzzScale(f *testing.F) {
	f.Add("0.1", "3", "-0.5")
	f.Add("-12e30", "1e-3", "7")
	f.Fuzz(func(t *testing.T, value, factor, offset string) {
		v, err := mes.Number(value)
		if err != nil {
			return
		}
		a, err := mes.ParseDecimal(factor)
		if err != nil {
			return
		}
		b, err := mes.ParseDecimal(offset)
		if err != nil {
			return
		}
		got, err := v.Scale(&a, &b)
		if err != nil {
			return
		}
		want := new(big.Rat).Add(new(big.Rat).Mul(rat(value), rat(factor)), rat(offset))
		if rat(got.Text()).Cmp(want) != 0 {
			t.Fatalf("%s × %s + %s = %s", value, factor, offset, got.Text())
		}
	})
}

func rat(text string) *big.Rat {
	r, _ := new(big.Rat).SetString(text)
	return r
}
