package sessions_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"plantgate/internal/mqtt/broker/sessions"
	"plantgate/internal/wal"
)

// fullDisk has no room for another file while it is full.
type fullDisk struct {
	wal.FS
	full atomic.Bool
}

func (d *fullDisk) OpenFile(path string, flag int) (wal.File, error) {
	if d.full.Load() && flag&os.O_CREATE != 0 {
		return nil, &os.PathError{Op: "open", Path: path, Err: syscall.ENOSPC}
	}
	return d.FS.OpenFile(path, flag)
}

// big is a part of what fills a segment.
var big = strings.Repeat("x", 1<<20)

// fill publishes until the disk is full, and returns how many were published.
func (d *fullDisk) fill(t *testing.T, r *sessions.Registry, m sessions.Message) int {
	t.Helper()
	d.full.Store(true)
	for n := range 100 {
		m.Payload = []byte(fmt.Sprint(n, " ", big))
		switch err := r.Publish(m); {
		case errors.Is(err, wal.ErrFull):
			return n
		case err != nil:
			t.Fatal(err)
		}
	}
	t.Fatal("the disk does not become full")
	return 0
}

func openOn(t *testing.T, disk wal.FS) (*sessions.Registry, string) {
	t.Helper()
	o := options(t.TempDir())
	o.FS = disk
	return open(t, o), o.Folder
}

// TestFullDisk: what was held while the disk was full is sent when it has room again,
// without a further message.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := &fullDisk{FS: wal.System()}
	r, _ := openOn(t, disk)
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a", 1)
	c := attach(s, 5)
	n := disk.fill(t, r, sessions.Message{Topic: "a", QoS: 1})
	if err := r.Publish(sessions.Message{Topic: "a", QoS: 1}); !errors.Is(err, wal.ErrFull) {
		t.Errorf("published to a full disk: %v", err)
	}
	if got := len(c.packets()); got != n {
		t.Errorf("%d messages came while the disk was full, want %d", got, n)
	}
	disk.full.Store(false)
	c.wait(t, n+1)
	eventually(t, func() bool { return r.Stats().Queued == 0 })
	publish(t, r, "a", "next", 1)
	if got := c.wait(t, n+2); string(got[n+1].Payload) != "next" {
		t.Errorf("%.20q came, want what was published after", got[n+1].Payload)
	}
}

// TestPubrecOnFullDisk: a PUBREC that comes while the disk is full, before or after what
// could not be written, is answered when it has room again, and the message ends.
func TestPubrecOnFullDisk(t *testing.T) {
	t.Parallel()
	disk := &fullDisk{FS: wal.System()}
	r, folder := openOn(t, disk)
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a", 2)
	subscribe(t, r, s, "fill", 0)
	other, _ := connect(t, r, "other")
	subscribe(t, r, other, "fill", 1)
	c := &conn{s: s, changed: make(chan struct{}, 1), silent: true}
	s.Attach(c, 2)
	publish(t, r, "a", "1", 2)
	id := c.wait(t, 1)[0].PacketID
	disk.fill(t, r, sessions.Message{Topic: "fill", QoS: 1})
	s.Received(id, false)
	time.Sleep(1200 * time.Millisecond) // it is tried, in vain
	if n := c.released(); n != 0 {
		t.Errorf("PUBREL was sent before the log had PUBREC")
	}
	disk.full.Store(false)
	eventually(t, func() bool { return c.released() == 1 })
	if r := open(t, options(copied(t, folder))); r.Stats().Queued == 0 {
		t.Error("the message is not there after a kill")
	} else if s, _ := connect(t, r, "c"); true {
		again := attach(s, 2)
		eventually(t, func() bool { return again.released() == 1 })
		if len(again.packets()) != 0 {
			t.Error("PUBLISH came again after PUBREL")
		}
	}
	s.Acknowledged(id, 2)
	if r.Stats().Inflight != 0 {
		t.Error("the message is still under way")
	}
}

