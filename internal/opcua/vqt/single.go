package vqt

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/gopcua/opcua/ua"
)

// TypeName names the type of a value that can't be represented, an ExtensionObject with its
// encoding.
func TypeName(x any) string { return typeName(x) }

// DateTime is the time that a DateTime means, which the library reads wrong before 1677 and
// after 2262.
func DateTime(t time.Time) time.Time { return unwrap(t) }

// Integer returns the value of a whole number of up to 64 bits, or of a boolean; one above
// the greatest int64 is negative.
func Integer(x any) (int64, bool) { return integer(x) }

// DescribeValue is JSON of a value of any type, for quarantine: its type, its bytes in the
// binary encoding (base64) and its content.
func DescribeValue(v *ua.Variant) json.RawMessage {
	d := struct {
		Type  string `json:"type"`
		Raw   []byte `json:"raw,omitempty"`
		Value any    `json:"value,omitempty"`
	}{typeName(v.Value()), encode(v), v.Value()}
	b, err := json.Marshal(d)
	if err != nil { // some contents have no JSON
		d.Value = fmt.Sprintf("%+v", d.Value)
		b, err = json.Marshal(d)
	}
	if err != nil {
		return json.RawMessage(`null`)
	}
	return b
}
