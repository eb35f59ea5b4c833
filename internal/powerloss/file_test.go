package powerloss

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestAfterCut(t *testing.T) {
	t.Parallel()
	full := func(b byte) []byte { return bytes.Repeat([]byte{b}, 2*sector) }
	f := &file{}
	f.pending = []change{{0, full('a')}}
	if content := f.afterCut(nil); len(content) > 0 {
		t.Errorf("%d bytes are there that were never synced", len(content))
	}
	f.sync()
	f.pending = []change{{sector, full('b')}, {offset: 4 * sector}, {offset: 10}}
	if content := f.afterCut(nil); !bytes.Equal(content, full('a')) {
		t.Errorf("%d bytes are left of what was synced", len(content))
	}
	f.sync()
	if content := f.afterCut(nil); !bytes.Equal(content, full('a')[:10]) {
		t.Errorf("%q is left after a truncation that was synced", content)
	}
}

// TestTornWrites looks for every outcome of a write of two sectors.
func TestTornWrites(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	f := &file{durable: bytes.Repeat([]byte{'-'}, 3*sector)}
	f.pending = []change{{sector / 2, bytes.Repeat([]byte{'w'}, 2*sector)}}
	seen := map[string]bool{}
	for range 500 {
		content := f.afterCut(random)
		if content[0] != '-' || content[3*sector-1] != '-' {
			t.Fatal("bytes beside the write have changed")
		}
		// The write ends in the middle of the third sector.
		seen[string([]byte{content[sector-1], content[sector], content[2*sector-1], content[2*sector]})] = true
	}
	for _, want := range []string{"----", "wwww", "w---", "-ww-", "---w", "www-", "-www", "w--w"} {
		if !seen[want] {
			t.Errorf("the outcome %s never came", want)
		}
	}
	if len(seen) != 8 {
		t.Errorf("%d outcomes of three sectors: %v", len(seen), seen)
	}
	if !bytes.Equal(f.durable, bytes.Repeat([]byte{'-'}, 3*sector)) {
		t.Error("looking at a power cut changed the disk")
	}
}
