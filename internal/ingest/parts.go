package ingest

import (
	"hash/maphash"
	"math/bits"
)

// maxWriters is how many parts there can be.
const maxWriters = 64

// parts are some of the parts that the machines are dealt into, one for each writer, so
// that no two write of the same machine at once.
type parts uint64

var partSeed = maphash.MakeSeed()

// partsOf are the parts that a job is of.
func partsOf(j *job, writers int) parts {
	if writers == 1 {
		return 1
	}
	var p parts
	for _, i := range j.accepted {
		r := &j.records[i]
		var h maphash.Hash
		h.SetSeed(partSeed)
		_, _ = h.WriteString(r.SiteID)
		_ = h.WriteByte(0)
		_, _ = h.WriteString(r.MachineID)
		p |= 1 << (h.Sum64() % uint64(writers))
	}
	return max(p, 1)
}

// first is the number of the first of them.
func (p parts) first() int { return bits.TrailingZeros64(uint64(p)) }

// isFor tells whether a writer may take a job of these parts: its own, or one of
// several, which is anybody's.
func (p parts) isFor(writer int) bool { return p == 1<<writer || p&(p-1) != 0 }
