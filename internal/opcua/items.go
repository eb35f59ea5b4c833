package opcua

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/address"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/vqt"
)

const (
	// maxItemsPerCall bounds CreateMonitoredItems; servers have limits of their own.
	maxItemsPerCall = 500
	// maxClockHandle bounds what marks the heartbeat; the nodes of a lane count from there
	// on. It is another for each lane, so that a subscription that is not ours shows.
	maxClockHandle = 1 << 30
)

// node is a binding and its monitored item.
type node struct {
	binding
	// handle is what notifications name it by.
	handle uint32
	// key is what the node is in every session; absent says why there is no such node now;
	// moves, that it is found by looking. None of them changes, nor does the binding.
	key    string
	absent string
	moves  bool
	// missing is since when a pattern leads to it no more; zero if it does.
	missing time.Time
	// Of the present session: the server's id of the item, whether values may
	// be missing before the next notification, as before its first, and what is wrong with it.
	itemID  uint32
	queue   uint32 // how many values the server keeps of it
	taken   bool   // set since the subscription was taken up, until the node's next message
	first   bool
	fault   string
	retryAt time.Time
	wait    *backoff.ExponentialBackOff
	// When it was last notified, and since which audit its value is another; zero if it is not.
	notified  time.Time
	doubtedAt time.Time
	// id is what the address means in this session, variable what is known of it.
	id       *ua.NodeID
	variable *vqt.Variable
	// undecodable is why the node may not be monitored: its value ends the session.
	undecodable string
	// track follows how far its values have come.
	track *track
	// What was last handed to ingest; it outlives sessions.
	known    bool
	last     []mes.Signal
	lastCode mes.StatusCode
}

// begin forgets the item of an earlier session.
func (n *node) begin() {
	n.itemID, n.first, n.fault, n.retryAt, n.wait = 0, true, "", time.Time{}, nil
	n.notifiedNow(time.Now())
	n.id, n.variable = nil, nil
}

// repeats tells whether the first notification of a new item only says what is
// known already: the same value, without a source time that would give it the
// same identity. It notes every other record as the last one.
func (n *node) repeats(r *mes.Record) bool {
	first := n.first
	n.first = false
	if r.Fault != nil {
		return false
	}
	if first && n.known && r.TimeOrigin != mes.TimeSource && slices.Equal(r.Signals, n.last) && r.StatusCode == n.lastCode {
		return true
	}
	n.known, n.last, n.lastCode = true, r.Signals, r.StatusCode
	return false
}

func (s *session) byHandle(handle uint32) *node {
	return s.handles[handle]
}

// monitorClock makes the heartbeat item.
func (s *session) monitorClock(ctx context.Context) error {
	sampling := min(time.Second, s.a.cfg.Watchdog/4)
	results, err := s.createItems(ctx, []*ua.MonitoredItemCreateRequest{createRequest(clockNode(), s.clock, sampling, 1)})
	if err != nil {
		return fmt.Errorf("monitor the server's clock: %w", err)
	}
	s.asks = results[0].StatusCode != ua.StatusOK
	if s.asks {
		s.log.Warn("opcua: the server's clock can't be monitored and will be read instead",
			"status", results[0].StatusCode.Error())
	}
	return nil
}

