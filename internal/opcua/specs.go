package opcua

import (
	"cmp"
	"strings"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/browsepath"
)

// spec is one element of nodes of the configuration, or one of discover. At a server it
// is one node, or many.
type spec struct {
	// binding has the machine and the signal with captures not yet filled.
	binding
	// start is the node id where the path begins; "" is the root.
	start string
	// path is nil where the node id is all.
	path *browsepath.Path
	// discover is the companion specification; "" for a configured node.
	discover string
}

// fixed tells whether it stands for one node.
func (s *spec) fixed() bool { return s.discover == "" && (s.path == nil || !s.path.IsPattern()) }

// moves tells whether what it stands for is found by looking in the address space.
func (s *spec) moves() bool { return s.discover != "" || s.path != nil }

// specs lists what is configured: single nodes first, then patterns, then what is to be
// discovered. The first that stands for a node or a signal has it.
func specs(cfg config.OPCUAConnection, defaultSite string) []*spec {
	var single, patterns []*spec
	for _, m := range cfg.Machines {
		site := cmp.Or(m.SiteID, cfg.SiteID, defaultSite)
		for _, n := range m.Nodes {
			s := &spec{binding: bindingOf(cfg, m, n, site)}
			if n.Path != "" {
				p, err := browsepath.Parse(n.Path)
				if err != nil {
					continue // config.Validate has refused it
				}
				s.path, s.start = p, n.NodeID
			}
			if s.fixed() {
				single = append(single, s)
			} else {
				patterns = append(patterns, s)
			}
		}
	}
	for _, d := range cfg.Discover {
		site := cmp.Or(cfg.SiteID, defaultSite)
		b := binding{connection: cfg.Name, siteID: site, nodeID: "discover " + d, dataType: mes.Telemetry,
			ask: newMonitoring(cfg, config.OPCUANode{}), history: cfg.History.Reads(config.OPCUANode{})}
		patterns = append(patterns, &spec{binding: b, discover: d})
	}
	return append(single, patterns...)
}

// bind fills the captures of a match into machine and signal.
func (s *spec) bind(nodeID, name string, captures []string) binding {
	b := s.binding
	b.nodeID = nodeID
	if len(captures) > 0 {
		r := strings.NewReplacer(captures...)
		b.machineID, b.signal = r.Replace(b.machineID), r.Replace(b.signal)
	}
	if b.signal == "" {
		b.signal = name
	}
	return b
}
