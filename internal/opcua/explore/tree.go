package explore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

// Found is a node of a tree.
type Found struct {
	mes.UANode
	// Depth is 0 right below the start; Parents are the browse names from there.
	Depth   int
	Parents []string
	// Value is of variables that can be read, where values were asked for.
	Value *mes.UAValue
	// Fault says why what stands below it is not listed; "" where it is.
	Fault string
}

// Tree lists what stands below a node, each node before its children, depth levels deep
// and at most most nodes. Beside a listing that was cut off is an error of ErrTooMany. A
// node that can't be browsed has the reason; only of the start it is an error.
func (s *Session) Tree(ctx context.Context, start *ua.NodeID, depth, most int, values bool) ([]Found, error) {
	t := tree{session: s, most: most, seen: map[string]bool{s.Name(start): true}}
	cut := t.below(ctx, start, nil, depth)
	if cut != nil && !errors.Is(cut, ErrTooMany) {
		return nil, cut
	}
	if values {
		if err := s.addValues(ctx, t.found); err != nil {
			return nil, err
		}
	}
	return t.found, cut
}

// tree walks the address space, which may have circles: each node comes once.
type tree struct {
	session *Session
	most    int
	seen    map[string]bool
	found   []Found
}

func (t *tree) below(ctx context.Context, node *ua.NodeID, parents []string, depth int) error {
	if depth <= 0 {
		return nil
	}
	references, err := t.session.references(ctx, node)
	if err != nil {
		return err
	}
	for first := 0; first < len(references); first += referencesPerAnswer {
		part := references[first:min(first+referencesPerAnswer, len(references))]
		children, err := t.session.describe(ctx, part, first)
		if err != nil {
			return err
		}
		for i, n := range children {
			if err := t.add(ctx, n, part[i].NodeID, parents, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tree) add(ctx context.Context, n mes.UANode, id *ua.ExpandedNodeID, parents []string, depth int) error {
	if t.seen[n.NodeID] {
		return nil
	}
	t.seen[n.NodeID] = true
	if len(t.found) == t.most {
		return fmt.Errorf("%w (%d): begin at a node further down, or raise the limit", ErrTooMany, t.most)
	}
	at := len(t.found)
	t.found = append(t.found, Found{UANode: n, Depth: len(parents), Parents: parents})
	if id.ServerIndex != 0 || id.NamespaceURI != "" {
		return nil // it stands in another server
	}
	err := t.below(ctx, id.NodeID, append(slices.Clip(parents), n.BrowseName), depth-1)
	if code := mes.ErrorCode(err); code == mes.CodeNotFound || code == mes.CodeConflict || code == mes.CodeTooLarge {
		t.found[at].Fault, err = err.Error(), nil
	}
	return err
}

// addValues reads the values of variables.
func (s *Session) addValues(ctx context.Context, found []Found) error {
	var items []mes.UARead
	var places []int
	for i := range found {
		if found[i].Class == "Variable" && found[i].Readable {
			items, places = append(items, mes.UARead{Node: found[i].NodeID}), append(places, i)
		}
	}
	values, err := s.Read(ctx, items)
	if err != nil {
		return err
	}
	for k, i := range places {
		found[i].Value = &values[k]
	}
	return nil
}
