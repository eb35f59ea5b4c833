package vqt

import (
	"context"
	"fmt"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// Bounds of what is read of a server's types in one session.
const (
	// maxTypes bounds how many data types are known.
	maxTypes = 4096
	// maxRounds bounds how deep they refer to one another.
	maxRounds = 64
)

// Load reads what the server says of the data types of variables: in a few calls for all
// of them, and only what is not known yet. What the server does not tell stays unknown.
// An error means that the session or the service failed.
func (t *Types) Load(ctx context.Context, s Server, variables []*ua.NodeID) error {
	var ask []*ua.ReadValueID
	for _, v := range variables {
		ask = append(ask, attribute(v, ua.AttributeIDDataType))
	}
	answers, err := read(ctx, s, ask)
	if err != nil {
		return fmt.Errorf("read the data types of the nodes: %w", err)
	}
	of := make([]*ua.NodeID, len(variables))
	var types []*ua.NodeID
	for i := range variables {
		if of[i], _ = good(answers[i]).(*ua.NodeID); of[i] != nil {
			types = append(types, of[i])
		}
	}
	if err := t.learnTypes(ctx, s, types); err != nil {
		return err
	}
	found := t.declare(variables, of)
	if err := t.askRanks(ctx, s, found.structures); err != nil {
		return err
	}
	if err := t.askStates(ctx, s, found.discrete); err != nil {
		return err
	}
	return t.learnValues(ctx, s, found.abstract)
}

// declared are variables of which more is to be asked.
type declared struct {
	structures []*ua.NodeID
	// discrete may have names for their values, as MultiStateDiscrete have.
	discrete []*ua.NodeID
	// abstract are those of which a value itself tells the type.
	abstract []*ua.NodeID
}

// declare notes the types of variables.
func (t *Types) declare(variables, types []*ua.NodeID) (found declared) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, node := range variables {
		v := &Variable{types: t}
		t.variables[node.String()] = v
		if types[i] == nil {
			continue
		}
		if isStandardBuiltin(types[i]) {
			b, _ := standardBuiltin(types[i].IntID())
			v.of = builtinType(b)
		} else {
			v.of = t.byID[types[i].String()]
		}
		switch {
		case v.of == nil:
		case v.of.isStructure():
			found.structures = append(found.structures, node)
		case isAbstractNumber(types[i]) || v.of.kind == kindBuiltin && v.of.builtin >= ua.TypeIDBoolean && v.of.builtin <= ua.TypeIDUint64:
			found.discrete = append(found.discrete, node)
		case v.of.builtin == ua.TypeIDVariant || v.of.builtin == ua.TypeIDExtensionObject:
			found.abstract = append(found.abstract, node)
		}
	}
	return found
}

// isAbstractNumber tells whether a data type is that of any whole number.
func isAbstractNumber(n *ua.NodeID) bool {
	return n.Namespace() == 0 && (n.IntID() == id.Integer || n.IntID() == id.UInteger || n.IntID() == id.Number)
}

