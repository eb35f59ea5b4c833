package opcua

import (
	"context"
	"slices"
	"testing"

	"plantgate/internal/config"
	"plantgate/internal/opcua/sim"
)

func TestBrowse(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	cfg := config.OPCUAConnection{Endpoint: server.URL()}
	nodes, err := Browse(context.Background(), cfg, Deps{}, "ns=1;i=85", 2)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(nodes, func(n BrowsedNode) bool { return n.NodeID == sim.StoredVariable })
	if i < 0 {
		t.Fatalf("%s is not among %d nodes", sim.StoredVariable, len(nodes))
	}
	want := BrowsedNode{Depth: 1, NodeID: sim.StoredVariable, BrowseName: "MyStoredVariable", Class: "Variable", DataType: "Int32", Value: "29"}
	if nodes[i] != want {
		t.Errorf("got %+v, want %+v", nodes[i], want)
	}
	if nodes, err = Browse(context.Background(), cfg, Deps{}, "nsu="+sim.Namespace+";s=Plant/PRESS-01", 1); err != nil || len(nodes) != 6 {
		t.Errorf("the press has %d nodes (%v), want 6", len(nodes), err)
	}
	if _, err := Browse(context.Background(), cfg, Deps{}, "ns=1;s=Nothing", 1); err == nil {
		t.Error("a node that is not there can be browsed")
	}
}
