package sparkplug

import (
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// DataType is the type of a metric, a property or a column (6.4.16). Protocol buffers
// have fewer types than that: without it a value can't be read.
type DataType uint64

// The data types. Unknown is none.
const (
	Unknown DataType = iota
	Int8
	Int16
	Int32
	Int64
	UInt8
	UInt16
	UInt32
	UInt64
	Float
	Double
	Boolean
	String
	DateTime
	Text
	UUID
	DataSet
	Bytes
	File
	Template
	PropertySet
	PropertySetList
	Int8Array
	Int16Array
	Int32Array
	Int64Array
	UInt8Array
	UInt16Array
	UInt32Array
	UInt64Array
	FloatArray
	DoubleArray
	BooleanArray
	StringArray
	DateTimeArray
)

var typeNames = [...]string{
	"Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double",
	"Boolean", "String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet",
	"PropertySetList", "Int8Array", "Int16Array", "Int32Array", "Int64Array", "UInt8Array", "UInt16Array",
	"UInt32Array", "UInt64Array", "FloatArray", "DoubleArray", "BooleanArray", "StringArray", "DateTimeArray",
}

// String returns the name of the type as the specification has it.
func (t DataType) String() string {
	if t < DataType(len(typeNames)) {
		return typeNames[t]
	}
	return "type " + strconv.FormatUint(uint64(t), 10)
}

// bits is the width of an integer, and whether it is signed; 0 of any other type.
func (t DataType) bits() (width uint, signed bool) {
	switch t {
	case Int8, Int16, Int32, Int64:
		return 8 << (t - Int8), true
	case UInt8, UInt16, UInt32, UInt64:
		return 8 << (t - UInt8), false
	}
	return 0, false
}

// element is the type of an array's elements; Unknown of what is no array.
func (t DataType) element() DataType {
	switch {
	case t >= Int8Array && t <= DoubleArray:
		return t - Int8Array + Int8
	case t == BooleanArray:
		return Boolean
	case t == StringArray:
		return String
	case t == DateTimeArray:
		return DateTime
	}
	return Unknown
}

// scalar is a value as it came: which of the fields of the schema's oneof it stood in,
// and its bits or bytes. The zero scalar is none.
type scalar struct {
	kind  kind
	bits  uint64
	bytes []byte
}

// kind tells the fields of a oneof apart, which have other numbers in metrics,
// properties, parameters and data sets, in the same order.
type kind byte

const (
	noValue kind = iota
	intValue
	longValue
	floatValue
	doubleValue
	booleanValue
	stringValue
	bytesValue
	dataSetValue
	templateValue
	extensionValue
)

var kindNames = [...]string{
	"no value", "int_value", "long_value", "float_value", "double_value", "boolean_value", "string_value",
	"bytes_value", "dataset_value", "template_value", "extension_value",
}

var kindWires = [...]protowire.Type{
	0, protowire.VarintType, protowire.VarintType, protowire.Fixed32Type, protowire.Fixed64Type, protowire.VarintType,
	protowire.BytesType, protowire.BytesType, protowire.BytesType, protowire.BytesType, protowire.BytesType,
}

// setKind reads the field of a oneof; the last one counts, as in protocol buffers.
func (s *scalar) setKind(f field, k kind) error {
	if err := f.is(kindWires[k], kindNames[k]); err != nil {
		return err
	}
	*s = scalar{kind: k, bits: f.bits, bytes: f.bytes}
	return nil
}
