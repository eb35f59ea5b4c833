package vqt

import (
	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// link makes types of the declarations, and remembers them. The types' lock is held.
func (l *loading) link() {
	t := l.of
	for key, d := range l.found {
		t.byID[key] = l.typeOf(d.id)
	}
	for _, d := range l.found {
		if d.made == nil || !d.made.isStructure() {
			continue
		}
		for _, e := range d.encodings {
			if libraryType(e) != nil {
				continue
			}
			keepRaw(e)
			t.byEncoding[e.String()] = d.made
		}
	}
}

// typeOf returns the type of a data type; nil if nothing is known of it. A type that
// contains itself is found half made.
func (l *loading) typeOf(n *ua.NodeID) *Type {
	if n == nil {
		return nil
	}
	if n.Namespace() == 0 {
		if b, ok := standardBuiltin(n.IntID()); ok {
			return builtinType(b)
		}
	}
	d := l.found[n.String()]
	if d == nil {
		return l.of.byID[n.String()]
	}
	if d.made == nil {
		d.made = &Type{name: d.name}
		l.make(d)
	}
	if d.made.kind == kindBuiltin && d.made.builtin == ua.TypeIDNull {
		return nil
	}
	return d.made
}

// make fills d.made.
func (l *loading) make(d *declaration) {
	base := l.base(d, 0)
	switch {
	case base == ua.TypeIDExtensionObject && d.abstract:
		d.made.builtin = base
	case base == ua.TypeIDExtensionObject:
		l.makeStructure(d)
	case base == ua.TypeIDInt32 && l.isEnum(d, 0):
		d.made.kind, d.made.builtin, d.made.texts = kindEnum, base, d.texts
		if d.enum != nil {
			d.made.texts = definedTexts(d.enum)
		}
	case d.enum != nil && (base == ua.TypeIDByte || base == ua.TypeIDUint16 || base == ua.TypeIDUint32 || base == ua.TypeIDUint64):
		d.made.kind, d.made.builtin, d.made.texts = kindOptionSet, base, definedTexts(d.enum)
	default:
		d.made.builtin = base
	}
}

func definedTexts(e *ua.EnumDefinition) map[int64]string {
	texts := map[int64]string{}
	for _, f := range e.Fields {
		if f != nil {
			addText(texts, f.Value, f.Name, f.DisplayName)
		}
	}
	return texts
}

// base is the built-in type that a data type descends from; Null if that is not known.
func (l *loading) base(d *declaration, depth int) ua.TypeID {
	switch {
	case d == nil || d.super == nil || depth > maxRounds:
		return ua.TypeIDNull
	case d.super.Namespace() == 0:
		if b, ok := standardBuiltin(d.super.IntID()); ok {
			return b
		}
	}
	if super := l.found[d.super.String()]; super != nil {
		return l.base(super, depth+1)
	}
	return l.of.byID[d.super.String()].base()
}

// base is the built-in type that a type descends from.
func (t *Type) base() ua.TypeID {
	switch {
	case t == nil:
		return ua.TypeIDNull
	case t.isStructure():
		return ua.TypeIDExtensionObject
	default:
		return t.builtin
	}
}

// isEnum tells whether a data type descends from Enumeration, not from Int32.
func (l *loading) isEnum(d *declaration, depth int) bool {
	switch {
	case d == nil || d.super == nil || depth > maxRounds:
		return false
	case d.super.Namespace() == 0 && d.super.IntID() == id.Enumeration:
		return true
	}
	if super := l.found[d.super.String()]; super != nil {
		return l.isEnum(super, depth+1)
	}
	known := l.of.byID[d.super.String()]
	return known != nil && known.kind == kindEnum
}

// makeStructure makes a structure or union: of the standard by what the library has, any
// other by its definition.
func (l *loading) makeStructure(d *declaration) {
	d.made.kind = kindOpaque
	if d.id.Namespace() == 0 {
		for _, e := range d.encodings {
			if known := libraryType(e); known != nil {
				*d.made = *known
				return
			}
		}
	}
	if d.structure == nil {
		return
	}
	subtyped := false
	all := Type{name: d.name, kind: kindStructure}
	switch d.structure.StructureType {
	case ua.StructureTypeStructure:
	case ua.StructureTypeStructureWithOptionalFields:
		all.optional = true
	case ua.StructureTypeUnion:
		all.kind = kindUnion
	case ua.StructureTypeStructureWithSubtypedValues:
		subtyped = true
	case ua.StructureTypeUnionWithSubtypedValues:
		all.kind, subtyped = kindUnion, true
	default:
		return
	}
	for _, f := range d.structure.Fields {
		if f == nil {
			return
		}
		of := l.typeOf(f.DataType)
		if of == nil {
			return // a member of which nothing is known: nothing after it can be read
		}
		all.fields = append(all.fields, field{
			name: f.Name, of: of, rank: f.ValueRank,
			optional: f.IsOptional && all.optional, subtypes: f.IsOptional && subtyped,
		})
	}
	*d.made = all
}
