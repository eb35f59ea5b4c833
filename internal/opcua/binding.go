package opcua

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/mes"
)

// binding is one configured node and what its values become.
type binding struct {
	connection string
	siteID     string
	machineID  string
	dataType   mes.DataType
	signal     string
	unit       string
	// nodeID is the configured text, with ns= or nsu=.
	nodeID string
	// status turns the text of a value into what the machine is doing.
	status map[string]mes.Status
}

// bindings lists the nodes of a connection. A node that is mapped to statuses
// makes State records, every other Telemetry.
func bindings(cfg config.OPCUAConnection, defaultSite string) []binding {
	var list []binding
	for _, m := range cfg.Machines {
		site := firstNonEmpty(m.SiteID, cfg.SiteID, defaultSite)
		for _, n := range m.Nodes {
			b := binding{
				connection: cfg.Name,
				siteID:     site,
				machineID:  m.MachineID,
				dataType:   mes.Telemetry,
				signal:     n.SignalName(),
				unit:       n.Unit,
				nodeID:     n.NodeID,
				status:     make(map[string]mes.Status, len(n.Map)),
			}
			for value, status := range n.Map {
				b.status[value] = mes.Status(status)
				b.dataType = mes.State
			}
			list = append(list, b)
		}
	}
	return list
}

// resolveNodeID turns the configured text into the node id that the server
// uses now. nsu= is looked up in the server's NamespaceArray, whose order may
// differ after each of its restarts; ns= is taken as it is.
func resolveNodeID(text string, namespaces []string) (*ua.NodeID, error) {
	uri, isURI := strings.CutPrefix(text, "nsu=")
	if !isURI {
		return ua.ParseNodeID(text)
	}
	uri, identifier, _ := strings.Cut(uri, ";")
	// OPC 10000-6, 5.3.1.11: ";" and "%" of a URI are escaped.
	uri = strings.NewReplacer("%3B", ";", "%3b", ";", "%25", "%").Replace(uri)
	index := slices.Index(namespaces, uri)
	if index < 0 {
		return nil, fmt.Errorf("the server has no namespace %s", uri)
	}
	return ua.ParseNodeID(fmt.Sprintf("ns=%d;%s", index, identifier))
}

func firstNonEmpty(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
