package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"plantgate/internal/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a log that is closed with the test.
func open(t testing.TB, folder string, o wal.Options) *wal.Log {
	t.Helper()
	l, err := wal.Open(folder, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, l) })
	return l
}

func shut(t testing.TB, l *wal.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func add(t testing.TB, l *wal.Log, frame []byte) wal.Position {
	t.Helper()
	end, err := l.Append(frame)
	if err != nil {
		t.Fatal(err)
	}
	if l.End() != end {
		t.Fatalf("the frame ends at %d and the log at %d", end, l.End())
	}
	return end
}

// numbered returns a frame of a size that only its number decides.
func numbered(n int) []byte {
	return append(fmt.Appendf(nil, "%d:", n), bytes.Repeat([]byte{byte(n)}, n*37%400)...)
}

// read returns the frames from a position on, and their ends.
func read(l *wal.Log, from wal.Position) (frames [][]byte, ends []wal.Position, err error) {
	r := l.Reader(from)
	for {
		frame, end, err := r.Next()
		if errors.Is(err, io.EOF) {
			return frames, ends, nil
		}
		if err != nil {
			return frames, ends, err
		}
		frames, ends = append(frames, bytes.Clone(frame)), append(ends, end)
	}
}

func scan(folder string, from wal.Position) (frames [][]byte, err error) {
	err = wal.Scan(folder, 0, from, func(frame []byte, _ wal.Position) error {
		frames = append(frames, bytes.Clone(frame))
		return nil
	})
	return frames, err
}

// wantFrames compares what a log gives, by both ways of reading it.
func wantFrames(t testing.TB, l *wal.Log, folder string, from wal.Position, want [][]byte) {
	t.Helper()
	got, _, err := read(l, from)
	if err != nil || !equal(got, want) {
		t.Fatalf("read %d frames of %d: %v", len(got), len(want), err)
	}
	if got, err = scan(folder, from); err != nil || !equal(got, want) {
		t.Fatalf("scanned %d frames of %d: %v", len(got), len(want), err)
	}
}

func equal(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

// segments returns the paths of the segments, oldest first.
func segments(t testing.TB, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// change edits a file.
func change(t testing.TB, path string, edit func(content []byte) []byte) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, edit(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
