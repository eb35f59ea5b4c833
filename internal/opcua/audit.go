package opcua

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/opcua/address"
)

// auditMost bounds the nodes that one audit reads.
const auditMost = 1000

// audit reads nodes that have brought nothing for long, and compares: a server may lose a
// monitored item, or the node behind it, without a word, and a value that does not change
// looks the same. A node whose value was another at two audits, with time to tell and without a notification in
// between, gets a new item, whose first notification is the present value.
func (s *session) audit(ctx context.Context) error {
	quiet := s.quiet()
	if len(quiet) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.a.timing.link.Request)
	defer cancel()
	for len(quiet) > 0 {
		part := quiet[:min(maxItemsPerCall, s.limits.NodesPerRead, len(quiet))]
		values, err := s.present(ctx, part)
		if err != nil {
			// That the server is there is for the watchdog to find out.
			s.log.Debug("opcua: quiet nodes can't be read", "nodes", len(part), "error", err)
			return nil
		}
		for i, n := range part {
			s.compare(n, values[i])
		}
		quiet = quiet[len(part):]
	}
	return s.retryBad(ctx)
}

// quiet are nodes without a notification since the last audit, in turns. One with a filter
// may have another value that the server need not tell.
func (s *session) quiet() []*node {
	now := time.Now()
	var list []*node
	for range s.nodes {
		n := s.nodes[s.audited%len(s.nodes)]
		s.audited++
		if n.itemID != 0 && n.fault == "" && n.ask.filter == nil && now.Sub(n.notified) > s.patience(n) {
			if list = append(list, n); len(list) == auditMost {
				break
			}
		}
	}
	return list
}

// patience is how long a node that is sampled may bring nothing although its value is
// another: between two audits it must have had the time to tell.
func (s *session) patience(n *node) time.Duration {
	return max(s.a.timing.audit, 2*(n.ask.sampling+s.a.cfg.PublishingInterval))
}

// present reads the values of nodes.
func (s *session) present(ctx context.Context, nodes []*node) ([]*ua.DataValue, error) {
	req := &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnSource}
	for _, n := range nodes {
		nodeID, err := address.Resolve(n.nodeID, s.client.Namespaces())
		if err != nil {
			return nil, err
		}
		req.NodesToRead = append(req.NodesToRead, &ua.ReadValueID{NodeID: nodeID, AttributeID: ua.AttributeIDValue, DataEncoding: &ua.QualifiedName{}})
	}
	// Not by Read, which gives a structure that is null a bad status of its own making.
	var values []*ua.DataValue
	err := s.client.Send(ctx, req, func(r ua.Response) error {
		res, ok := r.(*ua.ReadResponse)
		if !ok || len(res.Results) != len(nodes) {
			return fmt.Errorf("the server's answer to a read of %d nodes does not fit: a %T", len(nodes), r)
		}
		values = res.Results
		return nil
	})
	return values, err
}

// compare holds the present value of a quiet node against the last that it brought.
func (s *session) compare(n *node, dv *ua.DataValue) {
	s.judge(n, dv)
	if n.fault != "" || !n.known {
		return
	}
	r := n.record(dv, n.variable, time.Now())
	if r.Fault != nil || slices.Equal(r.Signals, n.last) && r.StatusCode == n.lastCode {
		n.doubtedAt = time.Time{}
		return
	}
	if now := time.Now(); n.doubtedAt.IsZero() {
		n.doubtedAt = now
		return
	} else if now.Sub(n.doubtedAt) < s.patience(n)-s.a.timing.audit {
		return
	}
	s.log.Warn("opcua: a node has changed without a notification, and is monitored anew", "node_id", n.nodeID)
	n.doubtedAt = time.Time{}
	s.putAside(n, "its changes are not notified")
	n.retryAt = time.Now()
}

// notifiedNow notes that a node has brought a value.
func (n *node) notifiedNow(now time.Time) { n.notified, n.doubtedAt = now, time.Time{} }
