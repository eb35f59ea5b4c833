package sessions_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"

	"plantgate/internal/mqtt/broker/sessions"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options(folder string) sessions.Options {
	return sessions.Options{
		Folder: folder, MaxQueued: 10_000, MaxQueuedBytes: 64 << 20, MaxBytes: 256 << 20, MaxRetained: 100, MaxRetainedBytes: 1 << 20,
		MaxSessions: 10, MaxInflight: 20, MayReceive: func(_, _, _ string) bool { return true }, Log: slog.New(slog.DiscardHandler),
	}
}

func open(t testing.TB, o sessions.Options) *sessions.Registry {
	t.Helper()
	r, err := sessions.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// copied is the folder as a kill would leave it now.
func copied(t testing.TB, folder string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	return to
}

func connect(t testing.TB, r *sessions.Registry, id string) (*sessions.Session, bool) {
	t.Helper()
	s, present, err := r.Connect(sessions.Client{ID: id, User: "u", Version: 4, Expiry: 3600})
	if err != nil {
		t.Fatal(err)
	}
	return s, present
}

func subscribe(t testing.TB, r *sessions.Registry, s *sessions.Session, filter string, qos byte) {
	t.Helper()
	if _, err := r.Subscribe(s, []packets.Subscription{{Filter: filter, Qos: qos}}); err != nil {
		t.Fatal(err)
	}
}

func publish(t testing.TB, r *sessions.Registry, topic, payload string, qos byte) {
	t.Helper()
	if err := r.Publish(sessions.Message{Topic: topic, Payload: []byte(payload), QoS: qos}); err != nil {
		t.Fatal(err)
	}
}

// conn is a client that acknowledges as it is told.
type conn struct {
	mu      sync.Mutex
	s       *sessions.Session
	silent  bool // no acknowledgements
	noComp  bool // no PUBCOMP
	got     []packets.Packet
	rels    []uint16
	changed chan struct{}
	stopped error
}

func attach(s *sessions.Session, window int) *conn {
	c := &conn{s: s, changed: make(chan struct{}, 1)}
	s.Attach(c, window)
	return c
}

func (c *conn) WritePacket(pk packets.Packet) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case pk.FixedHeader.Type == packets.Pubrel:
		c.rels = append(c.rels, pk.PacketID)
		if !c.silent && !c.noComp {
			go c.s.Acknowledged(pk.PacketID, 2)
		}
	default:
		c.got = append(c.got, pk)
		switch {
		case c.silent:
		case pk.FixedHeader.Qos == 1:
			c.s.Acknowledged(pk.PacketID, 1)
		case pk.FixedHeader.Qos == 2:
			c.s.Received(pk.PacketID, false)
		}
	}
	select {
	case c.changed <- struct{}{}:
	default:
	}
	return nil
}

func (c *conn) Stop(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = err
}

func (c *conn) packets() []packets.Packet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]packets.Packet(nil), c.got...)
}

func (c *conn) released() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.rels)
}

func (c *conn) wait(t testing.TB, n int) []packets.Packet {
	t.Helper()
	end := time.After(20 * time.Second)
	for {
		if got := c.packets(); len(got) >= n {
			return got
		}
		select {
		case <-c.changed:
		case <-time.After(10 * time.Millisecond):
		case <-end:
			t.Fatalf("%d packets came, want %d", len(c.packets()), n)
		}
	}
}

func wantPayloads(t testing.TB, got []packets.Packet, from, to int) {
	t.Helper()
	if len(got) != to-from {
		t.Fatalf("%d packets, want %d", len(got), to-from)
	}
	for i, pk := range got {
		if want := fmt.Sprint(from + i); string(pk.Payload) != want {
			t.Fatalf("packet %d is %q, want %q", i, pk.Payload, want)
		}
	}
}

// TestKeptForAbsent: what was published for an absent client is there after a kill, in
// order, with a window smaller than the queue.
func TestKeptForAbsent(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := open(t, options(folder))
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a/#", 1)
	for i := range 300 {
		publish(t, r, "a/b", fmt.Sprint(i), 1)
	}
	again := open(t, options(copied(t, folder)))
	s, present := connect(t, again, "c")
	if !present {
		t.Error("the session is not there")
	}
	c := attach(s, 7)
	wantPayloads(t, c.wait(t, 300), 0, 300)
	// And what follows.
	publish(t, again, "a/b", "300", 2)
	if got := c.wait(t, 301); got[300].FixedHeader.Qos != 1 || got[300].FixedHeader.Dup {
		t.Errorf("%+v", got[300].FixedHeader)
	}
	if n := again.Stats().Queued; n != 0 {
		t.Errorf("%d are still queued", n)
	}
}

