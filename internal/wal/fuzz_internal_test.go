package wal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzSegment opens a log of arbitrary bytes: it is an error, or a valid prefix.
func FuzzSegment(f *testing.F) {
	h := header{id: 1}
	whole := h.append(nil)
	for n := range 3 {
		whole = appendFrame(whole, 1, Position(len(whole)-headerSize), bytes.Repeat([]byte{byte(n)}, 10*n+1))
	}
	f.Add(whole, false)
	f.Add(whole[:len(whole)-1], false)
	f.Add(whole[headerSize:], true)
	f.Add(append(whole[headerSize:len(whole)-1:len(whole)-1], 0, 0, 0), true)
	f.Add([]byte{0xff, 0xff, 0xff, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0}, true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, content []byte, headed bool) {
		if headed {
			content = append(h.append(nil), content...)
		}
		r := &frames{file: bytes.NewReader(content), header: h}
		again := h.append(nil)
		for {
			frame, err := r.next(int64(len(content)))
			if errors.Is(err, errNoFrame) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			again = appendFrame(again, h.id, Position(len(again)-headerSize), frame)
		}
		if cap(r.buf) > 2*(chunk+len(content)) {
			t.Errorf("%d bytes of memory for %d", cap(r.buf), len(content))
		}
		if len(again) > headerSize && !bytes.Equal(again[headerSize:], content[headerSize:len(again)]) {
			t.Error("what was read is not what is there")
		}
		openArbitrary(t, content)
	})
}

func openArbitrary(t *testing.T, content []byte) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, segmentName(0)), content, 0o600); err != nil {
		t.Fatal(err)
	}
	scanned := 0
	scanErr := Scan(folder, 0, 0, func([]byte, Position) error { scanned++; return nil })
	l, err := Open(folder, Options{})
	if err != nil {
		if !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
		return
	}
	if scanErr != nil {
		t.Errorf("a log that can be opened can't be scanned: %v", scanErr)
	}
	read, end := 0, Position(0)
	for r := l.Reader(0); end < l.End(); read++ {
		if _, end, err = r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if read != scanned {
		t.Errorf("%d frames were read and %d scanned", read, scanned)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
