package sim

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func started(t *testing.T) *Server {
	t.Helper()
	s, err := Start(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func connected(t *testing.T, s *Server) *opcua.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := opcua.NewClient(s.URL(), opcua.AutoReconnect(false), opcua.SecurityMode(ua.MessageSecurityModeNone))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func write(t *testing.T, c *opcua.Client, node string, v any) ua.StatusCode {
	t.Helper()
	nodeID, err := ua.ParseNodeID(node)
	if err != nil {
		t.Fatal(err)
	}
	dv := &ua.DataValue{Value: ua.MustVariant(v)}
	dv.UpdateMask()
	res, err := c.Write(context.Background(), &ua.WriteRequest{NodesToWrite: []*ua.WriteValue{
		{NodeID: nodeID, AttributeID: ua.AttributeIDValue, Value: dv},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return res.Results[0]
}

func TestOnlyTheStoredVariableIsWritable(t *testing.T) {
	t.Parallel()
	c := connected(t, started(t))
	for _, tc := range []struct {
		node string
		v    any
		want ua.StatusCode
	}{
		{StoredVariable, int32(41), ua.StatusOK},
		{StoredVariable, "41", ua.StatusBadTypeMismatch},
		{StoredVariable, int64(1) << 40, ua.StatusBadOutOfRange},
		{SynchronousVariable, int32(1), ua.StatusBadNotWritable},
		{"ns=1;s=Nothing", int32(1), ua.StatusBadNodeIDUnknown},
	} {
		if got := write(t, c, tc.node, tc.v); got != tc.want {
			t.Errorf("write %v to %s: %v, want %v", tc.v, tc.node, got, tc.want)
		}
	}
	nodeID, _ := ua.ParseNodeID(StoredVariable)
	if v, err := c.Node(nodeID).Value(context.Background()); err != nil || v.Value() != int32(41) {
		t.Errorf("the stored variable reads %v (%v), want 41", v.Value(), err)
	}
}

func TestSilentConnectionDoesNotKeepOthersOut(t *testing.T) {
	t.Parallel()
	s := started(t)
	silent, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	connected(t, s)
}

func TestVariablesOfThePlant(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	p := newPlant(func() time.Time { return now })
	read := func(name string) *ua.DataValue { return p.value(p.byID["Objects/MyFolder/"+name]) }
	if dv := read("MyAsynchronousVariable"); dv.Has(ua.DataValueValue) {
		t.Errorf("the asynchronous variable has the value %v at first", dv.Value.Value())
	}
	start := now
	now = now.Add(time.Second)
	if changed := p.step(); len(changed) == 0 {
		t.Error("nothing changes in a second")
	}
	if dv := read("MySynchronousVariable"); dv.Value.Value() != int32(1) || !dv.SourceTimestamp.Equal(now) {
		t.Errorf("the synchronous variable is %v of %v", dv.Value.Value(), dv.SourceTimestamp)
	}
	if dv := read("MyStoredVariable"); !dv.SourceTimestamp.Equal(start) {
		t.Errorf("an unchanged value has the source time %v, want %v", dv.SourceTimestamp, start)
	}
	now = now.Add(nullFor)
	p.step()
	if dv := read("MyAsynchronousVariable"); dv.Has(ua.DataValueValue) {
		t.Error("the asynchronous variable has a value though nobody has subscribed")
	}
	p.watch()
	now = now.Add(nullFor)
	p.step()
	if dv := read("MyAsynchronousVariable"); !dv.Has(ua.DataValueValue) {
		t.Error("the asynchronous variable has no value after its time")
	}
}
