package ingest_test

import (
	"fmt"
	"strings"
	"testing"

	"plantgate/internal/mes"
)

// TestMappedMessagesDoNotGrow: what becomes of a message that is made to have many long
// faults is not many times the message.
func TestMappedMessagesDoNotGrow(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", 100_000)
	tests := map[string]map[string]string{
		"pointers": {
			"spec": `{"Format":"json","JSON":{"Each":[{"Path":"/ch/*/s","Optional":["path"],"Signals":[{"Name":"{key}","Pointer":""}]}]}}`,
			"body": `{"ch":{"` + long + `":{"s":[` + strings.Repeat("{},", 1999) + `{}]}}}`,
		},
		"header": {
			"spec": `{"Format":"csv","CSV":{"Header":true,"Time":"ts"}}`,
			"body": "ts," + long + "\n" + strings.Repeat("1,2,3\n", 1500),
		},
		"names of columns": {
			"spec": `{"Format":"csv","CSV":{"Header":true,"Time":"ts"}}`,
			"body": "ts" + strings.Repeat(",a", 60_000) + "\n1\n",
		},
	}
	for name, sections := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sections["source"] = `{"SiteID":"main","MachineID":"M1"}`
			records := decodeMapped(t, sections)
			bytes := 0
			for _, r := range records {
				if r.Fault == nil {
					t.Fatal("it is taken")
				}
				bytes += len(r.Payload) + len(r.Fault.Message)
				for _, f := range r.Fault.Fields {
					bytes += len(f.Pointer) + len(f.Detail)
				}
			}
			if most := len(sections["body"]) + 100_000; bytes > most {
				t.Errorf("%d bytes become %d", len(sections["body"]), bytes)
			}
		})
	}
}

// TestFaultsThatAreNotTold: their number is.
func TestFaultsThatAreNotTold(t *testing.T) {
	t.Parallel()
	records := decodeMapped(t, map[string]string{
		"spec": `{"Format":"json","JSON":{"Each":[{"Path":"/s","Signals":[{"NamePointer":"/n","Pointer":"/v"}]}]}}`,
		"body": `{"s":[` + strings.Repeat(`{"n":"a"},`, 59) + `{"n":"a"}]}`, "source": `{"SiteID":"main","MachineID":"M1"}`,
	})
	fields := records[0].Fault.Fields
	if last := fields[len(fields)-1]; len(fields) != 51 || last != (mes.FieldError{Detail: fmt.Sprintf("%d further faults are not told", 10)}) {
		t.Errorf("%d faults, the last is %v", len(fields), last)
	}
}
