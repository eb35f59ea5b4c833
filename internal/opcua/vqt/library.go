package vqt

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

// converter makes trees of what the library decoded.
type converter struct {
	types *Types
	// left is how many values there may still be.
	left int
}

// take counts one value.
func (c *converter) take() error {
	if c.left--; c.left < 0 {
		return fmt.Errorf("a value of more than %d parts can't be stored", maxValues)
	}
	return nil
}

// variant reads a Variant; of is the data type that its variable declares, or nil.
func (c *converter) variant(v *ua.Variant, of *Type, depth int) (tree, error) {
	if v == nil || v.Value() == nil {
		return tree{}, nil
	}
	if depth > maxNesting {
		return tree{}, fmt.Errorf("a value nested deeper than %d can't be stored", maxNesting)
	}
	if !v.Has(ua.VariantArrayValues) {
		return c.one(v.Value(), of, depth)
	}
	var all []tree
	if err := c.elements(reflect.ValueOf(v.Value()), of, depth, &all); err != nil {
		return tree{}, err
	}
	dimensions, err := checkDimensions(dimensionsOf(reflect.ValueOf(v.Value())), len(all))
	if err != nil {
		return tree{}, err
	}
	t := arrayOf(all, dimensions)
	t.named = t.named || of.isNamed()
	return t, nil
}

// elements collects the elements of an array of one or more dimensions.
func (c *converter) elements(v reflect.Value, of *Type, depth int, all *[]tree) error {
	if depth > maxNesting {
		return fmt.Errorf("an array nested deeper than %d can't be stored", maxNesting)
	}
	for i := range v.Len() {
		element := v.Index(i)
		if isArray(element) {
			if err := c.elements(element, of, depth+1, all); err != nil {
				return err
			}
			continue
		}
		t, err := c.one(element.Interface(), of, depth)
		if err != nil {
			return err
		}
		*all = append(*all, t)
	}
	return nil
}

// dimensionsOf are those of an array as the library splits it: all rows are alike.
func dimensionsOf(v reflect.Value) []int32 {
	var all []int32
	for isArray(v) {
		all = append(all, int32(v.Len()))
		if v.Len() == 0 {
			break
		}
		v = v.Index(0)
	}
	return all
}

// isArray tells a dimension from an element. A []byte is a ByteString; an array of Byte
// has a type of its own.
func isArray(v reflect.Value) bool {
	return v.Kind() == reflect.Slice && v.Type() != reflect.TypeFor[[]byte]()
}

// one reads one value of a built-in type.
func (c *converter) one(x any, of *Type, depth int) (tree, error) {
	if err := c.take(); err != nil {
		return tree{}, err
	}
	if v, ok, err := plain(x); ok {
		t := leaf(v)
		of.label(&t, x)
		return t, err
	}
	if v := reflect.ValueOf(x); v.Kind() == reflect.Pointer && v.IsNil() {
		return tree{}, nil
	}
	switch x := x.(type) {
	case *ua.Variant:
		return c.variant(x, nil, depth+1)
	case *ua.ExtensionObject:
		return c.extension(x, of, depth)
	case *ua.DataValue:
		return c.dataValue(x, depth)
	default:
		return tree{}, fmt.Errorf("a value of type %s can't be stored as a signal", typeName(x))
	}
}

// extension reads a structure.
func (c *converter) extension(x *ua.ExtensionObject, of *Type, depth int) (tree, error) {
	if depth > maxNesting {
		return tree{}, fmt.Errorf("a structure nested deeper than %d can't be stored", maxNesting)
	}
	if x.EncodingMask == ua.ExtensionObjectEmpty && x.Value == nil {
		if of != nil && of.isStructure() {
			return of.null(), nil
		}
		return tree{}, nil
	}
	var encoding *ua.NodeID
	if x.TypeID != nil {
		encoding = x.TypeID.NodeID
	}
	switch body := x.Value.(type) {
	case *ua.XMLElement:
		return tree{}, fmt.Errorf("a value of type %s in XML can't be stored as a signal", typeName(x))
	case *Raw:
		return c.body(encoding, body.Body, depth)
	case nil:
		// The library has no body of an encoding that it does not know, and none of a
		// structure without members.
		if t := c.types.encoded(encoding); t != nil && len(t.fields) == 0 && t.kind == kindStructure {
			return tree{}, nil
		}
		return tree{}, &UnknownTypeError{Encoding: encoding, Lost: true}
	default:
		return c.standard(reflect.ValueOf(body), depth)
	}
}

