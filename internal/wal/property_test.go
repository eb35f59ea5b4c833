package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"pgregory.net/rapid"

	"plantgate/internal/wal"
)

// model is what a log must be like.
type model struct {
	frames   [][]byte
	ends     []wal.Position
	released int // frames
}

func (m *model) end() wal.Position { return m.endOf(len(m.ends)) }

func (m *model) endOf(n int) wal.Position {
	if n == 0 {
		return 0
	}
	return m.ends[n-1]
}

// TestProperties does by chance what a log can be asked for, and compares it with
// a model.
func TestProperties(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		folder := fmt.Sprintf("%s/%d", root, run)
		defer os.RemoveAll(folder)
		o := wal.Options{SegmentSize: rapid.Int64Range(100, 2000).Draw(t, "segment"), MaxSize: 20_000}
		l, err := wal.Open(folder, o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		var m model
		reader, at := l.Reader(0), 0
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				frame := bytes.Repeat([]byte{byte(len(m.frames))}, rapid.IntRange(1, 700).Draw(t, "size"))
				end, err := l.Append(frame)
				want := m.end() + wal.Position(headSize+len(frame))
				switch full := int64(want-m.endOf(m.released)) > o.MaxSize; {
				case full && errors.Is(err, wal.ErrFull):
				case full || err != nil || end != want:
					t.Fatalf("append: %d and not %d, %v", end, want, err)
				default:
					m.frames, m.ends = append(m.frames, frame), append(m.ends, end)
				}
			},
			"read": func(t *rapid.T) {
				frame, end, err := reader.Next()
				switch {
				case at < m.released && errors.Is(err, wal.ErrReleased):
					reader, at = l.Reader(m.endOf(m.released)), m.released
				case at == len(m.frames) && errors.Is(err, io.EOF):
				case err != nil || end != m.ends[at] || !bytes.Equal(frame, m.frames[at]):
					t.Fatalf("frame %d: %d, %v", at, end, err)
				default:
					at++
				}
			},
			"release": func(t *rapid.T) {
				m.released = rapid.IntRange(m.released, len(m.frames)).Draw(t, "released")
				if err := l.Release(m.endOf(m.released)); err != nil {
					t.Fatal(err)
				}
			},
			"reopen": func(t *rapid.T) {
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if l, err = wal.Open(folder, o); err != nil {
					t.Fatal(err)
				}
				if err := l.Release(m.endOf(m.released)); err != nil {
					t.Fatal(err)
				}
				reader = l.Reader(m.endOf(m.released))
				at = m.released
			},
			"scan": func(t *rapid.T) {
				from := rapid.IntRange(m.released, len(m.frames)).Draw(t, "from")
				got, err := scan(folder, m.endOf(from))
				if err != nil || !equal(got, m.frames[from:]) {
					t.Fatalf("scanned %d frames of %d: %v", len(got), len(m.frames)-from, err)
				}
			},
			"": func(t *rapid.T) {
				if l.End() != m.end() || l.First() > m.endOf(m.released) || l.Size() != int64(m.end()-m.endOf(m.released)) {
					t.Fatalf("from %d to %d with %d bytes", l.First(), l.End(), l.Size())
				}
			},
		})
	})
}
