package address

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gopcua/opcua/ua"
)

// Resolve turns the configured text into the node id that the server
// uses now. nsu= is looked up in the server's NamespaceArray, whose order may
// differ after each of its restarts; ns= is taken as it is.
func Resolve(text string, namespaces []string) (*ua.NodeID, error) {
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
