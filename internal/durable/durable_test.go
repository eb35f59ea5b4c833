package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"plantgate/internal/durable"
)

func TestFilesAreReplacedAsAWhole(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a", "b")
	for range 2 {
		if err := durable.CreateFolder(folder); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(folder, "file")
	for content, mode := range map[string]os.FileMode{"one": 0o600, "another": 0o644} {
		if err := durable.ReplaceFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != mode {
			t.Fatalf("%v, %v", info, err)
		}
		if got, err := os.ReadFile(path); string(got) != content || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := durable.CreateFolder(path); err == nil {
		t.Error("a file is taken for a folder")
	}
	if err := durable.ReplaceFile(filepath.Dir(path), []byte("x"), 0o600); err == nil {
		t.Error("a folder is replaced by a file")
	}
	for _, f := range []string{folder, filepath.Dir(folder)} {
		if list, err := os.ReadDir(f); err != nil || len(list) != 1 {
			t.Errorf("%s holds %v, %v", f, list, err)
		}
	}
}
