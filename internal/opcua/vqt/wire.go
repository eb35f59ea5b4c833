package vqt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/gopcua/opcua/ua"
)

// wire reads the binary encoding of OPC 10000-6, 5.2, within the bytes that are there.
// After an error it reads nothing more.
type wire struct {
	c   *converter
	b   []byte
	err error
	// inArray is how many arrays what is read now stands in.
	inArray int
}

// fail keeps the first error.
func (w *wire) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// take returns the next n bytes.
func (w *wire) take(n int) []byte {
	if w.err != nil {
		return nil
	}
	if n < 0 || n > len(w.b) {
		w.fail(io.ErrUnexpectedEOF)
		return nil
	}
	part := w.b[:n:n]
	w.b = w.b[n:]
	return part
}

func (w *wire) uint8() uint8 {
	if b := w.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (w *wire) uint16() uint16 {
	if b := w.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (w *wire) uint32() uint32 {
	if b := w.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (w *wire) uint64() uint64 {
	if b := w.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// bytes reads a length and as many bytes; -1 is nothing.
func (w *wire) bytes() []byte {
	n := int32(w.uint32())
	if w.err != nil || n == -1 {
		return nil
	}
	if n < 0 {
		w.fail(fmt.Errorf("a length of %d", n))
		return nil
	}
	return w.take(int(n))
}

func (w *wire) string() string { return string(w.bytes()) }

func (w *wire) time() time.Time {
	if ticks := w.uint64(); ticks != 0 {
		return ticksTime(ticks)
	}
	return time.Time{}
}

func (w *wire) guid() *ua.GUID {
	return &ua.GUID{Data1: w.uint32(), Data2: w.uint16(), Data3: w.uint16(), Data4: w.take(8)}
}

// Flags of the first byte of an ExpandedNodeId (OPC 10000-6, 5.2.2.10).
const (
	nodeIDHasURI    = 0x80
	nodeIDHasServer = 0x40
)

func (w *wire) nodeID() (*ua.NodeID, byte) {
	first := w.uint8()
	var n *ua.NodeID
	switch ua.NodeIDType(first &^ (nodeIDHasURI | nodeIDHasServer)) {
	case ua.NodeIDTypeTwoByte:
		n = ua.NewTwoByteNodeID(w.uint8())
	case ua.NodeIDTypeFourByte:
		ns := w.uint8()
		n = ua.NewFourByteNodeID(ns, w.uint16())
	case ua.NodeIDTypeNumeric:
		ns := w.uint16()
		n = ua.NewNumericNodeID(ns, w.uint32())
	case ua.NodeIDTypeString:
		ns := w.uint16()
		n = ua.NewStringNodeID(ns, w.string())
	case ua.NodeIDTypeByteString:
		ns := w.uint16()
		n = ua.NewByteStringNodeID(ns, w.bytes())
	case ua.NodeIDTypeGUID:
		ns := w.uint16()
		g := w.guid()
		if w.err != nil {
			break
		}
		n = ua.NewGUIDNodeID(ns, g.String())
	default:
		w.fail(fmt.Errorf("a NodeId of form %d", first))
	}
	if w.err != nil {
		return nil, 0
	}
	return n, first
}

func (w *wire) expandedNodeID() *ua.ExpandedNodeID {
	n, first := w.nodeID()
	x := &ua.ExpandedNodeID{NodeID: n}
	if first&nodeIDHasURI != 0 {
		x.NamespaceURI = w.string()
	}
	if first&nodeIDHasServer != 0 {
		x.ServerIndex = w.uint32()
	}
	return x
}

func (w *wire) localizedText() *ua.LocalizedText {
	t := &ua.LocalizedText{EncodingMask: w.uint8()}
	if t.Has(ua.LocalizedTextLocale) {
		t.Locale = w.string()
	}
	if t.Has(ua.LocalizedTextText) {
		t.Text = w.string()
	}
	return t
}

// scalar reads a value of the built-in types that hold no others.
func (w *wire) scalar(b ua.TypeID) any {
	switch b {
	case ua.TypeIDBoolean:
		return w.uint8() != 0
	case ua.TypeIDSByte:
		return int8(w.uint8())
	case ua.TypeIDByte:
		return w.uint8()
	case ua.TypeIDInt16:
		return int16(w.uint16())
	case ua.TypeIDUint16:
		return w.uint16()
	case ua.TypeIDInt32:
		return int32(w.uint32())
	case ua.TypeIDUint32:
		return w.uint32()
	case ua.TypeIDInt64:
		return int64(w.uint64())
	case ua.TypeIDUint64:
		return w.uint64()
	case ua.TypeIDFloat:
		return math.Float32frombits(w.uint32())
	case ua.TypeIDDouble:
		return math.Float64frombits(w.uint64())
	case ua.TypeIDString:
		return w.string()
	case ua.TypeIDDateTime:
		return w.time()
	case ua.TypeIDGUID:
		return w.guid()
	case ua.TypeIDByteString:
		return w.bytes()
	case ua.TypeIDXMLElement:
		return ua.XMLElement(w.string())
	case ua.TypeIDNodeID:
		n, first := w.nodeID()
		if first&(nodeIDHasURI|nodeIDHasServer) != 0 {
			w.fail(errors.New("a NodeId with a URI or a server"))
		}
		return n
	case ua.TypeIDExpandedNodeID:
		return w.expandedNodeID()
	case ua.TypeIDStatusCode:
		return ua.StatusCode(w.uint32())
	case ua.TypeIDQualifiedName:
		return &ua.QualifiedName{NamespaceIndex: w.uint16(), Name: w.string()}
	case ua.TypeIDLocalizedText:
		return w.localizedText()
	default:
		w.fail(fmt.Errorf("the built-in type %d", b))
		return nil
	}
}

// builtin reads a value of any built-in type.
func (w *wire) builtin(of *Type, depth int) tree {
	if err := w.c.take(); err != nil {
		w.fail(err)
	}
	if depth > maxNesting {
		w.fail(fmt.Errorf("nested deeper than %d", maxNesting))
	}
	if w.err != nil {
		return tree{}
	}
	switch of.builtin {
	case ua.TypeIDVariant:
		return w.variant(depth + 1)
	case ua.TypeIDExtensionObject:
		return w.extension(depth + 1)
	case ua.TypeIDDataValue:
		return w.dataValue(depth + 1)
	case ua.TypeIDDiagnosticInfo:
		w.fail(errors.New("a value of type DiagnosticInfo can't be stored as a signal"))
		return tree{}
	}
	x := w.scalar(of.builtin)
	if w.err != nil {
		return tree{}
	}
	v, _, err := plain(x)
	if err != nil {
		w.fail(err)
	}
	t := leaf(v)
	of.label(&t, x)
	return t
}

// Flags of the first byte of a Variant (OPC 10000-6, 5.2.2.16).
const (
	variantTypeMask = 0x3f
	variantIsArray  = ua.VariantArrayValues
	variantHasDims  = ua.VariantArrayDimensions
)

func (w *wire) variant(depth int) tree {
	first := w.uint8()
	b := ua.TypeID(first & variantTypeMask)
	if w.err != nil || b == ua.TypeIDNull {
		return tree{}
	}
	if b > ua.TypeIDDiagnosticInfo {
		w.fail(fmt.Errorf("a Variant of the type %d", b))
		return tree{}
	}
	of := builtinType(b)
	if first&variantIsArray == 0 {
		if b == ua.TypeIDVariant {
			w.fail(errors.New("a Variant in a Variant"))
			return tree{}
		}
		return w.builtin(of, depth)
	}
	all := w.elements(int(int32(w.uint32())), of, depth)
	var dimensions []int32
	if first&variantHasDims != 0 {
		for range w.length() {
			dimensions = append(dimensions, int32(w.uint32()))
		}
	}
	return w.array(all, dimensions)
}

// length reads the length of an array of numbers of four bytes.
func (w *wire) length() int {
	n := int32(w.uint32())
	if w.err != nil || n < 0 {
		return 0
	}
	if int64(n)*4 > int64(len(w.b)) {
		w.fail(io.ErrUnexpectedEOF)
		return 0
	}
	return int(n)
}

// elements reads n values of a type. None is shorter than a byte, but for structures
// without members, of which nobody has arrays.
func (w *wire) elements(n int, of *Type, depth int) []tree {
	if n > len(w.b) {
		w.fail(io.ErrUnexpectedEOF)
	}
	w.inArray++
	defer func() { w.inArray-- }()
	var all []tree
	for i := 0; i < n && w.err == nil; i++ {
		all = append(all, w.value(of, depth))
	}
	return all
}

func (w *wire) array(all []tree, dimensions []int32) tree {
	if w.err != nil {
		return tree{}
	}
	known, err := checkDimensions(dimensions, len(all))
	if err != nil {
		w.fail(err)
		return tree{}
	}
	return arrayOf(all, known)
}

func (w *wire) dataValue(depth int) tree {
	d := &ua.DataValue{EncodingMask: w.uint8()}
	var value tree
	if d.Has(ua.DataValueValue) {
		value = w.variant(depth)
	}
	if d.Has(ua.DataValueStatusCode) {
		d.Status = ua.StatusCode(w.uint32())
	}
	if d.Has(ua.DataValueSourceTimestamp) {
		d.SourceTimestamp = w.time()
	}
	if d.Has(ua.DataValueSourcePicoseconds) {
		d.SourcePicoseconds = w.uint16()
	}
	if d.Has(ua.DataValueServerTimestamp) {
		d.ServerTimestamp = w.time()
	}
	if d.Has(ua.DataValueServerPicoseconds) {
		d.ServerPicoseconds = w.uint16()
	}
	if w.err != nil {
		return tree{}
	}
	t, err := w.c.dataValue(d, depth)
	if err != nil {
		w.fail(err)
		return tree{}
	}
	if d.Has(ua.DataValueValue) {
		t.members[0].tree = value
	}
	return t
}

// extension reads a structure that is sent with its type.
func (w *wire) extension(depth int) tree {
	encoding := w.expandedNodeID()
	switch form := w.uint8(); {
	case w.err != nil:
		return tree{}
	case form == ua.ExtensionObjectEmpty:
		return tree{}
	case form != ua.ExtensionObjectBinary:
		w.fail(fmt.Errorf("an ExtensionObject (encoding %s) in the form %d", encoding.NodeID, form))
		return tree{}
	}
	body := w.bytes()
	if w.err != nil {
		return tree{}
	}
	t, err := w.c.body(encoding.NodeID, body, depth)
	if err != nil {
		w.fail(err)
	}
	return t
}
