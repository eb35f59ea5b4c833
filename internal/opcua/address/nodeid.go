package address

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/opcua/browsepath"
)

// Resolve turns the configured text into the node id that the server
// uses now. nsu= is looked up in the server's NamespaceArray, whose order may
// differ after each of its restarts; ns= is taken as it is.
func Resolve(text string, namespaces []string) (*ua.NodeID, error) {
	uri, isURI := strings.CutPrefix(text, "nsu=")
	if !isURI {
		if !strings.HasPrefix(text, "ns=") && strings.Contains(text, ";") {
			text = "ns=0;" + text // else the library takes what is before ";" for a namespace
		}
		return ua.ParseNodeID(text)
	}
	uri, identifier, _ := strings.Cut(uri, ";")
	// OPC 10000-6, 5.3.1.11: ";" and "%" of a URI are escaped.
	uri = browsepath.UnescapeURI(uri)
	index := slices.Index(namespaces, uri)
	if index < 0 {
		return nil, fmt.Errorf("the server has no namespace %s", uri)
	}
	return ua.ParseNodeID(fmt.Sprintf("ns=%d;%s", index, identifier))
}

// Text writes a node id with the URI of its namespace, so that it stays true when indices
// move: what Resolve reads. A node of the standard's own namespace has none; one whose
// index the server does not explain keeps that.
func Text(id *ua.NodeID, namespaces []string) string {
	if id.Namespace() == 0 || int(id.Namespace()) >= len(namespaces) || namespaces[id.Namespace()] == "" {
		return id.String()
	}
	_, identifier, _ := strings.Cut(id.String(), ";")
	return "nsu=" + browsepath.EscapeURI(namespaces[id.Namespace()]) + ";" + identifier
}
