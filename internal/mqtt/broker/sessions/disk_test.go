package sessions_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"plantgate/internal/mqtt/broker/sessions"
	"plantgate/internal/wal"
)

// slowDisk is the system's file system, whose syncs can be held and made to fail.
type slowDisk struct {
	wal.FS
	mu   sync.Mutex
	gate chan struct{}
	fail error
}

func (d *slowDisk) OpenFile(path string, flag int) (wal.File, error) {
	f, err := d.FS.OpenFile(path, flag)
	if err != nil {
		return nil, err
	}
	return slowFile{f, d}, nil
}

// hold makes syncs wait until release is called.
func (d *slowDisk) hold() (release func()) {
	gate := make(chan struct{})
	d.set(gate, nil)
	return sync.OnceFunc(func() {
		d.set(nil, nil)
		close(gate)
	})
}

func (d *slowDisk) set(gate chan struct{}, fail error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gate, d.fail = gate, fail
}

type slowFile struct {
	wal.File
	disk *slowDisk
}

func (f slowFile) Datasync() error {
	f.disk.mu.Lock()
	gate, fail := f.disk.gate, f.disk.fail
	f.disk.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if fail != nil {
		return fail
	}
	return f.File.Datasync()
}

// TestWaitsForTheDisk: neither the publisher is told nor the subscriber given before the
// log is synced, and the retained message and the subscription are not either.
func TestWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	disk := &slowDisk{FS: wal.System()}
	o := options(t.TempDir())
	o.FS = disk
	r := open(t, o)
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a", 1)
	c := attach(s, 5)
	publish(t, r, "a", "0", 1)
	c.wait(t, 1)
	eventually(t, func() bool { return r.Stats().Queued == 0 })
	time.Sleep(400 * time.Millisecond) // the acknowledgement is written
	release := disk.hold()
	defer release()
	published, retained := make(chan error, 1), make(chan error, 1)
	go func() { published <- r.Publish(sessions.Message{Topic: "a", Payload: []byte("1"), QoS: 1}) }()
	go func() { retained <- r.Publish(sessions.Message{Topic: "b", Payload: []byte("1"), Retain: true}) }()
	select {
	case <-published:
		t.Fatal("the publisher was told before the sync")
	case <-retained:
		t.Fatal("the publisher of a retained message was told before the sync")
	case <-time.After(300 * time.Millisecond):
	}
	if n := len(c.packets()); n != 1 {
		t.Errorf("the subscriber has %d messages before the sync, want the first only", n)
	}
	release()
	if err := errors.Join(<-published, <-retained); err != nil {
		t.Fatal(err)
	}
	c.wait(t, 2)
}

// TestFailedDisk: nothing is acknowledged any more, and the program is told to end.
func TestFailedDisk(t *testing.T) {
	t.Parallel()
	disk := &slowDisk{FS: wal.System()}
	o := options(t.TempDir())
	o.FS = disk
	r := open(t, o)
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a", 1)
	disk.set(nil, errors.New("the disk is gone"))
	if err := r.Publish(sessions.Message{Topic: "a", QoS: 1}); !errors.Is(err, wal.ErrFailed) {
		t.Errorf("published to a disk that failed: %v", err)
	}
	select {
	case <-r.Failed():
	case <-time.After(20 * time.Second):
		t.Error("nobody was told")
	}
	c := attach(s, 5)
	if err := r.Publish(sessions.Message{Topic: "a", QoS: 1}); err == nil {
		t.Error("published again")
	}
	if n := len(c.packets()); n != 0 {
		t.Errorf("%d messages were sent that the log has not", n)
	}
}

// TestPublishForAWhile: attempts behind a disk that hangs do not pile up.
func TestPublishForAWhile(t *testing.T) {
	t.Parallel()
	disk := &slowDisk{FS: wal.System()}
	o := options(t.TempDir())
	o.FS = disk
	r := open(t, o)
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a", 1)
	release := disk.hold()
	defer release()
	hangs := make(chan error, 1)
	go func() { hangs <- r.Publish(sessions.Message{Topic: "a", Payload: []byte("first"), QoS: 1}) }()
	eventually(t, func() bool { return r.Stats().Queued == 1 })
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := r.PublishFor(ctx, sessions.Message{Topic: "a", Payload: []byte("again"), QoS: 1})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("published while the disk hangs: %v", err)
		}
	}
	release()
	if err := <-hangs; err != nil {
		t.Fatal(err)
	}
	publish(t, r, "a", "last", 1)
	if got := attach(s, 5).wait(t, 2); string(got[0].Payload) != "first" || string(got[1].Payload) != "last" {
		t.Errorf("%s and %s came", got[0].Payload, got[1].Payload)
	}
}

// TestPubrecFlood: a client that answers what is not there and does not read gets no more
// than its window, and one message is released once.
func TestPubrecFlood(t *testing.T) {
	t.Parallel()
	r := open(t, options(t.TempDir()))
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a", 2)
	c := &conn{s: s, changed: make(chan struct{}, 1), silent: true}
	s.Attach(c, 3)
	publish(t, r, "a", "1", 2)
	id := c.wait(t, 1)[0].PacketID
	for range 50 {
		s.Received(id, false)
	}
	eventually(t, func() bool { return c.released() > 0 })
	c.mu.Lock() // it does not read
	for range 1000 {
		s.Received(999, false)
	}
	c.mu.Unlock()
	time.Sleep(300 * time.Millisecond)
	if n := c.released(); n > 1+3+1 { // one is in the hands of the writer
		t.Errorf("%d times PUBREL", n)
	}
	for range 50 {
		s.Received(id, false)
	}
	time.Sleep(100 * time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, rel := range c.rels {
		if rel == id {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the message was released %d times", n)
	}
}

// TestFramesAreBounded: what waited while the disk was slow goes into several frames.
func TestFramesAreBounded(t *testing.T) {
	t.Parallel()
	disk := &slowDisk{FS: wal.System()}
	o := options(t.TempDir())
	o.FS, o.MaxFrame = disk, 3000
	r := open(t, o)
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a", 1)
	release := disk.hold()
	defer release()
	const n = 40
	done := make(chan error, n+1)
	send := func() { done <- r.Publish(sessions.Message{Topic: "a", Payload: make([]byte, 1000), QoS: 1}) }
	go send()
	eventually(t, func() bool { return r.Stats().Queued == 1 })
	for range n {
		go send()
	}
	time.Sleep(200 * time.Millisecond) // all of them wait
	before := r.Stats().Commits
	release()
	for range n + 1 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if commits := r.Stats().Commits - before; commits < 10 {
		t.Errorf("%d KB went into %d frames", n, commits)
	}
	if got := open(t, options(copied(t, o.Folder))).Stats().Queued; got != n+1 {
		t.Errorf("%d messages after a kill, want %d", got, n+1)
	}
}
