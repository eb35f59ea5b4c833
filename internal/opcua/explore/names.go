package explore

import (
	"fmt"
	"strings"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

// nodeName is the text form of a node id with the URI of its namespace, which is good
// for configurations: indices move. OPC 10000-6, 5.3.1.11 escapes ";" and "%" of the URI.
func nodeName(n *ua.NodeID, namespaces []string) string {
	if n == nil {
		return ""
	}
	index := int(n.Namespace())
	if index == 0 || index >= len(namespaces) || namespaces[index] == "" {
		return n.String()
	}
	_, identifier, _ := strings.Cut(n.String(), ";")
	return "nsu=" + strings.NewReplacer("%", "%25", ";", "%3B").Replace(namespaces[index]) + ";" + identifier
}

// expandedName is nodeName of what may stand in another server.
func expandedName(n *ua.ExpandedNodeID, namespaces []string) string {
	if n == nil || n.NodeID == nil {
		return ""
	}
	text := nodeName(n.NodeID, namespaces)
	if n.NamespaceURI != "" {
		_, identifier, found := strings.Cut(n.NodeID.String(), ";")
		if !found {
			identifier = n.NodeID.String()
		}
		text = "nsu=" + strings.NewReplacer("%", "%25", ";", "%3B").Replace(n.NamespaceURI) + ";" + identifier
	}
	if n.ServerIndex != 0 {
		text = fmt.Sprintf("svr=%d;%s", n.ServerIndex, text)
	}
	return text
}

// standardName names what the standard defines, and gives the node id of others.
func standardName(n *ua.NodeID, namespaces []string) string {
	if n == nil {
		return ""
	}
	if n.Namespace() == 0 && n.StringID() == "" {
		if b, ok := builtInOf(ua.TypeID(min(n.IntID(), 63))); ok {
			return b.name // the library writes some otherwise than the standard
		}
		if name := id.Name(n.IntID()); name != "" {
			return name
		}
	}
	return nodeName(n, namespaces)
}

// className is a node's class as the standard writes it.
func className(c ua.NodeClass) string { return strings.TrimPrefix(c.String(), "NodeClass") }

// standardWords puts right what the library writes otherwise than the standard.
var standardWords = strings.NewReplacer("ID", "Id", "URI", "Uri", "URL", "Url", "TCP", "Tcp")

// statusName is a status code's name as in OPC 10000-6, A.2.
func statusName(code ua.StatusCode) string {
	if code == ua.StatusOK {
		return "Good"
	}
	// The bits below say something of the value, not of the status.
	if d, ok := ua.StatusCodes[code&0xFFFF0000]; ok {
		return standardWords.Replace(strings.TrimPrefix(d.Name, "Status"))
	}
	return fmt.Sprintf("0x%08X", uint32(code))
}

func status(code ua.StatusCode) mes.UAStatus {
	return mes.UAStatus{Code: mes.StatusCode(code), Name: statusName(code)}
}

// isBad tells whether a status says that there is nothing to rely on.
func isBad(code ua.StatusCode) bool { return code>>30 >= 2 }

// meaning is a status code's name and what it means.
func meaning(code ua.StatusCode) string {
	if d, ok := ua.StatusCodes[code&0xFFFF0000]; ok && d.Text != "" {
		return statusName(code) + ": " + strings.TrimSuffix(d.Text, ".")
	}
	return statusName(code)
}