// dataValue is a DataValue within a value, as an object with the members that
// OPC 10000-6, 5.4.2.17 gives it.
func (c *converter) dataValue(d *ua.DataValue, depth int) (tree, error) {
	value, err := c.variant(d.Value, nil, depth+1)
	if err != nil {
		return tree{}, err
	}
	if d.Value == nil || !d.Has(ua.DataValueValue) {
		value = tree{absent: true}
	}
	part := func(bit byte, v mes.Value) tree {
		if !d.Has(bit) {
			return tree{absent: true}
		}
		return leaf(v)
	}
	return tree{members: []member{
		{"Value", value},
		{"Status", part(ua.DataValueStatusCode, mes.Uint(uint64(d.Status)))},
		{"SourceTimestamp", part(ua.DataValueSourceTimestamp, mes.String(timeText(unwrap(d.SourceTimestamp))))},
		{"SourcePicoseconds", part(ua.DataValueSourcePicoseconds, mes.Uint(uint64(d.SourcePicoseconds)))},
		{"ServerTimestamp", part(ua.DataValueServerTimestamp, mes.String(timeText(unwrap(d.ServerTimestamp))))},
		{"ServerPicoseconds", part(ua.DataValueServerPicoseconds, mes.Uint(uint64(d.ServerPicoseconds)))},
	}}, nil
}

// standard reads a structure of the standard, which the library has as a Go struct, or
// what stands in one.
func (c *converter) standard(v reflect.Value, depth int) (tree, error) {
	if depth > maxNesting {
		return tree{}, fmt.Errorf("a structure nested deeper than %d can't be stored", maxNesting)
	}
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		return tree{}, c.take()
	case v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct && !isBuiltin(v.Type()):
		t := tree{}
		for i := range v.Elem().NumField() {
			part, err := c.standard(v.Elem().Field(i), depth+1)
			if err != nil {
				return tree{}, err
			}
			t.members = append(t.members, member{standardName(v.Elem().Type().Field(i).Name), part})
		}
		return t, nil
	case isArray(v):
		all := make([]tree, 0, min(v.Len(), maxValues))
		for i := range v.Len() {
			part, err := c.standard(v.Index(i), depth+1)
			if err != nil {
				return tree{}, err
			}
			all = append(all, part)
		}
		return arrayOf(all, nil), nil
	case v.Kind() == reflect.Uint32 && !isBuiltin(v.Type()):
		// An enumeration, which the library has without a sign.
		return c.one(int32(v.Uint()), nil, depth)
	default:
		return c.one(v.Interface(), nil, depth)
	}
}

// standardName is the name of a member as the standard writes it; Go's custom of capitals
// is undone.
func standardName(name string) string {
	return strings.NewReplacer("GUID", "Guid", "ID", "Id", "JSON", "Json", "QoS", "QualityOfService", "TCP", "Tcp",
		"UADP", "Uadp", "URI", "Uri", "URL", "Url", "XML", "Xml").Replace(name)
}

