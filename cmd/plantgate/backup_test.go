package main

import (
	"maps"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestBackupInTraffic copies the store while records come in: what was
// acknowledged before is in the copy, which a server can go on with.
func TestBackupInTraffic(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	server := start(t, folder)
	p := runPosters(t, server)
	<-p.enough
	p.mu.Lock()
	before := &posters{acked: maps.Clone(p.acked)}
	p.mu.Unlock()
	backup := exec.Command("plantgate", "backup", filepath.Join(folder, "copy.db"))
	backup.Dir = folder
	if out, err := backup.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	stop(t, server, syscall.SIGTERM)
	p.all.Wait()
	if len(p.acked) == len(before.acked) {
		t.Error("no record came during the copy")
	}

	restored := start(t, folder, "PLANTGATE_STORE_DSN=sqlite:copy.db")
	before.verify(t, restored)
	stop(t, restored, syscall.SIGTERM)
	t.Logf("%d records before the copy, %d until the stop", len(before.acked), len(p.acked))
}