// TestDisconnectOnFullDisk: a session that ends while the disk is full is gone afterwards.
func TestDisconnectOnFullDisk(t *testing.T) {
	t.Parallel()
	disk := &fullDisk{FS: wal.System()}
	r, folder := openOn(t, disk)
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a", 1)
	leaves, _ := connect(t, r, "leaves")
	c := attach(leaves, 5)
	disk.fill(t, r, sessions.Message{Topic: "a", QoS: 1})
	r.Disconnect(leaves, c, true, 0)
	disk.full.Store(false)
	eventually(t, func() bool { return r.Stats().Persistent == 1 })
	publish(t, r, "a", "x", 1)
	if n := open(t, options(copied(t, folder))).Stats().Persistent; n != 1 {
		t.Errorf("%d sessions after a kill, want 1", n)
	}
}

// TestCompactsWhenFull: a log that is full is written anew, and goes on.
func TestCompactsWhenFull(t *testing.T) {
	t.Parallel()
	o := options(t.TempDir())
	o.MaxLog = 8 << 20
	r := open(t, o)
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a", 1)
	publish(t, r, "a", "waits", 1)
	for n := range 30 { // each takes the place of the one before
		if err := r.Publish(sessions.Message{Topic: "b", Payload: []byte(fmt.Sprint(n, " ", big[:900<<10])), Retain: true}); err != nil {
			t.Fatalf("message %d: %v", n, err)
		}
	}
	if size := r.Stats().LogBytes; size > o.MaxLog {
		t.Errorf("the log has %d bytes", size)
	}
	o.Folder = copied(t, o.Folder)
	if st := open(t, o).Stats(); st.Retained != 1 || st.Queued != 1 || st.Subscriptions != 1 {
		t.Errorf("after a kill: %+v", st)
	}
}

// TestStateInParts: a state that is larger than a frame is written as several, and counts
// as a whole.
func TestStateInParts(t *testing.T) {
	t.Parallel()
	o := options(t.TempDir())
	o.MaxLog, o.MaxFrame = 16<<20, 1000
	r := open(t, o)
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a", 1)
	subscribe(t, r, s, "b", 1)
	for n := range 20 {
		publish(t, r, "a", fmt.Sprint(n, " ", big[:3000]), 1)
	}
	for n := range 40 { // several times the log
		if err := r.Publish(sessions.Message{Topic: "r", Payload: []byte(fmt.Sprint(n, " ", big[:900<<10])), Retain: true}); err != nil {
			t.Fatalf("message %d: %v", n, err)
		}
	}
	o.Folder = copied(t, o.Folder)
	r = open(t, o)
	if st := r.Stats(); st.Queued != 20 || st.Retained != 1 || st.Subscriptions != 2 || st.Persistent != 1 {
		t.Errorf("after a kill: %+v", st)
	}
	s, _ = connect(t, r, "c")
	for n, pk := range attach(s, 50).wait(t, 20) {
		if !strings.HasPrefix(string(pk.Payload), fmt.Sprint(n, " ")) {
			t.Errorf("message %d is %.5s", n, pk.Payload)
		}
	}
}

// TestCompleteWaits: PUBREL is answered when the log has it, so that its packet id means
// another publication after a kill too.
func TestCompleteWaits(t *testing.T) {
	t.Parallel()
	disk := &fullDisk{FS: wal.System()}
	r, folder := openOn(t, disk)
	s, _ := connect(t, r, "p")
	for id := range uint16(2) {
		if err := r.Publish(sessions.Message{Topic: "a", QoS: 2, Origin: "p", PacketID: id + 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Complete(1); err != nil {
		t.Fatal(err)
	}
	killed, _ := connect(t, open(t, options(copied(t, folder))), "p")
	if ids := killed.Incoming(); len(ids) != 1 || ids[0] != 2 {
		t.Errorf("after a kill %d await PUBREL, want 2", ids)
	}
	other, _ := connect(t, r, "other")
	subscribe(t, r, other, "fill", 1)
	disk.fill(t, r, sessions.Message{Topic: "fill", QoS: 1})
	if err := s.Complete(2); err == nil {
		t.Error("the end of a publication was told that the log has not")
	}
	disk.full.Store(false)
	eventually(t, func() bool { return s.Complete(2) == nil })
	if ids := s.Incoming(); len(ids) != 0 {
		t.Errorf("%d await PUBREL", ids)
	}
}
