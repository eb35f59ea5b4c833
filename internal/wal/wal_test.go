package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plantgate/internal/wal"
)

const smallSegment = 1 << 10

func TestAppendReadReopen(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "deep", "log")
	var want [][]byte
	var ends []wal.Position
	for range 3 {
		l := open(t, folder, wal.Options{SegmentSize: smallSegment})
		wantFrames(t, l, folder, 0, want)
		for range 40 {
			frame := numbered(len(want))
			want, ends = append(want, frame), append(ends, add(t, l, frame))
		}
		wantFrames(t, l, folder, 0, want)
		for i, end := range ends {
			wantFrames(t, l, folder, end, want[i+1:])
		}
		if l.First() != 0 || l.Size() != int64(l.End()) {
			t.Errorf("the log begins at %d and has %d bytes of %d", l.First(), l.Size(), l.End())
		}
		shut(t, l)
	}
	if n := len(segments(t, folder)); n < 10 {
		t.Errorf("%d segments", n)
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "log")
	l := open(t, folder, wal.Options{SegmentSize: smallSegment})
	for n := range 20 {
		add(t, l, numbered(n))
	}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestReaderGoesOnAfterTheEnd(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir(), wal.Options{SegmentSize: smallSegment})
	r := l.Reader(0)
	for n := range 50 {
		if _, _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("at the end: %v", err)
		}
		end := add(t, l, numbered(n))
		frame, at, err := r.Next()
		if err != nil || at != end || !bytes.Equal(frame, numbered(n)) {
			t.Fatalf("frame %d: %q, %d, %v", n, frame, at, err)
		}
	}
}

// TestLargeFrame: frames that no segment has room for get one of their own.
func TestLargeFrame(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	var want [][]byte
	l := open(t, folder, wal.Options{SegmentSize: smallSegment})
	for i, size := range []int{10, smallSegment, 700_000, 20, smallSegment - 44, smallSegment - 43, 1} {
		frame := bytes.Repeat([]byte{byte(i + 1)}, size)
		want = append(want, frame)
		add(t, l, frame)
	}
	wantFrames(t, l, folder, 0, want)
	shut(t, l)
	l = open(t, folder, wal.Options{SegmentSize: smallSegment})
	wantFrames(t, l, folder, 0, want)
}

func TestFrameSizes(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir(), wal.Options{})
	if _, err := l.Append(nil); err == nil || errors.Is(err, wal.ErrFailed) {
		t.Errorf("an empty frame: %v", err)
	}
	add(t, l, []byte("x"))
}

