package sessions_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"plantgate/internal/mqtt/broker/sessions"
)

// heap is what is in use, in bytes.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// crowd makes absent sessions that are subscribed to a.
func crowd(t *testing.T, r *sessions.Registry, n int) []*sessions.Session {
	t.Helper()
	list := make([]*sessions.Session, n)
	for i := range list {
		list[i], _ = connect(t, r, fmt.Sprint("session-", i))
		subscribe(t, r, list[i], "a", 1)
	}
	return list
}

// TestMemoryIsCounted: what waits for many sessions takes no more of the heap than counts
// to MaxBytes, however small the messages are, and nothing once the sessions are gone. It
// is alone, since the heap is everybody's.
func TestMemoryIsCounted(t *testing.T) {
	const rounds = 150
	o := options("")
	o.MaxSessions, o.MaxQueued, o.MaxBytes = 150, 1_000_000, 3<<20
	r := open(t, o)
	list := crowd(t, r, o.MaxSessions)
	before := heap()
	for range rounds {
		publish(t, r, "a", `{"x":1}`, 1)
	}
	used, st := heap()-before, r.Stats()
	t.Logf("%d entries take %d bytes of the heap, %d each; %d are counted", st.Queued, used, used/st.Queued, st.QueuedBytes)
	if used > st.QueuedBytes || st.QueuedBytes > int64(o.MaxBytes) {
		t.Errorf("%d bytes are in use and %d counted, at most %d may be", used, st.QueuedBytes, o.MaxBytes)
	}
	if st.Queued < 15_000 {
		t.Errorf("only %d wait", st.Queued)
	}
	if n := st.Queued + st.Dropped[sessions.DroppedQueueFull]; n != rounds*int64(len(list)) {
		t.Errorf("%d are kept or counted as dropped, want all %d", n, rounds*len(list))
	}
	for _, s := range list {
		r.Expire(s.ID())
	}
	if st := r.Stats(); st.Queued != 0 || st.QueuedBytes != 0 {
		t.Errorf("without sessions %d wait with %d bytes", st.Queued, st.QueuedBytes)
	}
}

// TestEntriesCountAfterAStart: what the log recalls counts as it did.
func TestEntriesCountAfterAStart(t *testing.T) {
	t.Parallel()
	o := options(t.TempDir())
	o.MaxSessions, o.MaxBytes = 30, 50_000
	r := open(t, o)
	crowd(t, r, o.MaxSessions)
	for range 20 {
		publish(t, r, "a", "x", 1)
	}
	before := r.Stats()
	if before.Dropped[sessions.DroppedQueueFull] == 0 || before.QueuedBytes > int64(o.MaxBytes) {
		t.Fatalf("%d dropped, %d bytes", before.Dropped[sessions.DroppedQueueFull], before.QueuedBytes)
	}
	o.Folder = copied(t, o.Folder)
	r = open(t, o)
	if st := r.Stats(); st.Queued != before.Queued || st.QueuedBytes != before.QueuedBytes {
		t.Errorf("after a start %d wait with %d bytes, want %d with %d", st.Queued, st.QueuedBytes, before.Queued, before.QueuedBytes)
	}
	publish(t, r, "a", "one more", 1)
	if st := r.Stats(); st.Queued > before.Queued+5 {
		t.Errorf("%d wait, %d did", st.Queued, before.Queued)
	}
	o.Folder, o.MaxBytes = copied(t, o.Folder), 1000
	if st := open(t, o).Stats(); st.Queued < before.Queued {
		t.Errorf("%d wait, %d were acknowledged", st.Queued, before.Queued)
	}
}

// TestFinishedInTheMiddle: a message that is acknowledged before an older one gives up its
// memory at once, and its place when the older one is.
func TestFinishedInTheMiddle(t *testing.T) {
	o := options("")
	o.MaxInflight = 100
	r := open(t, o)
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a", 1)
	c := &conn{s: s, changed: make(chan struct{}, 1), silent: true}
	s.Attach(c, 100)
	before := heap()
	for range 50 {
		publish(t, r, "a", big[:100<<10], 1)
	}
	got := c.wait(t, 50)
	for _, pk := range got[1:] {
		s.Acknowledged(pk.PacketID, 1)
	}
	first := got[0].PacketID
	clear(got) // they lead to the payloads
	c.mu.Lock()
	clear(c.got)
	c.mu.Unlock()
	st := r.Stats()
	if used := heap() - before; used > 1<<20 {
		t.Errorf("%d bytes are in use for one message of 100 KiB", used)
	}
	if st.Queued != 1 || st.QueuedBytes < 100<<10+50*100 {
		t.Errorf("%d wait with %d bytes", st.Queued, st.QueuedBytes)
	}
	s.Acknowledged(first, 1)
	if st := r.Stats(); st.QueuedBytes != 0 {
		t.Errorf("%d bytes, nothing waits", st.QueuedBytes)
	}
}

// TestFreshCounts: what of QoS 0 waits for clients that read slowly counts too, and a
// client for which nothing waits gets its next message nevertheless.
func TestFreshCounts(t *testing.T) {
	t.Parallel()
	o := options("")
	o.MaxBytes = 100_000
	r := open(t, o)
	gate := make(chan struct{})
	for i := range 5 {
		s, _ := connect(t, r, fmt.Sprint("slow", i))
		subscribe(t, r, s, fmt.Sprint("slow/", i), 0)
		c := &stuck{gate: gate}
		s.Attach(c, 5)
		t.Cleanup(func() { r.Disconnect(s, c, true, 0) })
		for range 50 {
			publish(t, r, fmt.Sprint("slow/", i), big[:1000], 0)
		}
	}
	t.Cleanup(func() { close(gate) })
	st := r.Stats()
	if st.QueuedBytes > int64(o.MaxBytes)+5*2000 || st.QueuedBytes < 50_000 || st.Dropped[sessions.DroppedSlow] == 0 {
		t.Errorf("%d bytes wait, %d were dropped", st.QueuedBytes, st.Dropped[sessions.DroppedSlow])
	}
	s, _ := connect(t, r, "fast")
	subscribe(t, r, s, "fast", 0)
	c := attach(s, 5)
	for n := range 10 {
		publish(t, r, "fast", "x", 0)
		c.wait(t, n+1)
	}
	r.Disconnect(s, c, true, 0)
}

// stuck is a client that reads nothing until the gate opens.
type stuck struct{ gate chan struct{} }

func (c *stuck) WritePacket(packets.Packet) error {
	<-c.gate
	return nil
}

func (c *stuck) Stop(error) {}
