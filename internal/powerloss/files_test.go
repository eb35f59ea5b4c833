package powerloss

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"

	"plantgate/internal/wal"
)

var _ wal.FS = (*Files)(nil)

// tree returns the files below a folder, as "path=content".
func tree(t *testing.T, root string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		below, _ := filepath.Rel(root, path)
		found = append(found, filepath.ToSlash(below)+"="+string(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func snapshot(t *testing.T, d *Disk, random *rand.Rand) []string {
	t.Helper()
	dst := t.TempDir()
	if err := d.Snapshot(dst, random); err != nil {
		t.Fatal(err)
	}
	return tree(t, dst)
}

// put makes a file with a content that is durable; its name need not be.
func put(t *testing.T, s *Files, path, content string) wal.File {
	t.Helper()
	f, err := s.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Datasync(); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestNamesNeedTheSyncOfTheirFolder(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "old"), []byte("o"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := New(root)
	s := d.Files()
	sub := filepath.Join(root, "sub")
	if err := s.CreateFolder(sub); err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(random *rand.Rand, want ...string) {
		t.Helper()
		if got := snapshot(t, d, random); !slices.Equal(got, want) {
			t.Errorf("%v is left and not %v", got, want)
		}
	}
	old, err := s.OpenFile(filepath.Join(root, "old"), os.O_RDWR)
	must(err)
	defer old.Close()
	put(t, s, filepath.Join(sub, "a"), "x")
	want(nil, "old=o")
	must(s.SyncFolder(root))
	want(nil, "old=o")
	must(s.SyncFolder(sub))
	want(nil, "old=o", "sub/a=x")
	must(s.Rename(filepath.Join(sub, "a"), filepath.Join(sub, "b")))
	must(s.Remove(filepath.Join(root, "old")))
	want(nil, "old=o", "sub/a=x")
	seen := map[string]bool{}
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		seen[strings.Join(snapshot(t, d, random), " ")] = true
	}
	if len(seen) != 4 || !seen["sub/b=x"] || !seen["old=o sub/a=x"] {
		t.Errorf("outcomes of a renaming and a removal: %v", seen)
	}
	must(s.SyncFolder(sub))
	must(s.SyncFolder(root))
	want(nil, "sub/b=x")
	want(random, "sub/b=x")
}

func TestFaultsOfFiles(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d := New(root)
	s := d.Files()
	operations := 0
	f := put(t, s, filepath.Join(root, "a"), "x")
	d.FailSync(sqlite3.SQLITE_IOERR_FSYNC)
	if err := f.Datasync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("a sync that has to fail: %v", err)
	}
	if err := s.SyncFolder(root); !errors.Is(err, syscall.EIO) {
		t.Errorf("a sync of a folder that has to fail: %v", err)
	}
	d.FailSync(0)
	d.FailWrites(sqlite3.SQLITE_FULL)
	if _, err := f.WriteAt([]byte("y"), 0); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a write to a full disk: %v", err)
	}
	d.FailWrites(0)
	d.AtOperation(All, 2, func(Still) { operations++ })
	if err := s.SyncFolder(root); err != nil || operations != 0 {
		t.Errorf("%d operations, %v", operations, err)
	}
	d.IgnoreSync(All)
	if _, err := f.WriteAt([]byte("y"), 0); err != nil || operations != 1 {
		t.Errorf("%d operations, %v", operations, err)
	}
	if err := f.Datasync(); err != nil {
		t.Error(err)
	}
	if got := snapshot(t, d, nil); !slices.Equal(got, []string{"a=x"}) {
		t.Errorf("%v is left of what was not synced", got)
	}
}