// TestUnacknowledgedComesAgain: in order, with the same packet ids and DUP, on the next
// connection and after a kill.
func TestUnacknowledgedComesAgain(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := open(t, options(folder))
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a", 2)
	silent := &conn{s: s, silent: true, changed: make(chan struct{}, 1)}
	s.Attach(silent, 5)
	for i := range 10 {
		publish(t, r, "a", fmt.Sprint(i), 1+byte(i%2))
	}
	first := silent.wait(t, 5)
	time.Sleep(50 * time.Millisecond)
	wantPayloads(t, silent.packets(), 0, 5)

	for name, reg := range map[string]*sessions.Registry{"reconnect": r, "kill": open(t, options(copied(t, folder)))} {
		s, _ := connect(t, reg, "c")
		got := attach(s, 20).wait(t, 10)
		wantPayloads(t, got, 0, 10)
		for i, pk := range got {
			if pk.FixedHeader.Dup != (i < 5) && name == "reconnect" || i < 5 && (pk.PacketID != first[i].PacketID || !pk.FixedHeader.Dup) {
				t.Errorf("%s: message %d has packet id %d and DUP %v", name, i, pk.PacketID, pk.FixedHeader.Dup)
			}
		}
	}
}

// TestReleaseAfterKill: a message of QoS 2 that the client has, as the broker knows, is
// never published to it again.
func TestReleaseAfterKill(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := open(t, options(folder))
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a", 2)
	c := &conn{s: s, noComp: true, changed: make(chan struct{}, 1)}
	s.Attach(c, 5)
	publish(t, r, "a", "0", 2)
	eventually(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.rels) == 1 })
	again := open(t, options(copied(t, folder)))
	s, _ = connect(t, again, "c")
	after := attach(s, 5)
	eventually(t, func() bool { return again.Stats().Queued == 0 })
	if got := after.packets(); len(got) != 0 {
		t.Errorf("published again: %+v", got)
	}
}

func eventually(t testing.TB, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

// TestAcknowledgementsAreKept: they are written a moment later, with nothing else to do.
func TestAcknowledgementsAreKept(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := open(t, options(folder))
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a", 1)
	c := attach(s, 5)
	publish(t, r, "a", "0", 1)
	c.wait(t, 1)
	commits := r.Stats().Commits
	eventually(t, func() bool { return r.Stats().Commits > commits })
	if again := open(t, options(copied(t, folder))); again.Stats().Queued != 0 {
		t.Error("an acknowledged message is there after a kill")
	}
}

// TestRetainedAreKept: set, replaced and removed.
func TestRetainedAreKept(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := open(t, options(folder))
	for _, m := range []sessions.Message{
		{Topic: "a/1", Payload: []byte("old"), QoS: 1, Retain: true}, {Topic: "a/1", Payload: []byte("new"), QoS: 1, Retain: true},
		{Topic: "a/2", Payload: []byte("gone"), Retain: true}, {Topic: "a/2", Retain: true},
	} {
		if err := r.Publish(m); err != nil {
			t.Fatal(err)
		}
	}
	again := open(t, options(copied(t, folder)))
	s, _ := connect(t, again, "c")
	subscribe(t, again, s, "a/+", 1)
	c := attach(s, 5)
	if err := again.SendRetained(s, packets.Subscription{Filter: "a/+", Qos: 1}); err != nil {
		t.Fatal(err)
	}
	got := c.wait(t, 1)
	if string(got[0].Payload) != "new" || !got[0].FixedHeader.Retain || again.Stats().Retained != 1 {
		t.Errorf("%s, retained %v, %d retained", got[0].Payload, got[0].FixedHeader.Retain, again.Stats().Retained)
	}
}

// TestSessionsAndSubscriptionsEnd: what ended does not come back.
func TestSessionsAndSubscriptionsEnd(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := open(t, options(folder))
	for _, id := range []string{"stays", "expires", "cleans"} {
		s, _ := connect(t, r, id)
		subscribe(t, r, s, "a", 1)
		subscribe(t, r, s, "b", 1)
	}
	s, _ := r.Lookup("stays")
	if err := r.Unsubscribe(s, []string{"b"}); err != nil {
		t.Fatal(err)
	}
	publish(t, r, "a", "0", 1)
	r.Expire("expires")
	if _, present, err := r.Connect(sessions.Client{ID: "cleans", User: "u", Version: 4, Clean: true}); err != nil || present {
		t.Fatal(present, err)
	}
	again := open(t, options(copied(t, folder)))
	stored := again.Stored()
	if len(stored) != 1 || stored[0].ID != "stays" || len(stored[0].Subscriptions) != 1 || stored[0].Subscriptions[0].Filter != "a" {
		t.Errorf("%+v", stored)
	}
	if st := again.Stats(); st.Queued != 1 || st.Sessions != 1 || st.Subscriptions != 1 || st.Persistent != 1 {
		t.Errorf("%+v", st)
	}
}

// TestIncoming: a publication of QoS 2 is remembered until PUBREL, over a kill.
func TestIncoming(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := open(t, options(folder))
	s, _ := connect(t, r, "p")
	if err := r.Publish(sessions.Message{Topic: "a", QoS: 2, Origin: "p", PacketID: 9}); err != nil {
		t.Fatal(err)
	}
	again := open(t, options(copied(t, folder)))
	kept, _ := again.Lookup("p")
	if ids := kept.Incoming(); len(ids) != 1 || ids[0] != 9 {
		t.Errorf("%v", ids)
	}
	if err := s.Complete(9); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return len(s.Incoming()) == 0 })
}

