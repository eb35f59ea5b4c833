package series

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
)

// errDamaged is why stored bytes can't be read.
var errDamaged = errors.New("series: damaged block")

// reader takes values off the front of stored bytes. Its first failure stays.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail() { r.rest, r.err = nil, errDamaged }

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 { // most are small
		v := r.rest[0]
		r.rest = r.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count reads a number that is at most limit.
func (r *reader) count(limit int64) int64 {
	v := r.uvarint()
	if v > uint64(limit) {
		r.fail()
		return 0
	}
	return int64(v)
}

func (r *reader) bytes(n int64) []byte {
	if n > int64(len(r.rest)) {
		r.fail()
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// Numbers that people and machines write have few decimals. They are kept as
// mantissa and number of decimals where that gives back the same double, which
// takes less than half the bytes; others are kept as they are.
const (
	maxDecimals   = 6
	wholeDouble   = maxDecimals + 1
	decimalBits   = 3
	exactIntegers = 1 << 53
)

var powers = [maxDecimals + 1]float64{1, 10, 100, 1e3, 1e4, 1e5, 1e6}

func appendNumber(b []byte, v float64) []byte {
	for decimals, power := range powers {
		m := math.RoundToEven(v * power)
		if math.Abs(m) >= exactIntegers || m != m {
			break
		}
		if math.Float64bits(float64(int64(m))/power) == math.Float64bits(v) {
			return binary.AppendUvarint(b, zigzag(int64(m))<<decimalBits|uint64(decimals))
		}
	}
	b = binary.AppendUvarint(b, wholeDouble)
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

func (r *reader) number() float64 {
	v := r.uvarint()
	decimals := v & (1<<decimalBits - 1)
	if decimals == wholeDouble {
		b := r.bytes(8)
		if b == nil {
			return 0
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return float64(unzigzag(v>>decimalBits)) / powers[decimals]
}

// finite reads a number and refuses infinities and NaN.
func (r *reader) finite() float64 {
	v := r.number()
	if math.IsInf(v, 0) || math.IsNaN(v) {
		r.fail()
	}
	return v
}

func zigzag(i int64) uint64   { return uint64(i)<<1 ^ uint64(i>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// maxIndex bounds the index of a bin: no double is beyond it.
const maxIndex = 40_000

// appendSketch appends the count of zeros, then the bins of either sign: how
// many, the first index, and from each to the next the difference; each with its
// count.
func appendSketch(b []byte, s *Sketch) []byte {
	b = binary.AppendUvarint(b, s.zero)
	for _, bins := range [][]bin{s.positive, s.negative} {
		b = binary.AppendUvarint(b, uint64(len(bins)))
		before := int32(0)
		for i, bin := range bins {
			if i == 0 {
				b = binary.AppendUvarint(b, zigzag(int64(bin.index)))
			} else {
				b = binary.AppendUvarint(b, uint64(bin.index-before))
			}
			before = bin.index
			b = binary.AppendUvarint(b, bin.count)
		}
	}
	return b
}

func decodeSketch(data []byte) (*Sketch, error) {
	r := &reader{rest: data}
	s := &Sketch{zero: r.uvarint()}
	total := s.zero
	for _, bins := range []*[]bin{&s.positive, &s.negative} {
		n := r.count(sketchBins)
		if n > int64(len(r.rest)) { // a bin takes two bytes at least
			r.fail()
		}
		if r.err != nil {
			return nil, r.err
		}
		*bins = make([]bin, 0, n)
		var index int64
		for i := range n {
			if i == 0 {
				index = unzigzag(r.uvarint())
			} else {
				index += r.count(sketchBins - 1)
			}
			bin := bin{int32(index), r.uvarint()}
			sum, overflow := bits.Add64(total, bin.count, 0)
			if index < -maxIndex || index > maxIndex || bin.count == 0 || overflow != 0 ||
				i > 0 && (bin.index == (*bins)[i-1].index || bin.index-(*bins)[0].index >= sketchBins) {
				r.fail()
			}
			if r.err != nil {
				return nil, r.err
			}
			total = sum
			*bins = append(*bins, bin)
		}
		if n == 0 {
			*bins = nil
		}
	}
	if len(r.rest) > 0 {
		r.fail()
	}
	if r.err != nil {
		return nil, r.err
	}
	return s, nil
}
