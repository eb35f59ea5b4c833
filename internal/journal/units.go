package journal

import (
	"cmp"
	"slices"
	"strings"

	"plantgate/internal/mes"
)

// UnitRecords are the records of one work unit in a batch.
type UnitRecords struct {
	SiteID, MachineID string
	// Places are the indexes of its records in the batch, in the order of
	// mes.Position.
	Places []int32
}

// Units returns the records of the batch by work unit, in the order of site and id.
func (b *Batch) Units() []*UnitRecords {
	if b.units != nil || len(b.Records) == 0 {
		return b.units
	}
	byName := make(map[unitName]*UnitRecords)
	for i := range b.Records {
		r := &b.Records[i]
		name := unitName{r.SiteID, r.MachineID}
		u, ok := byName[name]
		if !ok {
			u = &UnitRecords{SiteID: r.SiteID, MachineID: r.MachineID}
			byName[name] = u
			b.units = append(b.units, u)
		}
		u.Places = append(u.Places, int32(i))
	}
	slices.SortFunc(b.units, func(x, y *UnitRecords) int {
		return cmp.Or(strings.Compare(x.SiteID, y.SiteID), strings.Compare(x.MachineID, y.MachineID))
	})
	for _, u := range b.units {
		slices.SortFunc(u.Places, func(x, y int32) int { return comparePositions(&b.Records[x], &b.Records[y]) })
	}
	return b.units
}

// comparePositions is mes.Position.Compare, without building positions.
func comparePositions(x, y *mes.Record) int {
	if c := x.Time.Compare(y.Time); c != 0 {
		return c
	}
	return x.Position().Compare(y.Position())
}