// goTypes are the Go types of the built-in types.
var goTypes = map[reflect.Type]ua.TypeID{
	reflect.TypeFor[bool]():                ua.TypeIDBoolean,
	reflect.TypeFor[int8]():                ua.TypeIDSByte,
	reflect.TypeFor[uint8]():               ua.TypeIDByte,
	reflect.TypeFor[int16]():               ua.TypeIDInt16,
	reflect.TypeFor[uint16]():              ua.TypeIDUint16,
	reflect.TypeFor[int32]():               ua.TypeIDInt32,
	reflect.TypeFor[uint32]():              ua.TypeIDUint32,
	reflect.TypeFor[int64]():               ua.TypeIDInt64,
	reflect.TypeFor[uint64]():              ua.TypeIDUint64,
	reflect.TypeFor[float32]():             ua.TypeIDFloat,
	reflect.TypeFor[float64]():             ua.TypeIDDouble,
	reflect.TypeFor[string]():              ua.TypeIDString,
	reflect.TypeFor[time.Time]():           ua.TypeIDDateTime,
	reflect.TypeFor[*ua.GUID]():            ua.TypeIDGUID,
	reflect.TypeFor[[]byte]():              ua.TypeIDByteString,
	reflect.TypeFor[ua.XMLElement]():       ua.TypeIDXMLElement,
	reflect.TypeFor[*ua.NodeID]():          ua.TypeIDNodeID,
	reflect.TypeFor[*ua.ExpandedNodeID]():  ua.TypeIDExpandedNodeID,
	reflect.TypeFor[ua.StatusCode]():       ua.TypeIDStatusCode,
	reflect.TypeFor[*ua.QualifiedName]():   ua.TypeIDQualifiedName,
	reflect.TypeFor[*ua.LocalizedText]():   ua.TypeIDLocalizedText,
	reflect.TypeFor[*ua.ExtensionObject](): ua.TypeIDExtensionObject,
	reflect.TypeFor[*ua.DataValue]():       ua.TypeIDDataValue,
	reflect.TypeFor[*ua.Variant]():         ua.TypeIDVariant,
	reflect.TypeFor[*ua.DiagnosticInfo]():  ua.TypeIDDiagnosticInfo,
}

func isBuiltin(t reflect.Type) bool { _, ok := goTypes[t]; return ok }

// libraryType is the type of an encoding of the standard that the library knows, nil of
// any other.
func libraryType(encoding *ua.NodeID) *Type {
	if encoding.Namespace() != 0 || encoding.IntID() == 0 {
		return nil
	}
	head, err := (&ua.ExtensionObject{TypeID: &ua.ExpandedNodeID{NodeID: ua.NewNumericNodeID(0, encoding.IntID())}}).Encode()
	if err != nil {
		return nil
	}
	head[len(head)-1] = ua.ExtensionObjectBinary
	// A body of one byte is too short for nearly all; what counts is the Go type that the
	// library makes for it before it looks.
	var x ua.ExtensionObject
	_, _ = x.Decode(append(head, 1, 0, 0, 0, 0))
	v := reflect.ValueOf(x.Value)
	if !v.IsValid() || v.Kind() != reflect.Pointer || v.Type() == reflect.TypeFor[*Raw]() {
		return nil
	}
	return goStructure(v.Type(), 0)
}

// goStructure is the type of a structure that the library has as a Go struct; nil if it
// has parts that have no encoding by themselves.
func goStructure(t reflect.Type, depth int) *Type {
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct || depth > maxNesting {
		return nil
	}
	all := &Type{name: t.Elem().Name(), kind: kindStructure}
	for i := range t.Elem().NumField() {
		part := t.Elem().Field(i)
		f := field{name: standardName(part.Name), rank: -1}
		of := part.Type
		if of.Kind() == reflect.Slice && of != reflect.TypeFor[[]byte]() {
			f.rank, of = 1, of.Elem()
		}
		switch b, ok := goTypes[of]; {
		case ok:
			f.of = builtinType(b)
		case of.Kind() == reflect.Uint32:
			f.of = builtinType(ua.TypeIDInt32)
		default:
			f.of = goStructure(of, depth+1)
		}
		if f.of == nil {
			return nil
		}
		all.fields = append(all.fields, f)
	}
	return all
}
