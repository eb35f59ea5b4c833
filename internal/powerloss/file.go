package powerloss

import (
	"math/rand/v2"
	"slices"
)

// sector is the unit that a disk writes whole.
const sector = 512

// file is what is known of one file: its content at the last sync, and what has
// been done to it since.
type file struct {
	path    string // where it is now
	durable []byte
	pending []change
}

// change is a write at an offset, or a truncation if data is nil.
type change struct {
	offset int64
	data   []byte
}

// sync makes everything that was done to the content durable.
func (f *file) sync() {
	for _, c := range f.pending {
		f.durable = c.apply(f.durable)
	}
	f.pending = nil
}

func (c change) apply(content []byte) []byte {
	if c.data == nil {
		return resize(content, c.offset)
	}
	if end := c.offset + int64(len(c.data)); int64(len(content)) < end {
		content = resize(content, end)
	}
	copy(content[c.offset:], c.data)
	return content
}

func resize(content []byte, size int64) []byte {
	if int64(len(content)) >= size {
		return content[:size:size]
	}
	return append(content, make([]byte, size-int64(len(content)))...)
}

// torn returns the parts of a change that reach the disk: all, none, or some of
// its sectors.
func (c change) torn(random *rand.Rand) []change {
	switch random.IntN(3) {
	case 0:
		return nil
	case 1:
		return []change{c}
	}
	var parts []change
	for at := 0; at < len(c.data); {
		end := min(at+sector-int((c.offset+int64(at))%sector), len(c.data))
		if random.IntN(2) == 0 {
			parts = append(parts, change{c.offset + int64(at), c.data[at:end]})
		}
		at = end
	}
	return parts
}

// afterCut returns the content that a power cut leaves.
func (f *file) afterCut(random *rand.Rand) []byte {
	content := slices.Clone(f.durable)
	if random == nil {
		return content
	}
	for _, c := range f.pending {
		for _, part := range c.torn(random) {
			content = part.apply(content)
		}
	}
	return content
}
