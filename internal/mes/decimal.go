package mes

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Decimal is an exact decimal number: what a configuration scales values by.
type Decimal struct {
	mantissa *big.Int
	exp      int
}

// ParseDecimal reads a number as Number does.
func ParseDecimal(text string) (Decimal, error) {
	v, err := Number(text)
	if err != nil {
		return Decimal{}, err
	}
	return decimalOf(v.text), nil
}

// decimalOf takes a canonical number apart.
func decimalOf(canonical string) Decimal {
	mantissa, expText, _ := strings.Cut(canonical, "e")
	exp, _ := strconv.Atoi(expText)
	whole, fraction, _ := strings.Cut(mantissa, ".")
	m, _ := new(big.Int).SetString(whole+fraction, 10)
	return Decimal{m, exp - len(fraction)}
}

// Scale returns v × factor + offset in exact decimals, so that 0.1 × 3 is 0.3. A nil
// factor is 1, a nil offset 0. It fails for a value that is no number, and where the
// result has more digits than a number may have (see Number).
func (v Value) Scale(factor, offset *Decimal) (Value, error) {
	if factor == nil && offset == nil {
		return v, nil
	}
	if v.kind != KindNumber {
		return Value{}, fmt.Errorf("must be a number to be scaled")
	}
	d := decimalOf(v.text)
	if factor != nil {
		d = Decimal{new(big.Int).Mul(d.mantissa, factor.mantissa), d.exp + factor.exp}
	}
	if offset != nil {
		d = d.plus(*offset)
	}
	return Number(d.mantissa.String() + "e" + strconv.Itoa(d.exp))
}

// isWhole tells whether nothing stands behind the point. The canonical text that d was
// taken from has no zeros at its end.
func (d Decimal) isWhole() bool { return d.exp >= 0 }

// Sign is -1, 0 or 1.
func (d Decimal) Sign() int { return d.mantissa.Sign() }

// plus returns the exact sum.
func (d Decimal) plus(o Decimal) Decimal {
	if d.exp > o.exp {
		d, o = o, d
	}
	shift := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(o.exp-d.exp)), nil)
	return Decimal{shift.Add(shift.Mul(shift, o.mantissa), d.mantissa), d.exp}
}
