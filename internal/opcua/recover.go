package opcua

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/address"
	"plantgate/internal/opcua/history"
)

// accessHistoryRead is the bit of UserAccessLevel that allows to read history (OPC 10000-3,
// 8.57).
const accessHistoryRead = 0x04

// missed is a node and what it may have missed.
type missed struct {
	*node
	gap
	nodeID *ua.NodeID
}

// recover fills in what was missed, while live values go on coming, until ctx ends. What
// it has not finished then is taken up by the next session.
func (s *session) recover(ctx context.Context) {
	wait := growing(s.a.timing.recover, 30*s.a.timing.recover, 2)
	pause := s.a.timing.recover
	for sleep(ctx, pause) == nil {
		pause = s.a.timing.recover
		list := s.missed()
		if len(list) == 0 {
			continue
		}
		err := s.fill(ctx, list)
		if err == nil {
			wait.Reset()
			continue
		}
		pause = max(wait.NextBackOff(), 0)
		if ctx.Err() == nil {
			s.log.Warn("opcua: history can't be read now, will be retried", "nodes", len(list), "pause", pause, "error", err)
		}
	}
}

// missed are the nodes of the session that may have missed something, but for what is on
// its way already.
func (s *session) missed() []missed {
	var list []missed
	for _, n := range s.nodes {
		g := s.a.cursors.missing(n.cursorKey())
		if g.isZero() || s.filling[n] == g {
			continue
		}
		nodeID, err := address.Resolve(n.nodeID, s.client.Namespaces())
		if err != nil {
			continue // the node is bad, and tried again
		}
		list = append(list, missed{n, g, nodeID})
	}
	return list
}

// fill brings what the server has kept of the time that was missed, and says of the rest
// that it is lost. Both are settled once they are stored.
func (s *session) fill(ctx context.Context, list []missed) error {
	var losses losses
	offers, err := s.offers(ctx, list)
	if err != nil {
		return err
	}
	var asked []missed
	var spans []history.Span
	for i, m := range list {
		if offers[i] != "" {
			losses.add(m, m.from, m.to, offers[i])
			continue
		}
		from := m.from
		if oldest := m.to.Add(-s.a.cfg.History.Lookback()); from.Before(oldest) {
			losses.add(m, from, oldest, "longer ago than history.max_age")
			from = oldest
		}
		asked = append(asked, m)
		spans = append(spans, history.Span{NodeID: m.nodeID, From: from, To: m.to})
	}
	results, err := history.Reader{Client: s.client, Limits: s.limits}.Read(ctx, spans, func(i int, v *ua.DataValue) error {
		return s.old(ctx, asked[i], v)
	})
	if err != nil {
		return err
	}
	for i, r := range results {
		m, span := asked[i], spans[i]
		switch {
		case r.Err != nil:
			losses.add(m, span.From, span.To, "the server gives no history: "+r.Err.Error())
		case r.First.IsZero():
			losses.add(m, span.From, span.To, "the server has kept nothing of it")
		case mes.Micros(r.First).After(span.From) && span.From.Equal(m.from):
			// The last value that is known would be there.
			losses.add(m, span.From, mes.Micros(r.First), "the server's history begins later")
		}
	}
	return s.settle(ctx, list, losses.records(s.a.cfg.Name, s.a.deps.Now()))
}

// old hands a value of history on.
func (s *session) old(ctx context.Context, m missed, v *ua.DataValue) error {
	r := m.record(v, s.types.Variable(m.nodeID), mes.Micros(s.a.deps.Now()))
	if r.TimeOrigin != mes.TimeSource {
		return nil // it has no place in history
	}
	s.a.status.backfilled(1)
	return s.hand(ctx, item{record: r})
}

// settle hands the records of losses on, and with the last of everything the word that
// nothing is missing any more.
func (s *session) settle(ctx context.Context, list []missed, records []mes.Record) error {
	for _, r := range records {
		if err := s.hand(ctx, item{record: r}); err != nil {
			return err
		}
	}
	s.a.status.lost(len(records))
	err := s.hand(ctx, item{stored: func() {
		for _, m := range list {
			s.a.cursors.settled(m.cursorKey(), m.gap)
		}
	}})
	if err != nil {
		return err
	}
	for _, m := range list {
		s.filling[m.node] = m.gap
	}
	s.log.Info("opcua: what was missed is filled in or noted as lost", "nodes", len(list), "gap_records", len(records))
	return nil
}

// hand waits for room in the queue.
func (s *session) hand(ctx context.Context, i item) error {
	select {
	case s.a.queue.items <- i:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// offers tells of each node why its history can't be read; "" if it can.
func (s *session) offers(ctx context.Context, list []missed) ([]string, error) {
	reasons := make([]string, len(list))
	if s.a.cfg.History.IsOff() {
		for i := range reasons {
			reasons[i] = "history is off in the configuration"
		}
		return reasons, nil
	}
	var all []*ua.DataValue
	for part := range slices.Chunk(list, min(maxItemsPerCall, s.limits.NodesPerRead)) {
		req := &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnNeither}
		for _, m := range part {
			req.NodesToRead = append(req.NodesToRead, &ua.ReadValueID{NodeID: m.nodeID, AttributeID: ua.AttributeIDUserAccessLevel, DataEncoding: &ua.QualifiedName{}})
		}
		res, err := s.client.Read(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("read access levels: %w", err)
		}
		if len(res.Results) != len(part) {
			return nil, errors.New("read access levels: the server gave another number of values than it was asked for")
		}
		all = append(all, res.Results...)
	}
	for i, v := range all {
		if level, ok := contentOf(v).(byte); !ok || level&accessHistoryRead == 0 {
			reasons[i] = "the server offers no history of it"
		}
		if list[i].untimed {
			reasons[i] = "its values have no time of the source"
		}
	}
	return reasons, nil
}

// recovering runs recover beside what fn does.
func (s *session) recovering(ctx context.Context, fn func() error) error {
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.recover(ctx)
	}()
	err := fn()
	stop()
	<-done
	return err
}

// contentOf is what a value holds; nil for nothing.
func contentOf(dv *ua.DataValue) any {
	if dv == nil || dv.Value == nil {
		return nil
	}
	return dv.Value.Value()
}
