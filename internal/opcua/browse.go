package opcua

import (
	"context"
	"fmt"
	"strings"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/opcua/address"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/vqt"
)

// maxBrowsed bounds a listing: some servers have millions of nodes.
const maxBrowsed = 10_000

// BrowsedNode is one node of a server's address space.
type BrowsedNode struct {
	// Depth is 0 for the children of the node that was asked for.
	Depth int
	// NodeID is what node_id of the configuration takes.
	NodeID     string
	BrowseName string
	// Class is Object, Variable or Method.
	Class string
	// DataType and Value are of variables; "" where the server gives none.
	DataType string
	Value    string
}

// Browse lists what stands below node ("" is the Objects folder), each node
// before its children, depth levels deep. Of cfg it needs the endpoint and, with
// security, user and trust; deps gives the folder of the own certificate.
// A listing that was cut off at 10,000 nodes has an error beside it.
func Browse(ctx context.Context, cfg config.OPCUAConnection, deps Deps, node string, depth int) ([]BrowsedNode, error) {
	deps = deps.withDefaults()
	t := link.DefaultTiming()
	c, err := link.Open(ctx, cfg, deps.link(), t)
	if err != nil {
		return nil, err
	}
	defer link.Close(ctx, c, t)
	start := ua.NewNumericNodeID(0, id.ObjectsFolder)
	if node != "" {
		if start, err = address.Resolve(node, c.Namespaces()); err != nil {
			return nil, fmt.Errorf("node %s: %w", node, err)
		}
	}
	b := &browser{client: c, seen: map[string]bool{start.String(): true}}
	err = b.below(ctx, start, 0, depth)
	return b.found, err
}

// browser walks the address space, which may have circles.
type browser struct {
	client *opcua.Client
	seen   map[string]bool
	found  []BrowsedNode
}

func (b *browser) below(ctx context.Context, node *ua.NodeID, level, depth int) error {
	if level >= depth {
		return nil
	}
	refs, err := b.references(ctx, node)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if ref == nil || ref.NodeID == nil || ref.NodeID.NodeID == nil || ref.BrowseName == nil || b.seen[ref.NodeID.NodeID.String()] {
			continue
		}
		if len(b.found) == maxBrowsed {
			return fmt.Errorf("more than %d nodes: name a node further down", maxBrowsed)
		}
		child := ref.NodeID.NodeID
		b.seen[child.String()] = true
		n := BrowsedNode{
			Depth:      level,
			NodeID:     child.String(),
			BrowseName: ref.BrowseName.Name,
			Class:      strings.TrimPrefix(ref.NodeClass.String(), "NodeClass"),
		}
		if ref.NodeClass == ua.NodeClassVariable {
			if err := b.describe(ctx, child, &n); err != nil {
				return err
			}
		}
		b.found = append(b.found, n)
		if err := b.below(ctx, child, level+1, depth); err != nil {
			return err
		}
	}
	return nil
}

// references follows the hierarchical references, page by page.
func (b *browser) references(ctx context.Context, node *ua.NodeID) ([]*ua.ReferenceDescription, error) {
	res, err := b.client.Browse(ctx, &ua.BrowseRequest{
		View: &ua.ViewDescription{ViewID: ua.NewTwoByteNodeID(0)},
		NodesToBrowse: []*ua.BrowseDescription{{
			NodeID:          node,
			BrowseDirection: ua.BrowseDirectionForward,
			ReferenceTypeID: ua.NewNumericNodeID(0, id.HierarchicalReferences),
			IncludeSubtypes: true,
			NodeClassMask:   uint32(ua.NodeClassObject | ua.NodeClassVariable | ua.NodeClassMethod),
			ResultMask:      uint32(ua.BrowseResultMaskAll),
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("browse %s: %w", node, err)
	}
	var refs []*ua.ReferenceDescription
	results := res.Results
	for {
		if len(results) != 1 || results[0] == nil {
			return nil, fmt.Errorf("browse %s: the server's answer has not one result", node)
		}
		if code := results[0].StatusCode; code != ua.StatusOK {
			return nil, fmt.Errorf("browse %s: %s", node, link.StatusText(code))
		}
		refs = append(refs, results[0].References...)
		if len(results[0].ContinuationPoint) == 0 || len(refs) > maxBrowsed {
			return refs, nil
		}
		next, err := b.client.BrowseNext(ctx, &ua.BrowseNextRequest{ContinuationPoints: [][]byte{results[0].ContinuationPoint}})
		if err != nil {
			return nil, fmt.Errorf("browse %s: %w", node, err)
		}
		results = next.Results
	}
}

// describe reads a variable's type and value.
func (b *browser) describe(ctx context.Context, node *ua.NodeID, n *BrowsedNode) error {
	res, err := b.client.Read(ctx, &ua.ReadRequest{
		TimestampsToReturn: ua.TimestampsToReturnNeither,
		NodesToRead: []*ua.ReadValueID{
			{NodeID: node, AttributeID: ua.AttributeIDDataType, DataEncoding: &ua.QualifiedName{}},
			{NodeID: node, AttributeID: ua.AttributeIDValue, DataEncoding: &ua.QualifiedName{}},
		},
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", node, err)
	}
	if len(res.Results) != 2 {
		return fmt.Errorf("read %s: the server's answer has not two results", node)
	}
	if t, ok := valueOf(res.Results[0]).(*ua.NodeID); ok && t != nil {
		n.DataType = typeOf(t)
	}
	v, err := vqt.Of(res.Results[1], nil)
	if err != nil {
		n.Value = "(" + err.Error() + ")"
		return nil
	}
	n.Value = v.String()
	return nil
}

func valueOf(dv *ua.DataValue) any {
	if dv == nil || dv.Value == nil {
		return nil
	}
	return dv.Value.Value()
}

// typeOf names the standard's data types and gives the node id of others.
func typeOf(t *ua.NodeID) string {
	if t.Namespace() == 0 {
		if name := id.Name(t.IntID()); name != "" {
			return name
		}
	}
	return t.String()
}
