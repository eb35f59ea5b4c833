package link

import (
	"context"
	"math"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// Limits are what a server takes in one call (OPC 10000-5, 6.3.11), and has in all. A limit that it does
// not tell is math.MaxInt32.
type Limits struct {
	NodesPerRead                          int
	NodesPerHistoryReadData               int
	NodesPerWrite                         int
	NodesPerMethodCall                    int
	NodesPerBrowse                        int
	NodesPerTranslateBrowsePathsToNodeIDs int
	MonitoredItemsPerCall                 int
	// BrowseContinuationPoints and HistoryContinuationPoints are how many lists may be
	// open at once in a session.
	BrowseContinuationPoints  int
	HistoryContinuationPoints int
	// Sessions is how many the server has in all, MonitoredItemsPerSubscription how many
	// items one subscription may have (OPC UA 1.05).
	Sessions                      int
	MonitoredItemsPerSubscription int
}

// NoLimits are those of a server that tells none.
func NoLimits() Limits {
	var l Limits
	for _, p := range l.places() {
		*p.to = math.MaxInt32
	}
	return l
}

// places are the limits with the nodes that tell them.
func (l *Limits) places() []struct {
	node uint32
	to   *int
} {
	return []struct {
		node uint32
		to   *int
	}{
		{id.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead, &l.NodesPerRead},
		{id.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData, &l.NodesPerHistoryReadData},
		{id.Server_ServerCapabilities_OperationLimits_MaxNodesPerWrite, &l.NodesPerWrite},
		{id.Server_ServerCapabilities_OperationLimits_MaxNodesPerMethodCall, &l.NodesPerMethodCall},
		{id.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse, &l.NodesPerBrowse},
		{id.Server_ServerCapabilities_OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIDs, &l.NodesPerTranslateBrowsePathsToNodeIDs},
		{id.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall, &l.MonitoredItemsPerCall},
		{id.Server_ServerCapabilities_MaxBrowseContinuationPoints, &l.BrowseContinuationPoints},
		{id.Server_ServerCapabilities_MaxHistoryContinuationPoints, &l.HistoryContinuationPoints},
		{id.Server_ServerCapabilities_MaxSessions, &l.Sessions},
		{id.Server_ServerCapabilities_MaxMonitoredItemsPerSubscription, &l.MonitoredItemsPerSubscription},
	}
}

// ReadLimits asks a server for its limits, one by one where it does not let them be read
// together. A server that does not answer at all fails.
func ReadLimits(ctx context.Context, c *opcua.Client) (Limits, error) {
	limits := NoLimits()
	places := limits.places()
	var nodes []*ua.ReadValueID
	for _, p := range places {
		nodes = append(nodes, &ua.ReadValueID{NodeID: ua.NewNumericNodeID(0, p.node), AttributeID: ua.AttributeIDValue, DataEncoding: &ua.QualifiedName{}})
	}
	values, err := read(ctx, c, nodes)
	if isTooMany(err) {
		values = nil
		for i := range nodes {
			one, err := read(ctx, c, nodes[i:i+1])
			if err != nil {
				return limits, err
			}
			values = append(values, one...)
		}
	} else if err != nil {
		return limits, err
	}
	for i, v := range values {
		if n := limit(v); n > 0 {
			*places[i].to = n
		}
	}
	return limits, nil
}

// limit is 0 where there is none.
func limit(v *ua.DataValue) int {
	if v == nil || v.Status != ua.StatusOK || v.Value == nil {
		return 0
	}
	switch n := v.Value.Value().(type) {
	case uint32:
		return int(min(n, math.MaxInt32))
	case uint16:
		return int(n)
	}
	return 0
}
