package mes

import "strings"

// TextSuffix follows the signal of an enumeration in the name of the one of its text.
const TextSuffix = ".text"

// NodeName is the signal name of an OPC UA node id such as
// ns=1;s=Objects/MyFolder/MyStoredVariable: what follows the last slash or dot of
// its identifier.
func NodeName(nodeID string) string {
	identifier := nodeID
	for _, kind := range []string{"s=", "i=", "g=", "b="} {
		if at := strings.Index(";"+nodeID, ";"+kind); at >= 0 {
			identifier = nodeID[at+len(kind):]
			break
		}
	}
	if i := strings.LastIndexAny(identifier, "/."); i >= 0 && i+1 < len(identifier) {
		return identifier[i+1:]
	}
	return identifier
}
