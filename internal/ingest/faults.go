package ingest

import (
	"fmt"
	"strings"

	"plantgate/internal/mes"
)

// Of the faults of one message so many are told, in so many bytes each, and of all messages
// of a batch together so many bytes: what has thousands must not become many times itself.
const (
	maxFaults      = 50
	maxFaultText   = 512
	maxBatchFaults = 1 << 20
)

// faults are those of one message, as many as are told.
type faults struct {
	// whole means that the first pointer is told however long it is: it is no longer than
	// the message, and a caller looks for that member.
	whole  bool
	told   []mes.FieldError
	untold int // beyond those
}

func (f *faults) add(pointer, detail string) {
	if len(f.told) == maxFaults {
		f.untold++
		return
	}
	if !f.whole || len(f.told) > 0 {
		pointer = shortened(pointer)
	}
	f.told = append(f.told, mes.FieldError{Pointer: pointer, Detail: shortened(detail)})
}

// addNew adds those of members of which none is told, by where the message has them. What
// could not be read leaves gaps that are no faults of their own.
func (f *faults) addNew(fields []mes.FieldError, place func(pointer string) string, where string) {
	known := make(map[string]bool, len(f.told))
	for _, t := range f.told {
		known[shortened(t.Pointer)] = true
	}
	for _, field := range fields {
		at := place(field.Pointer)
		if known[shortened(at)] || field.Pointer == "" && len(f.told) > 0 {
			continue
		}
		known[shortened(at)] = true
		f.add(at, where+field.Detail)
	}
}

// err is nil if there is none.
func (f *faults) err() *mes.Error {
	list := f.told
	if f.untold > 0 {
		list = append(list, mes.FieldError{Detail: fmt.Sprintf("%d further faults are not told", f.untold)})
	}
	return mes.Invalid(list)
}

func shortened(text string) string {
	if len(text) <= maxFaultText {
		return text
	}
	return strings.ToValidUTF8(text[:maxFaultText], "") + "…"
}

// batchFaults is how many bytes are told of the faults of a batch.
type batchFaults int

// bound leaves the first of a record's faults, once those of the batch are very long.
func (n *batchFaults) bound(r *mes.Record) {
	if r.Fault == nil {
		return
	}
	for _, f := range r.Fault.Fields {
		*n += batchFaults(len(f.Pointer) + len(f.Detail))
	}
	if *n > maxBatchFaults && len(r.Fault.Fields) > 1 {
		r.Fault.Fields = []mes.FieldError{r.Fault.Fields[0], {Detail: "further faults are not told, since the batch has very many"}}
	}
}