// askRanks asks which of the variables that are structures are never an array of them.
func (t *Types) askRanks(ctx context.Context, s Server, variables []*ua.NodeID) error {
	var ask []*ua.ReadValueID
	for _, v := range variables {
		ask = append(ask, attribute(v, ua.AttributeIDValueRank))
	}
	answers, err := read(ctx, s, ask)
	if err != nil {
		return fmt.Errorf("read the dimensions of the nodes: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, node := range variables {
		if rank, ok := good(answers[i]).(int32); ok && rank == -1 {
			v := *t.variables[node.String()]
			v.scalar = true
			t.variables[node.String()] = &v
		}
	}
	return nil
}

// learnValues reads variables of abstract types once, for the encodings of their values.
func (t *Types) learnValues(ctx context.Context, s Server, variables []*ua.NodeID) error {
	answers, err := ReadValues(ctx, s, variables...)
	if err != nil {
		return fmt.Errorf("read the values of nodes of abstract data types: %w", err)
	}
	var encodings []*ua.NodeID
	for _, dv := range answers {
		if dv == nil || dv.Value == nil {
			continue
		}
		list := []*ua.ExtensionObject{}
		switch x := dv.Value.Value().(type) {
		case *ua.ExtensionObject:
			list = append(list, x)
		case []*ua.ExtensionObject:
			list = x
		}
		for _, x := range list {
			if x != nil && x.TypeID != nil && x.EncodingMask == ua.ExtensionObjectBinary {
				encodings = append(encodings, x.TypeID.NodeID)
			}
		}
	}
	_, err = t.Learn(ctx, s, encodings...)
	return err
}

// Learn reads the types of encodings, so that later values of them can be read, and tells
// whether anything is known now that was not. What was asked for in vain is not asked
// again.
func (t *Types) Learn(ctx context.Context, s Server, encodings ...*ua.NodeID) (news bool, err error) {
	unknown := t.unasked(encodings)
	if len(unknown) == 0 {
		return false, nil
	}
	for _, e := range unknown {
		keepRaw(e) // the bytes, whatever becomes of the type
	}
	found, err := browse(ctx, s, unknown, id.HasEncoding, ua.BrowseDirectionInverse)
	if err != nil {
		return false, fmt.Errorf("look for the data types of encodings: %w", err)
	}
	types := make([]*ua.NodeID, len(unknown))
	var known []*ua.NodeID
	for i := range unknown {
		for _, r := range found[i] {
			if n := target(r); n != nil {
				types[i] = n
				known = append(known, n)
			}
		}
	}
	if err := t.learnTypes(ctx, s, known); err != nil {
		return false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, e := range unknown {
		if types[i] != nil && t.byEncoding[e.String()] == nil {
			t.byEncoding[e.String()] = t.byID[types[i].String()]
		}
	}
	return true, nil
}

// unasked returns the encodings that nothing is known of and that were not asked for yet,
// and notes them.
func (t *Types) unasked(encodings []*ua.NodeID) []*ua.NodeID {
	var unknown []*ua.NodeID
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range encodings {
		if e == nil || len(t.byEncoding) >= maxTypes || libraryType(e) != nil {
			continue
		}
		if _, asked := t.byEncoding[e.String()]; !asked {
			t.byEncoding[e.String()] = nil
			unknown = append(unknown, e)
		}
	}
	return unknown
}

// learnTypes reads data types, and those that they refer to, level by level.
func (t *Types) learnTypes(ctx context.Context, s Server, types []*ua.NodeID) error {
	l := &loading{of: t, found: map[string]*declaration{}}
	l.want(types...)
	for round := 0; len(l.next) > 0 && round < maxRounds; round++ {
		part := l.next
		l.next = nil
		if err := l.ask(ctx, s, part); err != nil {
			return err
		}
		for _, d := range part {
			l.want(d.super)
			for _, f := range d.fields() {
				if f != nil {
					l.want(f.DataType)
				}
			}
		}
	}
	if err := l.askTexts(ctx, s); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l.link()
	return nil
}

// declaration is what a server says of a data type.
type declaration struct {
	id        *ua.NodeID
	name      string
	abstract  bool
	structure *ua.StructureDefinition
	enum      *ua.EnumDefinition
	super     *ua.NodeID
	encodings []*ua.NodeID
	texts     map[int64]string
	// made is the type that it became.
	made *Type
}

func (d *declaration) fields() []*ua.StructureField {
	if d.structure == nil {
		return nil
	}
	return d.structure.Fields
}

// loading collects declarations.
type loading struct {
	// of are the types that are known already.
	of    *Types
	found map[string]*declaration
	next  []*declaration
}

// want notes data types to be asked for.
func (l *loading) want(types ...*ua.NodeID) {
	l.of.mu.RLock()
	defer l.of.mu.RUnlock()
	for _, n := range types {
		if n == nil || isStandardBuiltin(n) {
			continue
		}
		key := n.String()
		if _, known := l.of.byID[key]; known || l.found[key] != nil || len(l.of.byID)+len(l.found) >= maxTypes {
			continue
		}
		l.found[key] = &declaration{id: n}
		l.next = append(l.next, l.found[key])
	}
}

func isStandardBuiltin(n *ua.NodeID) bool {
	if n.Namespace() != 0 {
		return false
	}
	_, ok := standardBuiltin(n.IntID())
	return ok
}

// ask reads the declarations of data types: their definition (OPC 10000-3, 5.8.3), what
// they are a subtype of, and their encodings.
func (l *loading) ask(ctx context.Context, s Server, part []*declaration) error {
	var nodes []*ua.NodeID
	var attributes []*ua.ReadValueID
	for _, d := range part {
		nodes = append(nodes, d.id)
		attributes = append(attributes, attribute(d.id, ua.AttributeIDBrowseName),
			attribute(d.id, ua.AttributeIDIsAbstract), attribute(d.id, ua.AttributeIDDataTypeDefinition))
	}
	answers, err := read(ctx, s, attributes)
	if err != nil {
		return fmt.Errorf("read the definitions of data types: %w", err)
	}
	supers, err := browse(ctx, s, nodes, id.HasSubtype, ua.BrowseDirectionInverse)
	if err != nil {
		return fmt.Errorf("look for the base of data types: %w", err)
	}
	encodings, err := browse(ctx, s, nodes, id.HasEncoding, ua.BrowseDirectionForward)
	if err != nil {
		return fmt.Errorf("look for the encodings of data types: %w", err)
	}
	for i, d := range part {
		if name, ok := good(answers[3*i]).(*ua.QualifiedName); ok && name != nil {
			d.name = name.Name
		}
		d.abstract, _ = good(answers[3*i+1]).(bool)
		if x, ok := good(answers[3*i+2]).(*ua.ExtensionObject); ok && x != nil {
			d.structure, _ = x.Value.(*ua.StructureDefinition)
			d.enum, _ = x.Value.(*ua.EnumDefinition)
		}
		for _, r := range supers[i] {
			if n := target(r); n != nil {
				d.super = n
			}
		}
		if d.super == nil && d.structure != nil {
			d.super = d.structure.BaseDataType
		}
		for _, r := range encodings[i] {
			if n := target(r); n != nil && r.BrowseName != nil && r.BrowseName.Name == "Default Binary" {
				d.encodings = append(d.encodings, n)
			}
		}
		if d.structure != nil && d.structure.DefaultEncodingID != nil && (d.structure.DefaultEncodingID.Namespace() != 0 || d.structure.DefaultEncodingID.IntID() != 0) {
			d.encodings = append(d.encodings, d.structure.DefaultEncodingID)
		}
	}
	return nil
}

// askTexts reads the names of enumerations of servers that have no definitions of them:
// the property EnumStrings, or EnumValues (OPC 10000-3, 5.8.3).
func (l *loading) askTexts(ctx context.Context, s Server) error {
	var enums []*declaration
	var nodes []*ua.NodeID
	l.of.mu.RLock()
	for _, d := range l.found {
		if d.enum == nil && d.structure == nil && l.base(d, 0) == ua.TypeIDInt32 {
			enums = append(enums, d)
			nodes = append(nodes, d.id)
		}
	}
	l.of.mu.RUnlock()
	found, err := properties(ctx, s, nodes, enumStrings, enumValues)
	if err != nil {
		return fmt.Errorf("read the names of enumerations: %w", err)
	}
	for i, d := range enums {
		d.texts = enumTexts(found[i])
	}
	return nil
}
