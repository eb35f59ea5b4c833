package explore

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plantgate/internal/config"
	"plantgate/internal/mes"
)

// checkPaste loads what Paste writes as `plantgate config check` does, and counts its nodes.
func checkPaste(t *testing.T, cfg config.OPCUAConnection, found []Found, nodes int) config.OPCUAConnection {
	t.Helper()
	var b strings.Builder
	if err := Paste(&b, cfg, found, ""); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pasted.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, _, err := config.Load(file, nil)
	if err != nil || len(loaded.OPCUA.Connections) != 1 {
		t.Fatalf("%v\n%s", err, b.String())
	}
	got := loaded.OPCUA.Connections[0]
	n := 0
	for _, m := range got.Machines {
		n += len(m.Nodes)
	}
	if n != nodes || got.Endpoint != cfg.Endpoint {
		t.Errorf("%d nodes of %s, want %d\n%s", n, got.Endpoint, nodes, b.String())
	}
	return got
}

// Names that a server may have do not break the configuration.
func TestPaste(t *testing.T) {
	t.Parallel()
	variable := func(node, name string, parents ...string) Found {
		return Found{UANode: mes.UANode{NodeID: node, BrowseName: name, Class: "Variable", DataType: "Int32", ValueRank: -1, Readable: true, ReferenceType: "HasComponent"}, Parents: parents}
	}
	hostile := `a: "b" # c` + "\n'd'{{}}%\u2028 \\"
	found := []Found{
		variable("ns=1;s="+hostile, hostile, hostile),
		variable("nsu=urn:a%3Bb;s=Press/Temp", "Temp", "Press"),
		variable("nsu=urn:a%3Bb;s=Other/Temp", "Temp", "Press"),
		variable("nsu=urn:a%3Bb;i=1001", "Speed", "Press"),
		variable("nsu=urn:a%3Bb;i=1002", "Speed", "Press"),
		variable("nsu=urn:a%3Bb;s=status", "status", "Press"),
		variable("nsu=urn:a%3Bb;s="+strings.Repeat("x", 300), strings.Repeat("ü", 300), "Press"),
		variable("nsu=urn:a%3Bb;s=alone", "alone"),
		{UANode: mes.UANode{NodeID: "i=3", BrowseName: "object", Class: "Object"}},
		{UANode: mes.UANode{NodeID: "i=4", BrowseName: "EURange", Class: "Variable", Readable: true, ReferenceType: "HasProperty"}},
	}
	secret := variable("i=5", "hidden", "Press")
	secret.Readable = false
	structure := variable("i=6", "point", "Points")
	structure.Value = &mes.UAValue{Detail: "a value of type\nExtensionObject can't be stored"}
	found = append(found, secret, structure)
	got := checkPaste(t, config.OPCUAConnection{Name: "true", Endpoint: "opc.tcp://h:1", Username: "a: b", SecurityPolicy: "None"}, found, 8)
	if got.Username != "a: b" || got.Name != "true" {
		t.Errorf("name %q, user %q", got.Name, got.Username)
	}
	if n := got.Machines[0].Nodes[0]; n.NodeID != "ns=1;s="+hostile {
		t.Errorf("node id %q", n.NodeID)
	}
	var signals []string
	for _, n := range got.Machines[1].Nodes[:5] {
		signals = append(signals, n.SignalName())
	}
	if want := "Temp Press.Temp Speed Press.Speed Press.status"; strings.Join(signals, " ") != want {
		t.Errorf("signals %q, want %q", signals, want)
	}
	if err := Paste(&strings.Builder{}, config.OPCUAConnection{}, found[8:], ""); mes.ErrorCode(err) != mes.CodeNotFound {
		t.Errorf("no variables: %v", err)
	}
}

// FuzzPaste: whatever names a server has, what is printed is a configuration, each signal
// has a name of its own that a record may have, and the node ids are the server's.
func FuzzPaste(f *testing.F) {
	f.Add("ns=1;s=Press/Temp", "Temp", "Press", "Press")
	f.Add("i=1", strings.Repeat("ü", 300), "a~b/c", "{machine}")
	f.Add("ns=1;s={x}\u0085\u009b", "\xff\x00", "\ufeff", "status")
	f.Add("ns=1;s="+strings.Repeat("x", 300), "status", "\u2028: # '\"", "\U0010ffff")
	f.Fuzz(func(t *testing.T, id, name, parent, other string) {
		var found []Found
		nodes := map[string]bool{}
		for i, at := range []string{parent, parent, other} {
			node := fmt.Sprintf("%s%d", id, i)
			found = append(found, Found{
				UANode:  mes.UANode{NodeID: node, BrowseName: name, Class: "Variable", DataType: other, ValueRank: int32(i), Readable: true},
				Parents: []string{at},
			})
			if unfit(found[i]) == "" {
				nodes[node] = true
			}
		}
		cfg := config.OPCUAConnection{Name: "peer", Endpoint: "opc.tcp://h:1", Username: other}
		if len(nodes) == 0 {
			if err := Paste(io.Discard, cfg, found, ""); mes.ErrorCode(err) != mes.CodeNotFound {
				t.Errorf("nothing to paste: %v", err)
			}
			return
		}
		got := checkPaste(t, cfg, found, len(nodes))
		for _, m := range got.Machines {
			for _, n := range m.Nodes {
				r := mes.Record{SiteID: "site", MachineID: m.MachineID, DataType: mes.DataTypes()[0], Signals: []mes.Signal{{Name: n.SignalName()}}}
				if err := r.Validate(); err != nil || !nodes[n.NodeID] {
					t.Errorf("%q of %q: %v", n.NodeID, n.SignalName(), err)
				}
			}
		}
	})
}
