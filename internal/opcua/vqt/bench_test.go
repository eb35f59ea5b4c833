package vqt

import (
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"
)

// BenchmarkOf reads what most values are: a number with both times.
func BenchmarkOf(b *testing.B) {
	dv := dataValue(72.31)
	dv.SourceTimestamp, dv.ServerTimestamp = time.Unix(1_795_000_000, 123_456_700).UTC(), time.Unix(1_795_000_001, 0).UTC()
	dv.UpdateMask()
	v := &Variable{types: NewTypes(), of: builtinType(ua.TypeIDDouble), scalar: true}
	b.ReportAllocs()
	for b.Loop() {
		q, err := Of(dv, v)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := q.Signals("temperature", "", EnumBoth); err != nil {
			b.Fatal(err)
		}
	}
}
