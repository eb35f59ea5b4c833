package vqt

import (
	"bytes"
	"fmt"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// Raw is the body of a structure (OPC 10000-6, 5.2.2.15) as it came. The library drops
// the bodies of encodings that it does not know; those that keepRaw names it gives as Raw.
type Raw struct {
	Body []byte
}

// Decode implements ua.BinaryDecoder: it takes all bytes of the body.
func (r *Raw) Decode(b []byte) (int, error) {
	r.Body = bytes.Clone(b)
	return len(b), nil
}

// Encode implements ua.BinaryEncoder.
func (r *Raw) Encode() ([]byte, error) { return r.Body, nil }

// keepRaw makes the library keep the bodies of an encoding. What is known to it stays as
// it is, for it refuses a second type with a panic. The library has one list for all
// connections; that is harmless, since Raw is the same for every encoding of any server.
func keepRaw(encoding *ua.NodeID) {
	defer func() { _ = recover() }()
	ua.RegisterExtensionObject(encoding, new(Raw))
}

// decimalType is the DataType of Decimal, by which it is sent as if it were an encoding
// (OPC 10000-6, 5.1.7).
var decimalType = ua.NewNumericNodeID(0, id.Decimal)

// UnknownTypeError is the error of a structure whose type is not known yet.
type UnknownTypeError struct {
	// Encoding is the DataTypeEncoding that the server named.
	Encoding *ua.NodeID
	// Lost means that the library dropped the bytes, since it does not know the encoding
	// either: only a new read can tell the value.
	Lost bool
}

func (e *UnknownTypeError) Error() string {
	return fmt.Sprintf("a value of type ExtensionObject (encoding %s) can't be stored as a signal: its type is not known", e.Encoding)
}
