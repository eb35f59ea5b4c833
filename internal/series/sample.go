package series

import (
	"iter"
	"slices"
	"strings"

	"plantgate/internal/mes"
)

// Unit is a work unit, whose signals are summed up.
type Unit struct{ SiteID, MachineID string }

// Sample is one value of one signal of one record.
type Sample struct {
	Signal     string
	Position   mes.Position
	Value      mes.Value
	StatusCode mes.StatusCode
}

// Number returns the number of the sample, 1 or 0 of a boolean, and false where
// the figures leave it out: a text, an array, no value, or one of bad quality.
func (s Sample) Number() (float64, bool) {
	if s.StatusCode.Severity() == "bad" {
		return 0, false
	}
	return s.Value.Float64()
}

// Samples yields the samples of a record, those of the given signals only, or of
// all if there are none given. A retained message is no new reading and has no
// samples; the status of a work unit is no number, and takes the place of a
// signal that bears its name.
func Samples(r *mes.Record, signals []string) iter.Seq[Sample] {
	return func(yield func(Sample) bool) {
		if r.HasFlag(mes.FlagRetained) {
			return
		}
		position := r.Position()
		give := func(s mes.Signal) bool {
			if r.Status != "" && s.Name == mes.SignalStatus {
				return true
			}
			return yield(Sample{Signal: s.Name, Position: position, Value: s.Value, StatusCode: r.StatusCode})
		}
		if len(signals) == 0 {
			for _, s := range r.Signals {
				if !give(s) {
					return
				}
			}
			return
		}
		for _, name := range signals {
			i, ok := slices.BinarySearchFunc(r.Signals, name, func(s mes.Signal, name string) int {
				return strings.Compare(s.Name, name)
			})
			if ok && !give(r.Signals[i]) {
				return
			}
		}
	}
}