// TestLimits: what is beyond them is refused, or dropped and counted.
func TestLimits(t *testing.T) {
	t.Parallel()
	o := options("")
	o.MaxQueued, o.MaxSessions, o.MaxRetained = 3, 1, 1
	r := open(t, o)
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "#", 1)
	for i := range 5 {
		publish(t, r, "a", fmt.Sprint(i), 1)
	}
	if _, _, err := r.Connect(sessions.Client{ID: "d", Version: 4, Expiry: 1}); !errors.Is(err, sessions.ErrTooMany) {
		t.Errorf("another session: %v", err)
	}
	if _, _, err := r.Connect(sessions.Client{ID: "c", User: "other", Version: 4, Expiry: 1}); !errors.Is(err, sessions.ErrOtherUser) {
		t.Errorf("another user's client id: %v", err)
	}
	for i := range 3 {
		if err := r.Publish(sessions.Message{Topic: fmt.Sprint("r", i), Payload: []byte("x"), Retain: true}); err != nil {
			t.Fatal(err)
		}
	}
	st := r.Stats()
	if st.Dropped[sessions.DroppedQueueFull] != 2 || st.Dropped[sessions.DroppedRetainedFull] != 2 || st.Retained != 1 || st.Queued != 3 {
		t.Errorf("%+v", st)
	}
	wantPayloads(t, attach(s, 5).wait(t, 3), 0, 3) // the oldest stay
	o.MaxBytes = 100                               // less than any message
	full := open(t, o)
	other, _ := connect(t, full, "c")
	subscribe(t, full, other, "#", 1)
	publish(t, full, "a", "x", 1)
	if full.Stats().Queued != 0 {
		t.Error("more bytes are kept than may be")
	}
}

// TestCompacts: the log stays small, and what is left of it is the whole state.
func TestCompacts(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := open(t, options(folder))
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a", 1)
	absent, _ := connect(t, r, "absent")
	subscribe(t, r, absent, "b", 2)
	for i := range 10 {
		publish(t, r, "b", fmt.Sprint(i), 2)
	}
	if err := r.Publish(sessions.Message{Topic: "keep", Payload: []byte("k"), Retain: true}); err != nil {
		t.Fatal(err)
	}
	c := attach(s, 20)
	payload := string(make([]byte, 500_000))
	for i := range 80 { // 40 MB
		publish(t, r, "a", payload, 1)
		c.wait(t, i+1)
	}
	if size := r.Stats().LogBytes; size > 30<<20 {
		t.Errorf("the log has %d bytes", size)
	}
	again := open(t, options(copied(t, folder)))
	if st := again.Stats(); st.Queued > 12 || st.Retained != 1 || st.Subscriptions != 2 || st.Persistent != 2 {
		t.Errorf("%+v", st)
	}
	absent, _ = connect(t, again, "absent")
	wantPayloads(t, attach(absent, 3).wait(t, 10), 0, 10)
}

// TestOrderWhileReturning: nothing is lost or overtaken when a client comes and goes
// while messages for it are published.
func TestOrderWhileReturning(t *testing.T) {
	t.Parallel()
	r := open(t, options(t.TempDir()))
	s, _ := connect(t, r, "c")
	subscribe(t, r, s, "a", 1)
	const n = 2000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range n {
			publish(t, r, "a", fmt.Sprint(i), 1)
		}
	}()
	next := 0
	take := func(got []packets.Packet) {
		for _, pk := range got {
			var v int
			_, _ = fmt.Sscan(string(pk.Payload), &v)
			if v > next {
				t.Fatalf("%d came where %d was due", v, next)
			}
			if v == next {
				next++
			}
		}
	}
	for next < n {
		s, _ := connect(t, r, "c")
		c := attach(s, 10)
		select {
		case <-c.changed:
		case <-time.After(20 * time.Second):
			t.Fatalf("nothing came after %d", next)
		}
		time.Sleep(2 * time.Millisecond)
		r.Disconnect(s, c, false, 3600)
		take(c.packets())
	}
	<-done
}

func BenchmarkPublish(b *testing.B) {
	for name, folder := range map[string]string{"memory": "", "log": b.TempDir()} {
		for _, publishers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d", name, publishers), func(b *testing.B) {
				o := options(folder)
				o.MaxQueued = 1 << 30
				r := open(b, o)
				s, _ := connect(b, r, "c")
				subscribe(b, r, s, "a", 1)
				c := &conn{s: s, changed: make(chan struct{}, 1)}
				s.Attach(c, 100)
				b.ResetTimer()
				var wg sync.WaitGroup
				for range publishers {
					wg.Go(func() {
						for range b.N / publishers {
							publish(b, r, "a", "0123456789", 1)
						}
					})
				}
				wg.Wait()
				_ = r.Close()
			})
		}
	}
}
