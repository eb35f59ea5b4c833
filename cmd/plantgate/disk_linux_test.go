package main

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDiskFailureEndsTheProcess makes writes to the store fail while records come
// in. The process must end with exit code 1, and have acknowledged nothing that
// is not there afterwards.
func TestDiskFailureEndsTheProcess(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	server := start(t, folder)
	p := runPosters(t, server)
	<-p.enough
	// A limit on the size of files is the one failure of a disk that a test can
	// cause from outside: the log is written behind its limit soon.
	const limit = 512 << 10
	if err := unix.Prlimit(server.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: limit}, nil); err != nil {
		t.Fatal(err)
	}

	code, err := server.Wait(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	p.all.Wait()
	messages := server.Stderr()
	last := messages[max(strings.LastIndex(messages, "plantgate: "), 0):]
	if code != exitFailed || !strings.HasPrefix(last, "plantgate: the disk failed") {
		t.Errorf("exit code %d, last words %q", code, last)
	}

	again := start(t, folder)
	p.verify(t, again)
	t.Logf("%d records acknowledged before the disk failed, all there; last words: %s", len(p.acked), last)
}
