package address

import (
	"encoding/json"
	"strings"

	"github.com/gopcua/opcua/ua"
)

// Config writes a variable as an element of nodes of a configuration, in YAML: with the
// URI of its namespace, so that it stays true when indices move. The signal is left out
// where it is what the configuration would take anyway. Indent stands before each line.
func Config(node *ua.NodeID, namespaces []string, signal, byDefault, unit, indent string) string {
	var b strings.Builder
	b.WriteString(indent + "- node_id: " + quoted(Text(node, namespaces)) + "\n")
	if signal != "" && signal != byDefault {
		b.WriteString(indent + "  signal: " + quoted(signal) + "\n")
	}
	if unit != "" {
		b.WriteString(indent + "  unit: " + quoted(unit) + "\n")
	}
	return b.String()
}

// quoted is a YAML scalar in double quotes, which takes any text: a JSON string is one.
func quoted(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}
