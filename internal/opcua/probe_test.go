package opcua

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/opcua/opcuatest"
)

// TestUndecodable tells the library's faults with a value from those of the network: for
// the latter no node may be put aside.
func TestUndecodable(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{
		{0xC6, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0}, // a dimension of 0
		{0xC6, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0},
		{0x1f}, {0x11, 0x0f}, {0x0c, 5, 0, 0, 0},
	} {
		_, err := new(ua.Variant).Decode(b)
		if !undecodable(err) || !undecodable(fmt.Errorf("read: %w", err)) {
			t.Errorf("%x: %v is not held to be undecodable", b, err)
		}
	}
	for _, err := range []error{
		nil, io.EOF, context.Canceled, context.DeadlineExceeded, ua.StatusBadTimeout, ua.StatusBadServerNotConnected,
		ua.StatusBadNodeIDUnknown, errors.New("opcua: sechan: secure channel not open"), errors.New("write tcp: broken pipe"),
	} {
		if undecodable(err) {
			t.Errorf("%v is held to be undecodable", err)
		}
	}
}

// TestShortLives counts only sessions in a row that ended soon.
func TestShortLives(t *testing.T) {
	t.Parallel()
	a, err := New(plantConfig("opc.tcp://127.0.0.1:4840"), Deps{})
	if err != nil {
		t.Fatal(err)
	}
	l := a.newLane(0)
	lost := errors.New("lost")
	for i, step := range []struct {
		ago  time.Duration
		err  error
		want int
	}{{0, lost, 1}, {time.Second, lost, 2}, {time.Hour, lost, 0}, {0, lost, 1}, {0, nil, 0}} {
		if l.lived(time.Now().Add(-step.ago), step.err, false); l.shortLives != step.want {
			t.Errorf("step %d: %d", i, l.shortLives)
		}
	}
}

// TestPausesOfUndecodableNodes: each look at one takes a session of the server, and the lane
// waits for it, so that pauses grow further than those of other bad nodes.
func TestPausesOfUndecodableNodes(t *testing.T) {
	t.Parallel()
	a, err := newAdapter(plantConfig("opc.tcp://127.0.0.1:1"), Deps{Ingester: opcuatest.NewIngester()}, defaultTiming())
	if err != nil {
		t.Fatal(err)
	}
	s := &session{lane: a.newLane(0)}
	for _, tc := range []struct {
		undecodable string
		least, most time.Duration
	}{{"", 0, 10 * time.Second}, {"an array without end", 2 * time.Minute, 5 * time.Minute}} {
		n := &node{binding: *oneBinding(), undecodable: tc.undecodable}
		n.begin()
		for range 12 {
			s.putAside(n, "bad")
		}
		if pause := time.Until(n.retryAt); pause < tc.least || pause > tc.most {
			t.Errorf("%q: it is tried again after %s", tc.undecodable, pause)
		}
	}
}