// monitor makes the items of the nodes. A node that the server refuses is put
// aside for a later try; an error means that the session is of no use.
func (s *session) monitor(ctx context.Context, nodes []*node) error {
	var requests []*ua.MonitoredItemCreateRequest
	var asked []*node
	for _, n := range nodes {
		if n.absent != "" {
			s.putAside(n, n.absent)
			continue
		}
		nodeID, err := address.Resolve(n.nodeID, s.client.Namespaces())
		if err != nil {
			s.putAside(n, err.Error())
			continue
		}
		if n.undecodable != "" && !s.decodableAgain(ctx, n, nodeID) {
			s.putAside(n, n.undecodable)
			continue
		}
		n.id = nodeID
		s.a.cursors.interrupt(n.track, nodeID, mes.Micros(n.notified))
		requests = append(requests, n.request(nodeID))
		asked = append(asked, n)
	}
	if err := s.describe(ctx, asked); err != nil {
		return err
	}
	results, err := s.createItems(ctx, requests)
	if err != nil {
		return fmt.Errorf("monitor the nodes: %w", err)
	}
	s.compareRevised(asked, requests, results)
	for i, n := range asked {
		n.first = true
		if code := results[i].StatusCode; code != ua.StatusOK {
			s.putAside(n, n.refusal(code))
			continue
		}
		// A fault of before stands until a good value comes: some servers
		// accept every item and say in its first notification what is wrong.
		n.itemID, n.queue = results[i].MonitoredItemID, results[i].RevisedQueueSize
	}
	return nil
}

// compareRevised tells if the server samples nodes more slowly than it was asked to, or
// has shorter queues.
func (s *session) compareRevised(nodes []*node, requests []*ua.MonitoredItemCreateRequest, results []*ua.MonitoredItemCreateResult) {
	slower, shorter := 0, 0
	example := -1
	for i, r := range results {
		want := requests[i].RequestedParameters
		if r.StatusCode != ua.StatusOK {
			continue
		}
		slow := r.RevisedSamplingInterval > 2*want.SamplingInterval && r.RevisedSamplingInterval > 2*float64(s.sub.interval.Milliseconds())
		short := r.RevisedQueueSize < want.QueueSize
		if slow {
			slower++
		}
		if short {
			shorter++
		}
		if (slow || short) && example < 0 {
			example = i
		}
	}
	if example < 0 {
		return
	}
	want, is := requests[example].RequestedParameters, results[example]
	s.log.Warn("opcua: the server samples nodes more slowly, or has shorter queues, than it was asked to",
		"slower", slower, "shorter", shorter, "node_id", nodes[example].nodeID,
		"sampling_ms", want.SamplingInterval, "revised_sampling_ms", is.RevisedSamplingInterval,
		"queue_size", want.QueueSize, "revised_queue_size", is.RevisedQueueSize)
}

func createRequest(nodeID *ua.NodeID, handle uint32, sampling time.Duration, queue uint32) *ua.MonitoredItemCreateRequest {
	return &ua.MonitoredItemCreateRequest{
		ItemToMonitor: &ua.ReadValueID{
			NodeID:       nodeID,
			AttributeID:  ua.AttributeIDValue,
			DataEncoding: &ua.QualifiedName{},
		},
		MonitoringMode: ua.MonitoringModeReporting,
		RequestedParameters: &ua.MonitoringParameters{
			ClientHandle:     handle,
			SamplingInterval: float64(sampling) / float64(time.Millisecond),
			QueueSize:        queue,
			DiscardOldest:    true,
		},
	}
}

// createItems calls the server with at most maxItemsPerCall items, or with fewer where
// its limits want that, or where it says that these are too many. There is a result for
// each.
func (s *session) createItems(ctx context.Context, requests []*ua.MonitoredItemCreateRequest) ([]*ua.MonitoredItemCreateResult, error) {
	size := min(maxItemsPerCall, s.limits.MonitoredItemsPerCall)
	var all []*ua.MonitoredItemCreateResult
	for len(requests) > 0 {
		part := requests[:min(size, len(requests))]
		results, err := s.createPart(ctx, part)
		if errors.Is(err, ua.StatusBadTooManyOperations) && len(part) > 1 {
			size = len(part) / 2
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, results...)
		requests = requests[len(part):]
	}
	return all, nil
}

