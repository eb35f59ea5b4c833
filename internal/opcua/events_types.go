package opcua

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/opcua/address"
	"plantgate/internal/opcua/alarm"
)

// maxEventKinds bounds what is remembered of event types; maxSupertypes is how deep they
// nest.
const (
	maxEventKinds = 1000
	maxSupertypes = 20
)

// eventKind is what is known of an event type in a session.
type eventKind struct {
	// name is its browse name; "" if the server does not tell it.
	name string
	// supers are its node id and those of its supertypes.
	supers []string
}

func (k *eventKind) is(nodeID string) bool { return slices.Contains(k.supers, nodeID) }

// typeOf is what is known of an event's type; it is asked of the server the first time. A
// server that does not answer then has its event stored without the name.
func (s *session) typeOf(t *ua.NodeID) *eventKind {
	if t == nil {
		return &eventKind{}
	}
	key := t.String()
	if k := s.kinds[key]; k != nil {
		return k
	}
	k := &eventKind{supers: []string{key}}
	ctx, cancel := context.WithTimeout(s.drainCtx, s.a.timing.link.Request)
	defer cancel()
	if err := s.askKind(ctx, t, k); err != nil {
		s.log.Debug("opcua: an event type can't be read", "type", key, "error", err)
		return k // that is for the next event to ask again
	}
	if len(s.kinds) < maxEventKinds {
		s.kinds[key] = k
	}
	return k
}

func (s *session) askKind(ctx context.Context, t *ua.NodeID, k *eventKind) error {
	if t.Namespace() == 0 {
		k.name = id.Name(t.IntID()) // also where nobody answers any more
	}
	known := s.a.typeNames[address.Text(t, s.client.Namespaces())]
	if k.name == "" {
		k.name = known
	}
	if k.name == "" {
		res, err := s.client.Read(ctx, &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnNeither, NodesToRead: []*ua.ReadValueID{
			{NodeID: t, AttributeID: ua.AttributeIDBrowseName, DataEncoding: &ua.QualifiedName{}},
		}})
		if err != nil {
			return err
		}
		if len(res.Results) == 1 {
			if dv := res.Results[0]; dv != nil && dv.Value != nil {
				if name, ok := dv.Value.Value().(*ua.QualifiedName); ok && name != nil {
					k.name = name.Name
				}
			}
		}
		if len(s.a.typeNames) < maxEventKinds {
			s.a.typeNames[address.Text(t, s.client.Namespaces())] = k.name
		}
	}
	if !s.wantsSupertypes() {
		return nil
	}
	for at := t; len(k.supers) < maxSupertypes; {
		found, err := s.typesNextTo(ctx, []*ua.NodeID{at}, ua.BrowseDirectionInverse)
		if err != nil || len(found) == 0 {
			return err
		}
		at = found[0]
		k.supers = append(k.supers, at.String())
	}
	return nil
}

// wantsSupertypes tells whether plantgate chooses events by type itself.
func (s *session) wantsSupertypes() bool {
	return slices.ContainsFunc(s.a.notifiers, func(n *notifier) bool { return n.form >= everything && len(n.types) > 0 })
}

// subtypes lists the types and all their subtypes, or only the types if there are more than
// may be asked for, or the server does not tell them.
func (s *session) subtypes(ctx context.Context, types []*ua.NodeID) ([]*ua.NodeID, error) {
	all := slices.Clone(types)
	seen := map[string]bool{}
	for _, t := range types {
		seen[t.String()] = true
	}
	for next := types; len(next) > 0; {
		found, err := s.typesNextTo(ctx, next, ua.BrowseDirectionForward)
		var code ua.StatusCode
		switch {
		case errors.As(err, &code) && !alarm.IsSilence(code):
			return types, nil
		case err != nil:
			return nil, err
		}
		next = nil
		for _, t := range found {
			if !seen[t.String()] {
				seen[t.String()] = true
				next, all = append(next, t), append(all, t)
			}
		}
		if len(all) > maxAsked {
			return types, nil
		}
	}
	return all, nil
}

// typesNextTo follows HasSubtype from types. What a server does not tell is left out.
func (s *session) typesNextTo(ctx context.Context, types []*ua.NodeID, direction ua.BrowseDirection) ([]*ua.NodeID, error) {
	var all []*ua.NodeID
	for part := range slices.Chunk(types, max(min(maxItemsPerCall, s.limits.NodesPerBrowse), 1)) {
		req := &ua.BrowseRequest{View: &ua.ViewDescription{ViewID: ua.NewTwoByteNodeID(0)}}
		for _, t := range part {
			req.NodesToBrowse = append(req.NodesToBrowse, &ua.BrowseDescription{
				NodeID: t, BrowseDirection: direction, ReferenceTypeID: ua.NewNumericNodeID(0, id.HasSubtype),
				IncludeSubtypes: true, ResultMask: uint32(ua.BrowseResultMaskNone),
			})
		}
		res, err := s.client.Browse(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("browse event types: %w", err)
		}
		for _, r := range res.Results {
			if r == nil || r.StatusCode != ua.StatusOK {
				continue
			}
			for _, ref := range r.References {
				if ref != nil && ref.NodeID != nil && ref.NodeID.NodeID != nil && ref.NodeID.ServerIndex == 0 {
					all = append(all, ref.NodeID.NodeID)
				}
			}
		}
	}
	return all, nil
}
