package store

import (
	"cmp"
	"database/sql/driver"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRowsWithoutAKeyHaveNames reads rows that are alike but for blanks, and for what is
// empty or NULL, in the order that SQL Server has for them, which leaves open what comes
// first of those that are equal to it: each has a name of its own, and the same again.
func TestRowsWithoutAKeyHaveNames(t *testing.T) {
	t.Parallel()
	texts := []driver.Value{nil, "", "A", "A ", " A", "A\t"}
	at := time.Date(2025, 11, 3, 6, 45, 23, 0, time.UTC)
	times := map[string][]driver.Value{
		"":               {nil},
		"varchar":        {"06:45", "06:45 ", nil},
		"datetimeoffset": {at, at.In(time.FixedZone("", 5400)), at.Add(time.Second), nil},
		"bigint":         {int64(1), int64(2), nil},
	}
	for kind, moments := range times {
		var rows [][]driver.Value
		for _, payload := range []driver.Value{"{}", "{} "} {
			for _, dataType := range texts {
				for _, machine := range texts {
					for _, at := range moments {
						row := make([]driver.Value, cellsOfRow)
						row[cellPayload], row[cellDataType], row[cellMachine], row[cellTime] = payload, dataType, machine, at
						rows = append(rows, row, row)
					}
				}
			}
		}
		var before []string
		for range 3 {
			rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
			slices.SortStableFunc(rows, inOrderOfSQLServer)
			var names []string
			name := byContent(kind)
			for _, row := range rows {
				r, err := name(row)
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, r.Key)
			}
			slices.Sort(names)
			if found := len(slices.Compact(slices.Clone(names))); found != len(rows) {
				t.Fatalf("%q: %d names of %d rows", kind, found, len(rows))
			}
			if before != nil && !slices.Equal(names, before) {
				t.Fatalf("%q: other names at the second run", kind)
			}
			before = names
		}
	}
}

// inOrderOfSQLServer is the order of contentOrder: NULL first; texts as if blanks were
// after them, and then by their lengths; times as times.
func inOrderOfSQLServer(a, b []driver.Value) int {
	for _, cell := range []int{cellPayload, cellDataType, cellMachine, cellSite, cellTime} {
		if c := compareOnSQLServer(a[cell], b[cell]); c != 0 {
			return c
		}
	}
	return 0
}

func compareOnSQLServer(a, b driver.Value) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	switch a := a.(type) {
	case string:
		padded := func(s string) string { return s + strings.Repeat(" ", 10-len(s)) }
		return cmp.Or(strings.Compare(padded(a), padded(b.(string))), cmp.Compare(len(a), len(b.(string))))
	case time.Time:
		return a.Compare(b.(time.Time))
	case int64:
		return cmp.Compare(a, b.(int64))
	}
	panic(fmt.Sprintf("%T", a))
}