func (s *session) createPart(ctx context.Context, part []*ua.MonitoredItemCreateRequest) ([]*ua.MonitoredItemCreateResult, error) {
	req := &ua.CreateMonitoredItemsRequest{
		SubscriptionID:     s.sub.id,
		TimestampsToReturn: ua.TimestampsToReturnBoth,
		ItemsToCreate:      part,
	}
	var res *ua.CreateMonitoredItemsResponse
	err := s.client.Send(ctx, req, func(r ua.Response) error {
		var ok bool
		if res, ok = r.(*ua.CreateMonitoredItemsResponse); !ok {
			return fmt.Errorf("the server answered with a %T", r)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(res.Results) != len(part) {
		return nil, fmt.Errorf("the server gave %d results for %d items", len(res.Results), len(part))
	}
	for _, r := range res.Results {
		if r == nil {
			return nil, errors.New("the server left a result out")
		}
	}
	return res.Results, nil
}

// judge notes from a notification whether the node exists. A server may accept
// an item of an unknown node, or lose the node later.
func (s *session) judge(n *node, dv *ua.DataValue) {
	code := ua.StatusOK
	if dv != nil && dv.Has(ua.DataValueStatusCode) {
		code = dv.Status
	}
	switch code {
	case ua.StatusBadNodeIDUnknown, ua.StatusBadNodeIDInvalid, ua.StatusBadAttributeIDInvalid:
		if n.fault == "" {
			s.putAside(n, link.StatusText(code))
			s.showState()
		}
	default:
		n.wait = nil
		if n.fault != "" {
			n.fault, n.retryAt = "", time.Time{}
			s.showState()
		}
	}
}

// putAside marks the node bad until its next try.
func (s *session) putAside(n *node, fault string) {
	if n.wait == nil {
		longest := s.a.timing.nodeMax
		if n.undecodable != "" {
			longest = s.a.timing.undecodable
		}
		n.wait = growing(s.a.timing.nodeFirst, longest, 2)
		s.log.Warn("opcua: node is bad, will be retried", "node_id", n.nodeID, "fault", fault)
	}
	n.fault = fault
	n.retryAt = time.Now().Add(max(n.wait.NextBackOff(), 0))
}

// untilRetry returns the time until the next bad node is due.
func (s *session) untilRetry() time.Duration {
	next := time.Hour
	for _, n := range s.nodes {
		if n.fault != "" {
			next = min(next, max(time.Until(n.retryAt), 0))
		}
	}
	return s.untilEvents(next)
}

// retryBad tries the bad nodes that are due. Items that the server accepted
// before are deleted first, since it need not notice that the node is back.
func (s *session) retryBad(ctx context.Context) error {
	if err := s.retryEvents(ctx); err != nil {
		return err
	}
	var due []*node
	var items []uint32
	now := time.Now()
	for _, n := range s.nodes {
		if n.fault == "" || n.retryAt.After(now) {
			continue
		}
		due = append(due, n)
		if n.moves {
			s.a.want()
		}
		if n.itemID != 0 {
			items = append(items, n.itemID)
			n.itemID = 0
		}
		n.retryAt = now.Add(max(n.wait.NextBackOff(), 0))
	}
	if len(due) == 0 {
		return nil
	}
	if len(items) > 0 {
		if err := s.unmonitor(ctx, items); err != nil {
			return fmt.Errorf("delete the items of bad nodes: %w", err)
		}
	}
	if err := s.client.UpdateNamespaces(ctx); err != nil {
		return fmt.Errorf("read the server's namespaces: %w", err)
	}
	if err := s.monitor(ctx, due); err != nil {
		return err
	}
	s.showState()
	return nil
}

// showState publishes running, or degraded with the names of the bad nodes.
func (s *session) showState() {
	if !s.proven {
		return
	}
	at := standing{state: mes.AdapterRunning, nodes: len(s.nodes)}
	for _, n := range s.nodes {
		if n.fault != "" {
			at.state = mes.AdapterDegraded
			if at.bad++; at.bad <= namesShown {
				at.named = append(at.named, n.nodeID+" ("+n.fault+")")
			}
		}
	}
	if bad := s.badEvents(); len(bad) > 0 {
		at.state, at.nodes, at.bad = mes.AdapterDegraded, at.nodes+len(bad), at.bad+len(bad)
		at.named = append(at.named, bad...)
	}
	s.a.status.stand(s.number, at)
}
