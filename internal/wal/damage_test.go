package wal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plantgate/internal/wal"
)

// headerSize and headSize are what the format puts before frames and before data.
const headerSize, headSize = 32, 12

// TestTornEnd damages the last frame in every way that a power cut may: cut at
// any byte, with zeros or with old bytes behind.
func TestTornEnd(t *testing.T) {
	t.Parallel()
	full := t.TempDir()
	l := open(t, full, wal.Options{})
	var want [][]byte
	for n := range 5 {
		want = append(want, numbered(n))
		add(t, l, want[n])
	}
	start := headerSize + int(l.End())
	last := []byte("the frame that is torn")
	end := headerSize + int(add(t, l, last))
	shut(t, l)
	content, err := os.ReadFile(segments(t, full)[0])
	if err != nil {
		t.Fatal(err)
	}
	old := bytes.Repeat([]byte{0x5a}, end)
	for cut := start; cut < end; cut++ {
		for name, torn := range map[string][]byte{
			"short": content[:cut],
			"zeros": append(bytes.Clone(content[:cut]), make([]byte, 2000)...),
			"old":   append(bytes.Clone(content[:cut]), old[cut:]...),
		} {
			folder := t.TempDir()
			path := filepath.Join(folder, filepath.Base(segments(t, full)[0]))
			if err := os.WriteFile(path, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := wal.Open(folder, wal.Options{})
			if err != nil {
				t.Fatalf("%s at %d: %v", name, cut-start, err)
			}
			wantFrames(t, l, folder, 0, want)
			add(t, l, []byte("after"))
			shut(t, l)
			l = open(t, folder, wal.Options{})
			wantFrames(t, l, folder, 0, append(want[:len(want):len(want)], []byte("after")))
			shut(t, l)
		}
	}
}

// TestDamagedMiddle changes each byte of frames that others follow.
func TestDamagedMiddle(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	l := open(t, folder, wal.Options{SegmentSize: smallSegment})
	frame := make([]byte, 100)
	for range 11 { // eight in the first segment
		add(t, l, frame)
	}
	shut(t, l)
	paths := segments(t, folder)
	if len(paths) != 2 {
		t.Fatalf("%d segments", len(paths))
	}
	for path, end := range map[string]int{paths[0]: headerSize + 8*(headSize+100), paths[1]: headerSize + 2*(headSize+100)} {
		for at := range end {
			change(t, path, func(content []byte) []byte { content[at] ^= 0x40; return content })
			_, err := wal.Open(folder, wal.Options{})
			if !errors.Is(err, wal.ErrDamaged) || !strings.Contains(err.Error(), filepath.Base(path)) {
				t.Fatalf("damage at %d of %s: %v", at, path, err)
			}
			if at >= headerSize && !strings.Contains(err.Error(), "offset") {
				t.Errorf("the damage has no offset: %v", err)
			}
			if _, err := scan(folder, 0); !errors.Is(err, wal.ErrDamaged) {
				t.Errorf("scanned over damage at %d of %s: %v", at, path, err)
			}
			change(t, path, func(content []byte) []byte { content[at] ^= 0x40; return content })
		}
	}
	shut(t, open(t, folder, wal.Options{}))
}

func TestMissingSegment(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	l := open(t, folder, wal.Options{SegmentSize: smallSegment})
	for n := range 30 {
		add(t, l, numbered(n))
	}
	shut(t, l)
	if err := os.Remove(segments(t, folder)[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := wal.Open(folder, wal.Options{}); !errors.Is(err, wal.ErrDamaged) {
		t.Errorf("a log with a hole: %v", err)
	}
}

// TestDamageWhileOpen: a reader and a scan don't pass over what went bad.
func TestDamageWhileOpen(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	l := open(t, folder, wal.Options{})
	for n := range 5 {
		add(t, l, numbered(n))
	}
	f, err := os.OpenFile(segments(t, folder)[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0xff}, headerSize+headSize+20); err != nil {
		t.Fatal(err)
	}
	r := l.Reader(0)
	for range 2 {
		if _, _, err = r.Next(); err != nil {
			break
		}
	}
	if !errors.Is(err, wal.ErrDamaged) || !strings.Contains(err.Error(), segments(t, folder)[0]) {
		t.Errorf("read %v", err)
	}
	if _, err := scan(folder, 0); !errors.Is(err, wal.ErrDamaged) {
		t.Errorf("scanned %v", err)
	}
}

// TestStaleFrames: what a recycled segment held before never comes back, even
// where a new frame ends exactly before an old one.
func TestStaleFrames(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	o := wal.Options{SegmentSize: 16 << 10}
	var released wal.Position
	recycled := 0
	for round := range 12 {
		l := open(t, folder, o)
		if got, _, err := read(l, released); err != nil || len(got) > 0 {
			t.Fatalf("round %d: %d old frames, %v", round, len(got), err)
		}
		for n := range 1 + round*37%200 {
			// Of one size, so that a page ends with a frame and old ones follow.
			frame := bytes.Repeat([]byte{byte(round), byte(n)}, (508-headSize)/2)
			end := add(t, l, frame)
			if got, _, err := read(l, released); err != nil || len(got) != 1 || !bytes.Equal(got[0], frame) {
				t.Fatalf("round %d: %d frames, %v", round, len(got), err)
			}
			if got, err := scan(folder, released); err != nil || len(got) != 1 {
				t.Fatalf("round %d: scanned %d frames, %v", round, len(got), err)
			}
			if err := l.Release(end); err != nil {
				t.Fatal(err)
			}
			released = end
			if content, err := os.ReadFile(filepath.Join(folder, "spare")); err == nil && bytes.HasPrefix(content, []byte("PGATEWAL")) {
				recycled++
			}
		}
		shut(t, l)
	}
	if recycled == 0 {
		t.Error("no segment was recycled")
	}
}

// TestFrameInAFrame: bytes that look like frames, inside a torn one, are no
// frames.
func TestFrameInAFrame(t *testing.T) {
	t.Parallel()
	folder, other := t.TempDir(), t.TempDir()
	l := open(t, other, wal.Options{})
	for n := range 3 {
		add(t, l, numbered(n))
	}
	shut(t, l)
	content, err := os.ReadFile(segments(t, other)[0])
	if err != nil {
		t.Fatal(err)
	}
	l = open(t, folder, wal.Options{})
	torn := headerSize + int(add(t, l, numbered(0)))
	// The data are the segment of another log from where they will stand.
	add(t, l, content[torn+headSize:torn+1000])
	shut(t, l)
	change(t, segments(t, folder)[0], func(b []byte) []byte {
		binary.LittleEndian.PutUint32(b[torn:], 0)
		return b
	})
	l = open(t, folder, wal.Options{})
	wantFrames(t, l, folder, 0, [][]byte{numbered(0)})
}

// TestDoubt changes the end of a log in ways that a power cut does not, or may not, and
// looks at what it says of that.
func TestDoubt(t *testing.T) {
	t.Parallel()
	full := t.TempDir()
	l := open(t, full, wal.Options{})
	first := headerSize + int(add(t, l, numbered(0)))
	end := headerSize + int(add(t, l, numbered(1)))
	shut(t, l)
	content, err := os.ReadFile(segments(t, full)[0])
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at int) []byte {
		b := bytes.Clone(content)
		b[at] ^= 1
		return b
	}
	for name, c := range map[string]struct {
		content []byte
		doubt   string // part of it; "" if there is none
		damaged bool
	}{
		"whole":                   {content: content},
		"last frame damaged":      {content: flip(end - 1), doubt: "is not whole"},
		"last frame cut":          {content: content[:end-1], doubt: "is not whole"},
		"cut between frames":      {content: content[:first], doubt: "something cut it"},
		"cut behind the last":     {content: content[:end], doubt: "something cut it"},
		"without its first frame": {content: content[:headerSize], damaged: true},
		"first frame of zeros":    {content: append(bytes.Clone(content[:headerSize]), make([]byte, len(content)-headerSize)...), damaged: true},
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(segments(t, full)[0])), c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := wal.Open(folder, wal.Options{})
		if c.damaged != errors.Is(err, wal.ErrDamaged) || !c.damaged && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		if got := l.Doubt(); (c.doubt == "") != (got == "") || !strings.Contains(got, c.doubt) {
			t.Errorf("%s: doubt %q, want %q", name, got, c.doubt)
		}
		shut(t, l)
	}
}
