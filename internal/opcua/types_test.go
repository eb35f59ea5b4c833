package opcua

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/gopcua/opcua/ua"
)

// TestFailed: a server that refuses to tell its types is taken as it is; what ended the
// session is not.
func TestFailed(t *testing.T) {
	t.Parallel()
	for _, err := range []error{ua.StatusBadUserAccessDenied, ua.StatusBadServiceUnsupported, ua.StatusBadViewIDUnknown} {
		if failed(err) {
			t.Errorf("%v is more than a refusal", err)
		}
	}
	for _, err := range []error{ua.StatusBadTimeout, ua.StatusBadServerNotConnected, io.EOF, context.DeadlineExceeded, errors.New("opcua: invalid type id: 26")} {
		if !failed(err) {
			t.Errorf("%v is a refusal", err)
		}
	}
}

// TestTypesAreGivenUp after sessions in a row that ended while they were read, for one
// session, so that values flow.
func TestTypesAreGivenUp(t *testing.T) {
	t.Parallel()
	a, err := New(plantConfig("opc.tcp://127.0.0.1:4840"), Deps{})
	if err != nil {
		t.Fatal(err)
	}
	l := a.newLane(0)
	l.typeFailures = maxTypeFailures
	s := &session{lane: l} // without a client: asking would panic
	n := &node{binding: *oneBinding(), id: ua.NewStringNodeID(1, "x")}
	for range 2 {
		if err := s.describe(t.Context(), []*node{n}); err != nil || !s.untyped {
			t.Fatalf("untyped %v, %v", s.untyped, err)
		}
	}
	if l.typeFailures != 0 {
		t.Error("the next session does not try again")
	}
}
