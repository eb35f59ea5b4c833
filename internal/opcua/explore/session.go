package explore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/address"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/trust"
)

// maxPerCall bounds the operations of one service call where the server tells no limit.
const maxPerCall = 500

// Session is a session with a server for looking around. Its methods may be called at the
// same time.
type Session struct {
	client *opcua.Client
	limits link.Limits
	timing link.Timing
	lost   atomic.Bool
	users  int // of shared, which guards it
	most   int // nodes right below one

	mu       sync.Mutex
	types    map[string]dataType
	listings map[string]*listing
}

// Open connects as the configuration says: of it endpoint, security, user and trust count.
// The error says what to do.
func Open(ctx context.Context, cfg config.OPCUAConnection, deps link.Deps) (*Session, error) {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	s := &Session{timing: link.DefaultTiming(), most: maxChildren, types: map[string]dataType{}, listings: map[string]*listing{}}
	var err error
	if s.client, err = link.Open(ctx, cfg, deps, s.timing, opcua.StateChangedFunc(s.stateChanged)); err != nil {
		return nil, reachable(ctx, cfg, err)
	}
	if s.limits, err = link.ReadLimits(ctx, s.client); err != nil {
		var code ua.StatusCode
		if !errors.As(err, &code) || code == ua.StatusBadTimeout {
			s.Close()
			return nil, reachable(ctx, cfg, fmt.Errorf("read the server's limits: %w", err))
		}
		s.limits = link.NoLimits() // it does not tell them
	}
	return s, nil
}

func (s *Session) stateChanged(state opcua.ConnState) {
	if state == opcua.Disconnected || state == opcua.Closed {
		s.lost.Store(true)
	}
}

// Close ends the session, within two seconds: a dead server can hold the library up for
// longer, which then goes on in the background.
func (s *Session) Close() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		link.Close(context.Background(), s.client, s.timing)
	}()
	t := time.NewTimer(s.timing.Close)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}

// reachable turns a failure to connect into words that say what to do. What a person may
// not see, such as the path of a file, stays in the cause.
func reachable(ctx context.Context, cfg config.OPCUAConnection, err error) error {
	var refusal *trust.Refusal
	var dns *net.DNSError
	var path *fs.PathError
	var op *net.OpError
	fault := func(format string, args ...any) error {
		e := mes.Wrap(mes.CodeUnavailable, err, fmt.Sprintf(format, args...))
		e.RetryAfter = 5 * time.Second
		return e
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.As(err, &refusal):
		return fault("the connection to %s is refused: %s", cfg.Endpoint, refusal.Error())
	case errors.As(err, &dns):
		return fault("the name of %s can't be resolved: check the endpoint and the name server", cfg.Endpoint)
	case errors.As(err, &path):
		return fault("a file of the connection to %s can't be read", cfg.Endpoint)
	case errors.As(err, &op) && op.Op == "dial":
		return fault("%s does not answer: is the server running, the port right, and the firewall open?", cfg.Endpoint)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ua.StatusBadTimeout):
		return fault("%s did not answer in time: is it an OPC UA server, and not overloaded?", cfg.Endpoint)
	case errors.Is(err, io.EOF):
		return fault("%s ended the connection: is it an OPC UA server, and does it take this security?", cfg.Endpoint)
	case errors.Is(err, ua.StatusBadTooManySessions):
		return fault("%s has no session left: close other clients", cfg.Endpoint)
	}
	return fault("no session with %s: %s", cfg.Endpoint, err)
}

// errLost is in the chain of an error of a service call that no answer came for.
var errLost = errors.New("the connection was lost")

// broken tells whether an error of a service call means that the session is of no use any
// more.
func broken(err error) bool {
	if errors.Is(err, errLost) {
		return true
	}
	var code ua.StatusCode
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case ua.StatusBadSessionIDInvalid, ua.StatusBadSessionClosed, ua.StatusBadSessionNotActivated,
		ua.StatusBadSecureChannelClosed, ua.StatusBadSecureChannelIDInvalid, ua.StatusBadTCPSecureChannelUnknown,
		ua.StatusBadConnectionClosed, ua.StatusBadServerNotConnected, ua.StatusBadTimeout, ua.StatusBadRequestTimeout,
		ua.StatusBadCommunicationError, ua.StatusBadShutdown, ua.StatusBadServerHalted:
		return true
	}
	return false
}

// served turns the failure of a service call into words for a person.
func served(err error, doing string) error {
	var known *mes.Error
	var code ua.StatusCode
	switch {
	case err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ua.StatusBadTimeout):
		return mes.Wrap(mes.CodeUnavailable, err, doing+": the server did not answer in time")
	case errors.As(err, &code) && !broken(err):
		return mes.Wrap(mes.CodeUnavailable, err, fmt.Sprintf("%s: the server answers %s", doing, meaning(code)))
	}
	return mes.Wrap(mes.CodeUnavailable, fmt.Errorf("%w: %w", errLost, err), doing+": the connection to the server was lost")
}

// Node resolves a node id as the configuration takes it, by nsu= or ns=.
func (s *Session) Node(text string) (*ua.NodeID, error) {
	if err := config.CheckNodeID(text); err != nil {
		return nil, mes.Errorf(mes.CodeInvalid, "the node id %s", err)
	}
	n, err := address.Resolve(text, s.client.Namespaces())
	if err != nil {
		return nil, mes.Errorf(mes.CodeNotFound, "%s", err.Error())
	}
	return n, nil
}

// Name is the text form of a node id that is good for the configuration.
func (s *Session) Name(n *ua.NodeID) string { return nodeName(n, s.client.Namespaces()) }

// perCall is how many operations go into one call.
func perCall(limit int) int { return max(min(limit, maxPerCall), 1) }

// read reads attributes, in calls of what the server takes. There is a value for each.
func (s *Session) read(ctx context.Context, nodes []*ua.ReadValueID) ([]*ua.DataValue, error) {
	values := make([]*ua.DataValue, 0, len(nodes))
	size := perCall(s.limits.NodesPerRead)
	for len(nodes) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := nodes[:min(size, len(nodes))]
		res, err := s.client.Read(ctx, &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnBoth, NodesToRead: part})
		switch {
		case errors.Is(err, ua.StatusBadTooManyOperations) || errors.Is(err, ua.StatusBadEncodingLimitsExceeded) ||
			errors.Is(err, ua.StatusBadRequestTooLarge) || errors.Is(err, ua.StatusBadResponseTooLarge):
			if size == 1 || len(part) == 1 {
				return nil, err
			}
			size = max(len(part)/2, 1)
			continue
		case err != nil:
			return nil, err
		case len(res.Results) != len(part):
			return nil, fmt.Errorf("the server gave %d values for %d nodes", len(res.Results), len(part))
		}
		values = append(values, res.Results...)
		nodes = nodes[len(part):]
	}
	return values, nil
}

func readOf(n *ua.NodeID, a ua.AttributeID) *ua.ReadValueID {
	return &ua.ReadValueID{NodeID: n, AttributeID: a, DataEncoding: &ua.QualifiedName{}}
}

// content is a value that was read, nil where there is none.
func content(dv *ua.DataValue) any {
	if dv == nil || dv.Value == nil || isBad(dv.Status) {
		return nil
	}
	return dv.Value.Value()
}
