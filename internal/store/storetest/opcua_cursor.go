package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plantgate/internal/mes"
)

func expectCursors(t *testing.T, s Store, connection string, want ...mes.OPCUACursor) {
	t.Helper()
	got, err := s.OPCUACursors(t.Context(), connection)
	if err != nil {
		t.Fatal(mes.WithCauses(err))
	}
	byNode := func(a, b mes.OPCUACursor) int { return slices.Compare(a.Node[:], b.Node[:]) }
	slices.SortFunc(got, byNode)
	slices.SortFunc(want, byNode)
	if len(want)+len(got) == 0 {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the cursors of %s (-want +got):\n%s", connection, diff)
	}
}

func testOPCUACursors(t *testing.T, s Store) {
	keep := func(connection string, list ...mes.OPCUACursor) {
		t.Helper()
		if err := s.KeepOPCUACursors(t.Context(), connection, list); err != nil {
			t.Fatal(mes.WithCauses(err))
		}
	}
	cursor := func(node string, at time.Time) mes.OPCUACursor {
		return mes.OPCUACursor{Node: mes.DerivedID(time.Time{}, node), At: mes.Micros(at)}
	}
	expectCursors(t, s, "press")
	keep("press")
	a, b := cursor("a", day.Add(time.Microsecond)), cursor("b", time.Date(1601, 1, 2, 0, 0, 0, 0, time.UTC))
	keep("press", a, b)
	keep("Press", cursor("a", day))
	expectCursors(t, s, "press", a, b)

	// A gap comes and goes with its cursor; the others stay.
	a.At = day.Add(time.Hour)
	a.Gap = mes.OPCUAGap{From: day.Add(2 * time.Microsecond), To: day.Add(time.Minute), Since: day.Add(time.Second)}
	keep("press", a)
	expectCursors(t, s, "press", a, b)
	a.At, a.Gap = day.Add(-time.Hour), mes.OPCUAGap{}
	keep("press", a)
	expectCursors(t, s, "press", a, b)
	expectCursors(t, s, "Press", cursor("a", day))

	var many []mes.OPCUACursor
	for i := range 4001 {
		many = append(many, cursor(fmt.Sprintf("node %d", i), day.Add(time.Duration(i)*time.Millisecond)))
	}
	keep("line", many...)
	keep("line", many[3999:]...)
	expectCursors(t, s, "line", many...)
}
