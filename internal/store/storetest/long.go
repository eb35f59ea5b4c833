package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plantgate/internal/mes"
)

// testLongTexts stores what is longer than many databases keep in a row: nothing is cut.
func testLongTexts(t *testing.T, s Store) {
	var records []mes.Record
	for i, unit := range []string{"x", `"\`, "é", "𝄞", "\u0001", "\ue000\ue060 "} {
		for _, length := range []int{3_999, 4_001, 60_000} {
			text := mes.String("a" + strings.Repeat(unit, length/len(unit)) + "z")
			r := NewRecord("s", fmt.Sprintf("m-%d-%d", i, length), day)
			r.Signals = []mes.Signal{{Name: "n", Value: mes.Int(1)}, {Name: "text", Value: text}}
			r.Payload = append(text.AppendJSON([]byte(`{"text":`)), '}')
			r.Identify(mes.ID{})
			records = append(records, r, NewRecord("s", r.MachineID, day.Add(-1)))
		}
	}
	Append(t, s, records...)
	for _, r := range records {
		got, err := s.Record(t.Context(), r.ID)
		if err != nil {
			t.Fatal(mes.WithCauses(err))
		}
		if !bytes.Equal(got.Payload, r.Payload) {
			t.Errorf("%s comes back with %d bytes of payload, not %d", r.MachineID, len(got.Payload), len(r.Payload))
		}
		got.Payload, r.Payload = nil, nil // they take long to be compared one by one
		if !cmp.Equal(r, got, CompareRecords()) {
			t.Errorf("%s comes back otherwise", r.MachineID)
		}
	}
	latest, err := s.Latest(t.Context(), mes.LatestFilter{SiteID: "s", Limit: 1000})
	if err != nil {
		t.Fatal(mes.WithCauses(err))
	}
	newest := map[string]mes.Value{}
	for _, l := range latest {
		newest[l.MachineID+" "+l.Signal.Name] = l.Signal.Value
	}
	for _, r := range records {
		for _, signal := range r.Signals {
			if signal.Name == "text" && newest[r.MachineID+" text"] != signal.Value {
				t.Errorf("the newest text of %s is another", r.MachineID)
			}
		}
	}
}
