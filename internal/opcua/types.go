package opcua

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/vqt"
)

// maxTypeFailures is after how many sessions in a row that ended while types were read
// the next one goes on without: values are worth more than their texts and members.
const maxTypeFailures = 2

// describe reads what the server says of the data types of nodes, before their first
// values come: the same value must make the same record in every session. A server that
// refuses to tell is taken as it is; a session that fails at it is of no use.
func (s *session) describe(ctx context.Context, nodes []*node) error {
	var ids []*ua.NodeID
	for _, n := range nodes {
		ids = append(ids, n.id)
	}
	if s.typeFailures >= maxTypeFailures {
		s.untyped = true
		s.log.Warn("opcua: sessions ended while the server's data types were read, goes on without them")
	}
	if len(ids) > 0 && !s.untyped {
		if err := s.types.Load(ctx, s.within(), ids); err != nil {
			if failed(err) {
				s.typeFailures++
				return err
			}
			s.log.Warn("opcua: the server does not tell its data types", "error", err)
		}
	}
	s.typeFailures = 0
	for _, n := range nodes {
		n.variable = s.types.Variable(n.id)
	}
	return nil
}

// failed tells whether an error is more than a server's refusal.
func failed(err error) bool {
	var code ua.StatusCode
	if err == nil {
		return false
	}
	if !errors.As(err, &code) {
		return true
	}
	switch code {
	case ua.StatusBadTimeout, ua.StatusBadServerNotConnected, ua.StatusBadSessionIDInvalid, ua.StatusBadSessionClosed,
		ua.StatusBadSecureChannelClosed, ua.StatusBadSecureChannelIDInvalid, ua.StatusBadConnectionClosed:
		return true
	}
	return false
}

// record makes the record of a value. A structure of a type that was not known is asked
// for once in a session; where the library had dropped its bytes, the value is read
// again, and taken if it still is the one that came.
func (s *session) record(n *node, dv *ua.DataValue, now time.Time) mes.Record {
	r := n.record(dv, n.variable, now)
	unknown := unknownType(&r)
	if unknown == nil || n.id == nil {
		return r
	}
	ctx, cancel := context.WithTimeout(s.drainCtx, s.a.timing.link.Request)
	defer cancel()
	if !s.learn(ctx, n.nodeID, unknown) {
		return r
	}
	if unknown.Lost {
		var err error
		if dv, err = s.again(ctx, n, dv); err != nil {
			s.log.Warn("opcua: the bytes of a value are lost, since its type was not known", "node_id", n.nodeID, "error", err)
			return r
		}
	}
	return n.record(dv, n.variable, now)
}

func unknownType(r *mes.Record) *vqt.UnknownTypeError {
	var unknown *vqt.UnknownTypeError
	if r.Fault != nil && errors.As(r.Fault, &unknown) {
		return unknown
	}
	return nil
}

// learn asks for a type, once, and tells whether it is known now.
func (s *session) learn(ctx context.Context, nodeID string, unknown *vqt.UnknownTypeError) bool {
	news, err := s.types.Learn(ctx, s.within(), unknown.Encoding)
	if err != nil {
		s.log.Warn("opcua: the type of a value can't be read", "node_id", nodeID, "error", err)
	}
	return news
}

// again reads a value anew. It fails if the value is another one by now; that one comes
// by the subscription.
func (s *session) again(ctx context.Context, n *node, lost *ua.DataValue) (*ua.DataValue, error) {
	list, err := vqt.ReadValues(ctx, s.within(), n.id)
	if err != nil {
		return nil, err
	}
	dv := list[0]
	if dv == nil || !dv.SourceTimestamp.Equal(lost.SourceTimestamp) || dv.Status&^0xFFFF != lost.Status&^0xFFFF {
		return nil, fmt.Errorf("another value is there now")
	}
	// The times and the bits of the queue are those that came.
	same := *lost
	same.Value = dv.Value
	return &same, nil
}
