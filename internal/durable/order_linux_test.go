//go:build integration

package durable_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"plantgate/internal/durable"
)

// TestReplacedFilesAreSynced watches the system calls: a file is synced before it gets
// its name, and the folder after.
func TestReplacedFilesAreSynced(t *testing.T) {
	const where = "PLANTGATE_TEST_REPLACE"
	if path := os.Getenv(where); path != "" { // this is the process that is watched
		if err := durable.ReplaceFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("this test needs strace: apt-get install strace")
	}
	folder := t.TempDir()
	path, trace := filepath.Join(folder, "file"), filepath.Join(t.TempDir(), "trace")
	cmd := exec.CommandContext(t.Context(), strace, "-f", "-y", "-e", "trace=fsync,rename,renameat,renameat2", "-o", trace,
		os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), where+"="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	content, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	synced := regexp.MustCompile(`fsync\(\d+<([^>]*)>`)
	for line := range strings.Lines(string(content)) {
		file := ""
		if match := synced.FindStringSubmatch(line); len(match) == 2 {
			file = match[1]
		}
		switch {
		case strings.Contains(line, "rename") && strings.Contains(line, path):
			order = append(order, "rename")
		case file == folder:
			order = append(order, "sync of the folder")
		case filepath.Dir(file) == folder:
			order = append(order, "sync of the file")
		}
	}
	if got := strings.Join(order, ", "); got != "sync of the file, rename, sync of the folder" {
		t.Errorf("in this order: %s\n%s", got, content)
	}
}
