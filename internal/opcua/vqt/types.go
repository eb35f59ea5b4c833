package vqt

import (
	"slices"
	"sync"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

// kind is what a data type is, as far as its encoding goes.
type kind uint8

const (
	kindBuiltin kind = iota
	kindEnum
	kindOptionSet
	kindStructure
	kindUnion
	// kindOpaque is a structure of which the server does not say what it is made of.
	kindOpaque
)

// Type is a data type of a server.
type Type struct {
	name string
	kind kind
	// builtin is the encoding of all but structures (OPC 10000-6, 5.1.2). Of an abstract
	// number it is Variant, of an abstract structure ExtensionObject.
	builtin ua.TypeID
	// texts are the names of an enumeration's values, or of an option set's bits.
	texts map[int64]string
	// fields are those of a structure or union.
	fields []field
	// optional: a mask of the optional fields stands before the fields.
	optional bool
}

type field struct {
	name string
	of   *Type
	// rank is -1 of a scalar, else the number of dimensions.
	rank     int32
	optional bool
	// subtypes: the value may be of a subtype, and is sent with its own type.
	subtypes bool
}

func (t *Type) isStructure() bool { return t.kind >= kindStructure }

func builtinType(b ua.TypeID) *Type { return &Type{kind: kindBuiltin, builtin: b} }

// Types are the data types of one session with a server, whose namespace indices and
// types may change between sessions. It is safe for concurrent use. A nil Types knows
// nothing but what the library knows.
type Types struct {
	mu sync.RWMutex
	// variables, by node id.
	variables map[string]*Variable
	// byID and byEncoding are nil of what was asked for in vain.
	byID       map[string]*Type
	byEncoding map[string]*Type
}

// NewTypes returns types that Load and Learn fill.
func NewTypes() *Types {
	keepRaw(decimalType)
	return &Types{
		variables:  map[string]*Variable{},
		byID:       map[string]*Type{},
		byEncoding: map[string]*Type{},
	}
}

// Variable is what is known of a variable of the server. A nil Variable is one of which
// nothing is known.
type Variable struct {
	types *Types
	// of is its data type; nil if not known.
	of *Type
	// scalar means that it never is an array.
	scalar bool
}

// Variable returns what is known of the variable with that node id.
func (t *Types) Variable(nodeID *ua.NodeID) *Variable {
	if t == nil || nodeID == nil {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if v := t.variables[nodeID.String()]; v != nil {
		return v
	}
	return &Variable{types: t}
}

// encoded returns the type of a DataTypeEncoding; nil if it is not known.
func (t *Types) encoded(encoding *ua.NodeID) *Type {
	if encoding == nil {
		return nil
	}
	if t != nil {
		t.mu.RLock()
		known := t.byEncoding[encoding.String()]
		t.mu.RUnlock()
		if known != nil {
			return known
		}
	}
	return libraryType(encoding)
}

// read reads the variable's value.
func (v *Variable) read(value *ua.Variant) (tree, error) {
	c := converter{left: maxValues}
	var of *Type
	if v != nil {
		c.types, of = v.types, v.of
	}
	if value == nil || value.Value() == nil {
		return v.null(), nil
	}
	t, err := c.variant(value, of, 0)
	if err != nil {
		return v.null(), err
	}
	return t, nil
}

// null is the value of a variable that has none: of a structure, each of its members is
// null.
func (v *Variable) null() tree {
	if v == nil || v.of == nil {
		return tree{}
	}
	if v.of.isStructure() && !v.scalar {
		return tree{}
	}
	return v.of.null()
}

// null is a value of the type that is not there: each of its members is null, but for
// those of a type that contains itself, and of one with more members than a record may
// have signals.
func (t *Type) null() tree {
	left := mes.MaxSignals
	return t.nothing(nil, &left)
}

func (t *Type) nothing(outer []*Type, left *int) tree {
	absent := tree{absent: true, named: t.isNamed()}
	if *left--; *left < 0 || len(outer) >= maxNesting || slices.Contains(outer, t) {
		return absent
	}
	outer = append(outer, t)
	for i := range t.fields {
		absent.members = append(absent.members, t.fields[i].nothing(outer, left))
	}
	return absent
}

// nothing is a member that is not there.
func (f *field) nothing(outer []*Type, left *int) member {
	part := tree{absent: true}
	switch {
	case f.subtypes: // its members are those of another type
	case f.rank == -1:
		part = f.of.nothing(outer, left)
	default:
		part.named = f.of.isNamed()
	}
	return member{f.name, part}
}

// isNamed tells whether values of the type have texts.
func (t *Type) isNamed() bool { return t != nil && (t.kind == kindEnum || t.kind == kindOptionSet) }

// label gives an enumeration's value its text; x is the value as a number.
func (t *Type) label(v *tree, x any) {
	if !t.isNamed() {
		return
	}
	v.named = true
	n, ok := integer(x)
	if !ok {
		return
	}
	if t.kind == kindEnum {
		if name, ok := t.texts[n]; ok {
			v.text = mes.String(name)
		}
		return
	}
	set := []tree{}
	for bit := range int64(64) {
		if name, ok := t.texts[bit]; ok && n>>bit&1 == 1 {
			set = append(set, leaf(mes.String(name)))
		}
	}
	v.text = arrayOf(set, nil).leaf
}

// integer returns the bits of a whole number, or of a boolean.
func integer(x any) (int64, bool) {
	switch x := x.(type) {
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	case int8:
		return int64(x), true
	case int16:
		return int64(x), true
	case int32:
		return int64(x), true
	case int64:
		return x, true
	case uint8:
		return int64(x), true
	case uint16:
		return int64(x), true
	case uint32:
		return int64(x), true
	case uint64:
		return int64(x), true
	default:
		return 0, false
	}
}

// standardBuiltin returns the built-in type of a data type of the standard that is one of
// them or abstract (OPC 10000-6, 5.1.2 and 5.2.5).
func standardBuiltin(i uint32) (ua.TypeID, bool) {
	switch i {
	case id.Number, id.Integer, id.UInteger:
		return ua.TypeIDVariant, true
	case id.Enumeration:
		return ua.TypeIDInt32, true
	case id.Decimal, id.Structure:
		return ua.TypeIDExtensionObject, true
	case id.BaseDataType:
		return ua.TypeIDVariant, true
	}
	if i >= uint32(ua.TypeIDBoolean) && i <= uint32(ua.TypeIDDiagnosticInfo) {
		return ua.TypeID(i), true
	}
	return 0, false
}
