package ingest_test

import (
	"fmt"
	"strings"
	"testing"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// TestLongNameIsToldOnce: the name of an object stands in front of those of all
// its members. A long one would make a small message take up gigabytes.
func TestLongNameIsToldOnce(t *testing.T) {
	t.Parallel()
	var members strings.Builder
	for i := range 300 {
		fmt.Fprintf(&members, `,"%d":1`, i)
	}
	long := strings.Repeat("p", mes.MaxSignalNameLength+1)
	for name, body := range map[string]string{
		"outermost": `{"machine_id":"M1","` + long + `":{"a":1` + members.String() + `}}`,
		"inner":     `{"machine_id":"M1","a":{"` + long + `":{"a":1` + members.String() + `}}}`,
		"innermost": `{"machine_id":"M1","` + long + `":{"a":{"a":1` + members.String() + `}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := ingest.NewDecoder(ingest.Limits{MaxRecord: 1 << 20, MaxBatch: 1, MaxDepth: 8}, sites(t))
			fault := d.Decode(ingest.Source{ReceivedAt: received}, []byte(body))[0].Fault
			if fault == nil || len(fault.Fields) == 0 || !strings.HasSuffix(fault.Fields[0].Pointer, long) {
				t.Fatal("no fault that names the member")
			}
			size := 0
			for _, f := range fault.Fields {
				size += len(f.Pointer) + len(f.Detail)
			}
			if size > len(body) {
				t.Errorf("%d faults of %d bytes for a message of %d", len(fault.Fields), size, len(body))
			}
		})
	}
}