func TestFullAndRoomAgain(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	l := open(t, folder, wal.Options{SegmentSize: smallSegment, MaxSize: 4 * smallSegment})
	frame := make([]byte, 200)
	var ends []wal.Position
	for {
		end, err := l.Append(frame)
		if errors.Is(err, wal.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end)
	}
	if l.Size() > 4*smallSegment || l.Size() < 4*smallSegment-212 || l.End() != ends[len(ends)-1] {
		t.Errorf("%d bytes are kept", l.Size())
	}
	if err := l.Release(ends[0]); err != nil {
		t.Fatal(err)
	}
	add(t, l, frame)
	if _, err := l.Append(frame); !errors.Is(err, wal.ErrFull) {
		t.Errorf("one frame was released and two had room: %v", err)
	}
	if err := l.Release(l.End()); err != nil || l.Size() != 0 {
		t.Errorf("%d bytes are kept of nothing, %v", l.Size(), err)
	}
	for range 100 {
		if err := l.Release(add(t, l, frame)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(segments(t, folder)); n != 1 {
		t.Errorf("%d segments are kept of nothing", n)
	}
}

func TestRelease(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	l := open(t, folder, wal.Options{SegmentSize: smallSegment})
	var want [][]byte
	var ends []wal.Position
	for n := range 60 {
		want, ends = append(want, numbered(n)), append(ends, add(t, l, numbered(n)))
	}
	if err := l.Release(l.End() + 1); err == nil {
		t.Error("what is not there was released")
	}
	for i, end := range ends {
		if err := l.Release(end); err != nil {
			t.Fatal(err)
		}
		wantFrames(t, l, folder, end, want[i+1:])
		if l.First() > end || l.Size() != int64(l.End()-end) {
			t.Fatalf("released to %d, the log begins at %d and keeps %d bytes", end, l.First(), l.Size())
		}
		if l.First() > 0 {
			if _, _, err := l.Reader(0).Next(); !errors.Is(err, wal.ErrReleased) {
				t.Fatalf("a reader of what is gone: %v", err)
			}
		}
	}
	if err := l.Release(ends[0]); err != nil {
		t.Errorf("releasing again: %v", err)
	}
	end := l.End()
	shut(t, l)
	l = open(t, folder, wal.Options{SegmentSize: smallSegment})
	if l.End() != end || l.First() == 0 {
		t.Errorf("a log from %d to %d ended at %d before", l.First(), l.End(), end)
	}
}

// TestIdleIsSmall: what little is written and released needs little disk.
func TestIdleIsSmall(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	l := open(t, folder, wal.Options{})
	for range 300 {
		if err := l.Release(add(t, l, make([]byte, 64<<10))); err != nil {
			t.Fatal(err)
		}
	}
	shut(t, l)
	var size int64
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 8<<20+32 { // and who has it
		t.Errorf("an idle log has %d bytes", size)
	}
}

func TestSecondOpener(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	l := open(t, folder, wal.Options{})
	if _, err := wal.Open(folder, wal.Options{}); !errors.Is(err, wal.ErrLocked) || !strings.Contains(err.Error(), folder) ||
		!strings.Contains(err.Error(), fmt.Sprintf("(pid %d)", os.Getpid())) {
		t.Errorf("a second opener: %v", err)
	}
	shut(t, l)
	shut(t, open(t, folder, wal.Options{}))
}

func TestClosed(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir(), wal.Options{})
	add(t, l, []byte("x"))
	r := l.Reader(0)
	shut(t, l)
	_, appended := l.Append([]byte("y"))
	_, _, readErr := r.Next()
	for _, err := range []error{appended, readErr, l.Release(0)} {
		if !errors.Is(err, wal.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	shut(t, l)
}

// TestTakenAway: what is written to files that nobody can open again is not kept.
func TestTakenAway(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(t *testing.T, folder string) error{
		"segment removed": func(t *testing.T, folder string) error { return os.Remove(segments(t, folder)[0]) },
		"segment replaced": func(t *testing.T, folder string) error {
			path := segments(t, folder)[0]
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, nil, 0o600))
		},
		"folder removed":  func(_ *testing.T, folder string) error { return os.RemoveAll(folder) },
		"folder replaced": func(_ *testing.T, folder string) error { return replace(folder) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join(t.TempDir(), "log")
			l := open(t, folder, wal.Options{})
			add(t, l, []byte("x"))
			if err := take(t, folder); err != nil {
				t.Fatal(err)
			}
			_, first := l.Append([]byte("y"))
			_, second := l.Append([]byte("z"))
			if !errors.Is(first, wal.ErrFailed) || second == nil || first.Error() != second.Error() {
				t.Errorf("appended to files that are not there: %v, %v", first, second)
			}
		})
	}
}

// replace puts a copy of the folder in its place.
func replace(folder string) error {
	if err := os.Rename(folder, folder+".old"); err != nil {
		return err
	}
	return os.CopyFS(folder, os.DirFS(folder+".old"))
}

func TestIDsDiffer(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	l := open(t, folder, wal.Options{})
	add(t, l, []byte("x"))
	id := l.ID()
	shut(t, l)
	l = open(t, folder, wal.Options{})
	if l.ID() != id {
		t.Error("the log has another id after it was opened again")
	}
	if other := open(t, t.TempDir(), wal.Options{}); other.ID() == id {
		t.Error("two logs have the same id")
	}
	shut(t, l)
	other := filepath.Join(t.TempDir(), "other")
	stranger := open(t, other, wal.Options{})
	add(t, stranger, []byte("x"))
	shut(t, stranger)
	content, err := os.ReadFile(segments(t, other)[0])
	if err != nil {
		t.Fatal(err)
	}
	// A segment of another log behind the last one.
	path := segments(t, folder)[0]
	if err := os.WriteFile(strings.Replace(path, "0.log", "d.log", 1), content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := wal.Open(folder, wal.Options{}); !errors.Is(err, wal.ErrDamaged) {
		t.Errorf("a segment of another log: %v", err)
	}
}

func TestScanOfNothing(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		if frames, err := scan(folder, 5); err != nil || len(frames) > 0 {
			t.Errorf("%d frames, %v", len(frames), err)
		}
	}
	folder, enough := t.TempDir(), errors.New("enough")
	add(t, open(t, folder, wal.Options{}), []byte("x"))
	if err := wal.Scan(folder, 0, 0, func([]byte, wal.Position) error { return enough }); err != enough { //nolint:errorlint // the very error
		t.Errorf("the scan ended with %v", err)
	}
}
