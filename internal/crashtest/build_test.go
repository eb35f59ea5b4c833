//go:build integration

package crashtest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// edit changes one place of one file of the program.
type edit struct {
	// file is relative to the module.
	file     string
	old, new string
}

// build builds the program, changed if edits are given: the tests have to see
// what a faulty one does. The files themselves stay as they are (go build
// -overlay).
func build(t *testing.T, edits ...edit) string {
	t.Helper()
	module, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	overlay := struct{ Replace map[string]string }{Replace: make(map[string]string)}
	for _, e := range edits {
		original := filepath.Join(module, filepath.FromSlash(e.file))
		changed := filepath.Join(folder, filepath.Base(e.file))
		source := original
		if _, again := overlay.Replace[original]; again {
			source = changed
		}
		overlay.Replace[original] = changed
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(text), e.old) != 1 {
			t.Fatalf("%s no longer has the one place that this test changes: %s", e.file, e.old)
		}
		if err := os.WriteFile(changed, []byte(strings.Replace(string(text), e.old, e.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	listFile, binary := filepath.Join(folder, "overlay.json"), filepath.Join(folder, "plantgate")
	if err := os.WriteFile(listFile, list, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-overlay", listFile, "-o", binary, "./cmd/plantgate")
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}
