package vqt

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/gopcua/opcua/ua"
)

// typeName names what can't be represented, an ExtensionObject with its encoding.
func typeName(x any) string {
	switch x := x.(type) {
	case *ua.ExtensionObject:
		if x.TypeID != nil && x.TypeID.NodeID != nil {
			return fmt.Sprintf("ExtensionObject (encoding %s)", x.TypeID.NodeID)
		}
		return "ExtensionObject"
	case *ua.DataValue:
		return "DataValue"
	case *ua.DiagnosticInfo:
		return "DiagnosticInfo"
	default:
		return fmt.Sprintf("%T", x)
	}
}

// Describe is what quarantine keeps of a value that can't be represented: JSON with the
// node, the type, the bytes of the value in the binary encoding (base64) and, where the
// library could decode it, the content.
func Describe(nodeID string, dv *ua.DataValue) []byte {
	d := struct {
		NodeID          string    `json:"node_id"`
		Type            string    `json:"type"`
		StatusCode      uint32    `json:"status_code"`
		SourceTimestamp time.Time `json:"source_timestamp,omitzero"`
		ServerTimestamp time.Time `json:"server_timestamp,omitzero"`
		Raw             []byte    `json:"raw,omitempty"`
		Value           any       `json:"value,omitempty"`
	}{NodeID: nodeID}
	if dv != nil {
		d.StatusCode, d.SourceTimestamp, d.ServerTimestamp = uint32(dv.Status), unwrap(dv.SourceTimestamp), unwrap(dv.ServerTimestamp)
	}
	if dv != nil && dv.Value != nil {
		d.Type, d.Raw, d.Value = typeName(dv.Value.Value()), encode(dv.Value), dv.Value.Value()
	}
	if b, err := json.Marshal(d); err == nil {
		return b
	}
	// Some contents have no JSON (NaN, years beyond 9999): tell what is left.
	d.Value, d.SourceTimestamp, d.ServerTimestamp = fmt.Sprintf("%+v", d.Value), time.Time{}, time.Time{}
	b, err := json.Marshal(d)
	if err != nil {
		return []byte(strconv.Quote(nodeID))
	}
	return b
}

// encode writes the value as it came, as far as the library still has it.
func encode(v *ua.Variant) (b []byte) {
	defer func() {
		if recover() != nil {
			b = nil // it does not encode everything that it decodes
		}
	}()
	b, err := v.Encode()
	if err != nil {
		return nil
	}
	return b
}
