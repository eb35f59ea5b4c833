package explore

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// builtIn is a built-in type (OPC 10000-6, 5.1.2).
type builtIn struct {
	id     ua.TypeID
	name   string
	goType reflect.Type
	// expected says what its JSON is.
	expected string
}

// builtIns are the built-in types that can be written. Their ids are also those of their
// data types.
func builtIns() []builtIn {
	return []builtIn{
		{ua.TypeIDBoolean, "Boolean", reflect.TypeFor[bool](), "true or false"},
		{ua.TypeIDSByte, "SByte", reflect.TypeFor[int8](), "a whole number from -128 to 127"},
		{ua.TypeIDByte, "Byte", reflect.TypeFor[uint8](), "a whole number from 0 to 255"},
		{ua.TypeIDInt16, "Int16", reflect.TypeFor[int16](), "a whole number from -32768 to 32767"},
		{ua.TypeIDUint16, "UInt16", reflect.TypeFor[uint16](), "a whole number from 0 to 65535"},
		{ua.TypeIDInt32, "Int32", reflect.TypeFor[int32](), "a whole number from -2147483648 to 2147483647"},
		{ua.TypeIDUint32, "UInt32", reflect.TypeFor[uint32](), "a whole number from 0 to 4294967295"},
		{ua.TypeIDInt64, "Int64", reflect.TypeFor[int64](), "a whole number from -9223372036854775808 to 9223372036854775807"},
		{ua.TypeIDUint64, "UInt64", reflect.TypeFor[uint64](), "a whole number from 0 to 18446744073709551615"},
		{ua.TypeIDFloat, "Float", reflect.TypeFor[float32](), `a number of at most 3.4e38 in size, "NaN", "Infinity" or "-Infinity"`},
		{ua.TypeIDDouble, "Double", reflect.TypeFor[float64](), `a number of at most 1.8e308 in size, "NaN", "Infinity" or "-Infinity"`},
		{ua.TypeIDString, "String", reflect.TypeFor[string](), "a text"},
		{ua.TypeIDDateTime, "DateTime", reflect.TypeFor[time.Time](), "a time such as 2026-11-22T10:15:00Z, of the years 1601 to 9999"},
		{ua.TypeIDGUID, "Guid", reflect.TypeFor[*ua.GUID](), "a text such as 72962B91-FA75-4AE6-8D28-B404DC7DAF63"},
		{ua.TypeIDByteString, "ByteString", reflect.TypeFor[[]byte](), "a text in base64"},
		{ua.TypeIDXMLElement, "XmlElement", reflect.TypeFor[ua.XMLElement](), "a text"},
		{ua.TypeIDNodeID, "NodeId", reflect.TypeFor[*ua.NodeID](), "a node id such as ns=1;s=Name or nsu=urn:example;s=Name"},
		{ua.TypeIDExpandedNodeID, "ExpandedNodeId", reflect.TypeFor[*ua.ExpandedNodeID](), "a node id such as ns=1;s=Name or nsu=urn:example;s=Name"},
		{ua.TypeIDStatusCode, "StatusCode", reflect.TypeFor[ua.StatusCode](), "a whole number from 0 to 4294967295"},
		{ua.TypeIDQualifiedName, "QualifiedName", reflect.TypeFor[*ua.QualifiedName](), "a name, with the index of its namespace before it if it is not 0: 1:Name"},
		{ua.TypeIDLocalizedText, "LocalizedText", reflect.TypeFor[*ua.LocalizedText](), `a text, or {"locale":"de","text":"Ofen"}`},
	}
}

func builtInOf(id ua.TypeID) (builtIn, bool) {
	all := builtIns()
	i := slices.IndexFunc(all, func(b builtIn) bool { return b.id == id })
	if i < 0 {
		return builtIn{}, false
	}
	return all[i], true
}

func builtInNamed(name string) (builtIn, bool) {
	all := builtIns()
	i := slices.IndexFunc(all, func(b builtIn) bool { return strings.EqualFold(b.name, name) })
	if i < 0 {
		return builtIn{}, false
	}
	return all[i], true
}

func builtInNames() string {
	var names []string
	for _, b := range builtIns() {
		names = append(names, b.name)
	}
	return strings.Join(names, ", ")
}

// typeIDName is the name of any built-in type.
func typeIDName(t ua.TypeID) string {
	if b, ok := builtInOf(t); ok {
		return b.name
	}
	return strings.TrimPrefix(t.String(), "TypeID")
}

// variantType names what a value is, such as Int32, Int32[] or Int32[][].
func variantType(v *ua.Variant) string {
	if v == nil || v.Type() == ua.TypeIDNull {
		return ""
	}
	name := typeIDName(v.Type())
	if v.Has(ua.VariantArrayValues) {
		name += strings.Repeat("[]", max(len(v.ArrayDimensions()), 1))
	}
	return name
}

// abstractTypes are the data types of the standard whose variables hold one of several
// built-in types.
func abstractTypes() map[uint32][]ua.TypeID {
	signed := []ua.TypeID{ua.TypeIDSByte, ua.TypeIDInt16, ua.TypeIDInt32, ua.TypeIDInt64}
	unsigned := []ua.TypeID{ua.TypeIDByte, ua.TypeIDUint16, ua.TypeIDUint32, ua.TypeIDUint64}
	whole := slices.Concat(signed, unsigned)
	var all []ua.TypeID
	for _, b := range builtIns() {
		all = append(all, b.id)
	}
	return map[uint32][]ua.TypeID{
		id.BaseDataType: all,
		id.Number:       append(slices.Clone(whole), ua.TypeIDFloat, ua.TypeIDDouble),
		id.Integer:      signed,
		id.UInteger:     unsigned,
	}
}
