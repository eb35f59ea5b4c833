package vqt

import (
	"fmt"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

// body reads the body of a structure by its encoding.
func (c *converter) body(encoding *ua.NodeID, body []byte, depth int) (tree, error) {
	if encoding != nil && encoding.Namespace() == 0 && encoding.IntID() == decimalType.IntID() {
		v, err := decimal(body)
		return leaf(v), err
	}
	of := c.types.encoded(encoding)
	switch {
	case of == nil:
		return tree{}, &UnknownTypeError{Encoding: encoding}
	case of.kind == kindOpaque:
		return tree{}, fmt.Errorf("a value of type %s (encoding %s) can't be stored as a signal: the server does not say what it is made of", of.name, encoding)
	}
	w := &wire{c: c, b: body}
	t := w.structure(of, depth)
	if w.err == nil && len(w.b) > 0 {
		w.fail(fmt.Errorf("%d bytes are left", len(w.b)))
	}
	if w.err != nil {
		return tree{}, fmt.Errorf("a value of type %s (encoding %s) is not as the server says: %w", of.name, encoding, w.err)
	}
	return t, nil
}

// value reads a value of a type that both sides know.
func (w *wire) value(of *Type, depth int) tree {
	if of.isStructure() {
		return w.structure(of, depth)
	}
	return w.builtin(of, depth)
}

// structure reads the members of a structure or union (OPC 10000-6, 5.2.6 to 5.2.8).
func (w *wire) structure(of *Type, depth int) tree {
	if err := w.c.take(); err != nil {
		w.fail(err)
	}
	switch {
	case w.err != nil:
		return tree{}
	case depth > maxNesting:
		w.fail(fmt.Errorf("nested deeper than %d", maxNesting))
		return tree{}
	case of.kind == kindOpaque:
		w.fail(fmt.Errorf("the server does not say what %s is made of", of.name))
		return tree{}
	case of.kind == kindUnion:
		return w.union(of, depth)
	}
	t := tree{members: make([]member, 0, len(of.fields))}
	var mask uint32
	if of.optional {
		mask = w.uint32()
	}
	bit := 0
	for i := range of.fields {
		f := &of.fields[i]
		there := true
		if of.optional && f.optional {
			there = mask>>bit&1 == 1
			bit++
		}
		t.members = append(t.members, w.member(f, there, depth))
	}
	return t
}

// union reads the number of the member that is there, from 1 on, and that one.
func (w *wire) union(of *Type, depth int) tree {
	chosen := int64(w.uint32())
	if chosen > int64(len(of.fields)) {
		w.fail(fmt.Errorf("the member %d of a union of %d", chosen, len(of.fields)))
		return tree{}
	}
	var t tree
	for i := range of.fields {
		t.members = append(t.members, w.member(&of.fields[i], int64(i)+1 == chosen, depth))
	}
	return t
}

func (w *wire) member(f *field, there bool, depth int) member {
	if w.err != nil {
		return member{name: f.name}
	}
	if !there {
		return w.absent(f)
	}
	return member{f.name, w.field(f, depth+1)}
}

// absent is a member that is not there. Its members are named where they become signals;
// in an array they are left out.
func (w *wire) absent(f *field) member {
	if w.inArray > 0 {
		return member{f.name, tree{absent: true}}
	}
	left := mes.MaxSignals
	m := f.nothing(nil, &left)
	if w.c.left -= mes.MaxSignals - left; w.c.left < 0 {
		w.fail(w.c.take())
	}
	return m
}

func (w *wire) field(f *field, depth int) tree {
	of := f.of
	if f.subtypes {
		of = builtinType(ua.TypeIDVariant)
		if f.of.isStructure() || f.of.builtin == ua.TypeIDExtensionObject {
			of = builtinType(ua.TypeIDExtensionObject)
		}
	}
	switch {
	case f.rank == -1:
		return w.value(of, depth)
	case f.rank == 1:
		t := w.array(w.elements(int(int32(w.uint32())), of, depth), nil)
		t.named = t.named || of.isNamed()
		return t
	case f.rank > 1:
		var dimensions []int32
		for range w.length() {
			dimensions = append(dimensions, int32(w.uint32()))
		}
		return w.matrix(of, dimensions, depth)
	}
	w.fail(fmt.Errorf("the member %s may have any dimensions (ValueRank %d)", f.name, f.rank))
	return tree{}
}

// matrix reads an array of more dimensions, whose lengths come first; there are no
// elements if one of them is 0 (OPC 10000-6, 5.2.5).
func (w *wire) matrix(of *Type, dimensions []int32, depth int) tree {
	n := int64(1)
	for _, d := range dimensions {
		if n *= int64(max(d, 0)); n > maxValues {
			w.fail(fmt.Errorf("an array of dimensions %v can't be stored", dimensions))
			return tree{}
		}
	}
	if len(dimensions) == 0 {
		n = 0
	}
	return w.array(w.elements(int(n), of, depth), dimensions)
}
