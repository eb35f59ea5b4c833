package sessions_test

import (
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
