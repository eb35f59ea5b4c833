package vqt

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// fakeServer answers reads and browses of data types from a map.
type fakeServer struct {
	attributes map[string]map[ua.AttributeID]any
	// references are kept in forward direction: node, reference type, targets.
	references map[string]map[uint32][]*ua.NodeID
	// most is how many operations a call may have.
	most  int
	calls int
	fail  error
}

func newFakeServer() *fakeServer {
	return &fakeServer{attributes: map[string]map[ua.AttributeID]any{}, references: map[string]map[uint32][]*ua.NodeID{}, most: 1000}
}

func (f *fakeServer) set(n *ua.NodeID, a ua.AttributeID, v any) {
	if f.attributes[n.String()] == nil {
		f.attributes[n.String()] = map[ua.AttributeID]any{}
	}
	f.attributes[n.String()][a] = v
}

func (f *fakeServer) refer(from *ua.NodeID, by uint32, to *ua.NodeID) {
	if f.references[from.String()] == nil {
		f.references[from.String()] = map[uint32][]*ua.NodeID{}
	}
	f.references[from.String()][by] = append(f.references[from.String()][by], to)
}

// variable adds a variable of a data type.
func (f *fakeServer) variable(n, dataType *ua.NodeID, rank int32) {
	f.set(n, ua.AttributeIDDataType, dataType)
	f.set(n, ua.AttributeIDValueRank, rank)
}

// dataType adds a data type with its definition, or without.
func (f *fakeServer) dataType(n *ua.NodeID, name string, super uint32, definition any) {
	f.set(n, ua.AttributeIDBrowseName, &ua.QualifiedName{NamespaceIndex: 1, Name: name})
	f.set(n, ua.AttributeIDIsAbstract, false)
	if definition != nil {
		f.set(n, ua.AttributeIDDataTypeDefinition, ua.NewExtensionObject(definition))
	}
	f.refer(ua.NewNumericNodeID(0, super), id.HasSubtype, n)
}

func (f *fakeServer) Send(_ context.Context, req ua.Request, h func(ua.Response) error) error {
	f.calls++
	if f.fail != nil {
		return f.fail
	}
	switch r := req.(type) {
	case *ua.ReadRequest:
		if len(r.NodesToRead) > f.most {
			return ua.StatusBadTooManyOperations
		}
		res := &ua.ReadResponse{}
		for _, what := range r.NodesToRead {
			dv := &ua.DataValue{Status: ua.StatusBadAttributeIDInvalid}
			if v, ok := f.attributes[what.NodeID.String()][what.AttributeID]; ok {
				dv = dataValue(v)
			} else {
				dv.UpdateMask()
			}
			res.Results = append(res.Results, dv)
		}
		return h(res)
	case *ua.BrowseRequest:
		if len(r.NodesToBrowse) > f.most {
			return ua.StatusBadTooManyOperations
		}
		res := &ua.BrowseResponse{}
		for _, what := range r.NodesToBrowse {
			res.Results = append(res.Results, &ua.BrowseResult{References: f.follow(what)})
		}
		return h(res)
	default:
		return fmt.Errorf("no answer to a %T", req)
	}
}

func (f *fakeServer) follow(what *ua.BrowseDescription) []*ua.ReferenceDescription {
	var found []*ua.ReferenceDescription
	add := func(n *ua.NodeID) {
		name, _ := f.attributes[n.String()][ua.AttributeIDBrowseName].(*ua.QualifiedName)
		found = append(found, &ua.ReferenceDescription{NodeID: &ua.ExpandedNodeID{NodeID: n}, BrowseName: name})
	}
	by := what.ReferenceTypeID.IntID()
	if what.BrowseDirection == ua.BrowseDirectionForward {
		for _, n := range f.references[what.NodeID.String()][by] {
			add(n)
		}
		return found
	}
	for from, all := range f.references {
		for _, n := range all[by] {
			if n.String() == what.NodeID.String() {
				source, err := ua.ParseNodeID(from)
				if err != nil {
					panic(err)
				}
				add(source)
			}
		}
	}
	return found
}

func enumDefinition(names ...string) *ua.EnumDefinition {
	d := &ua.EnumDefinition{}
	for i, name := range names {
		d.Fields = append(d.Fields, &ua.EnumField{Value: int64(i), Name: name, DisplayName: ua.NewLocalizedText("shown " + name), Description: ua.NewLocalizedText("")})
	}
	return d
}

func structureDefinition(encoding *ua.NodeID, fields ...*ua.StructureField) *ua.StructureDefinition {
	return &ua.StructureDefinition{DefaultEncodingID: encoding, BaseDataType: ua.NewNumericNodeID(0, id.Structure), Fields: fields}
}

func structureField(name string, of *ua.NodeID, rank int32) *ua.StructureField {
	return &ua.StructureField{Name: name, DataType: of, ValueRank: rank, Description: ua.NewLocalizedText("")}
}

func node(i uint32) *ua.NodeID { return ua.NewNumericNodeID(1, i) }

// TestTypesAreLoaded: enumerations by definition and by both properties, option sets,
// aliases of built-in types, structures with nested ones, of a server that takes few
// operations a call.
func TestTypesAreLoaded(t *testing.T) {
	t.Parallel()
	s := newFakeServer()
	s.most = 2
	point, part, alias := node(100), node(101), node(102)
	s.dataType(node(110), "Defined", id.Enumeration, enumDefinition("A", "B"))
	s.dataType(node(111), "Strings", id.Enumeration, nil)
	s.set(node(211), ua.AttributeIDBrowseName, &ua.QualifiedName{Name: "EnumStrings"})
	s.set(node(211), ua.AttributeIDValue, []*ua.LocalizedText{ua.NewLocalizedText("Null"), ua.NewLocalizedText("Eins")})
	s.refer(node(111), id.HasProperty, node(211))
	s.dataType(node(112), "Values", id.Enumeration, nil)
	s.set(node(212), ua.AttributeIDBrowseName, &ua.QualifiedName{Name: "EnumValues"})
	s.set(node(212), ua.AttributeIDValue, []*ua.ExtensionObject{ua.NewExtensionObject(&ua.EnumValueType{
		Value: 1, DisplayName: ua.NewLocalizedText("Ten"), Description: ua.NewLocalizedText("")})})
	s.refer(node(112), id.HasProperty, node(212))
	s.dataType(node(113), "Bits", id.UInt16, enumDefinition("X", "Y", "Z"))
	s.dataType(node(114), "Sub", id.Enumeration, nil)
	s.dataType(alias, "Alias", id.Double, nil)
	s.dataType(point, "Point", id.Structure, structureDefinition(node(300), structureField("X", alias, -1), structureField("M", node(110), -1)))
	s.dataType(part, "Part", id.Structure, structureDefinition(node(301), structureField("At", point, -1), structureField("Set", node(113), 1),
		structureField("N", ua.NewNumericNodeID(0, id.Int32), -1), structureField("Again", part, 1)))
	s.dataType(node(120), "Silent", id.Structure, nil)
	s.set(node(302), ua.AttributeIDBrowseName, &ua.QualifiedName{Name: "Default Binary"})
	s.refer(node(120), id.HasEncoding, node(302))

	declared := map[uint32]*ua.NodeID{1: node(110), 2: node(111), 3: node(112), 4: node(113), 5: alias, 6: point, 7: part, 8: node(120), 9: node(114)}
	var all []*ua.NodeID
	for i, dataType := range declared {
		s.variable(node(i), dataType, -1)
		all = append(all, node(i))
	}
	types := NewTypes()
	if err := types.Load(t.Context(), s, all); err != nil {
		t.Fatal(err)
	}
	x := []byte{0, 0, 0, 0, 0, 0, 0xf8, 0x3f} // 1.5
	cases := map[string]struct {
		node  uint32
		value any
		want  string
	}{
		"by its definition":    {1, int32(1), `{"x":1,"x.text":"B"}`},
		"of a value unknown":   {1, int32(5), `{"x":5,"x.text":null}`},
		"by EnumStrings":       {2, int32(1), `{"x":1,"x.text":"Eins"}`},
		"by EnumValues":        {3, int32(1), `{"x":1,"x.text":"Ten"}`},
		"without names":        {9, int32(1), `{"x":1,"x.text":null}`},
		"an array":             {1, []int32{0, 1}, `{"x":[0,1],"x.text":["A","B"]}`},
		"an option set":        {4, uint16(5), `{"x":5,"x.text":["X","Z"]}`},
		"an alias":             {5, 1.5, `{"x":1.5}`},
		"a structure":          {6, extension(300, append(x, 1, 0, 0, 0)), `{"x.M":1,"x.M.text":"B","x.X":1.5}`},
		"a structure in it":    {7, extension(301, append(x, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 7, 0, 0, 0, 0, 0, 0, 0)), `{"x.Again":[],"x.At.M":1,"x.At.M.text":"B","x.At.X":1.5,"x.N":7,"x.Set":[2],"x.Set.text":[["Y"]]}`},
		"nothing of that type": {6, &ua.ExtensionObject{TypeID: ua.NewTwoByteExpandedNodeID(0)}, `{"x.M":null,"x.M.text":null,"x.X":null}`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, err := Of(dataValue(tc.value), types.Variable(node(tc.node)))
			if err != nil {
				t.Fatal(err)
			}
			if got := signalsJSON(t, &q, EnumBoth); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
	if _, err := Of(dataValue(extension(302, []byte{1})), types.Variable(node(8))); err == nil || errors.As(err, new(*UnknownTypeError)) {
		t.Errorf("a structure without a definition: %v", err)
	}
	s.most, s.calls = 1000, 0
	if err := types.Load(t.Context(), s, all); err != nil || s.calls > 3 {
		t.Errorf("what is known is asked again: %d calls, %v", s.calls, err)
	}
}

func extension(encoding uint32, body []byte) *ua.ExtensionObject {
	return &ua.ExtensionObject{EncodingMask: ua.ExtensionObjectBinary, TypeID: &ua.ExpandedNodeID{NodeID: node(encoding)}, Value: &Raw{Body: body}}
}

// signalsJSON are the signals as one object, in their order.
func signalsJSON(t *testing.T, q *VQT, form Enum) string {
	t.Helper()
	signals, err := q.Signals("x", "", form)
	if err != nil {
		t.Fatal(err)
	}
	b := []byte("{")
	for i, s := range signals {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, fmt.Sprintf("%q:", s.Name)...)
		b = s.Value.AppendJSON(b)
	}
	return string(append(b, '}'))
}

func TestFormsOfAnEnumeration(t *testing.T) {
	t.Parallel()
	types := NewTypes()
	known := &Variable{types: types, of: &Type{kind: kindEnum, builtin: ua.TypeIDInt32, texts: map[int64]string{1: "On"}}}
	for form, want := range map[Enum]string{EnumBoth: `{"x":1,"x.text":"On"}`, EnumNumber: `{"x":1}`, EnumText: `{"x":"On"}`} {
		q, err := Of(dataValue(int32(1)), known)
		if err != nil {
			t.Fatal(err)
		}
		if got := signalsJSON(t, &q, form); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	q, _ := Of(dataValue(int32(2)), known)
	if got := signalsJSON(t, &q, EnumText); got != `{"x":2}` {
		t.Errorf("a value without a name is %s", got)
	}
}

// TestEncodingIsLearnt: a value of a type that nobody declared is read once its encoding
// was asked for, and an encoding is asked for once.
func TestEncodingIsLearnt(t *testing.T) {
	t.Parallel()
	s := newFakeServer()
	encoding := node(400)
	s.dataType(node(140), "Late", id.Structure, structureDefinition(nil, structureField("A", ua.NewNumericNodeID(0, id.Byte), -1)))
	s.set(encoding, ua.AttributeIDBrowseName, &ua.QualifiedName{Name: "Default Binary"})
	s.refer(node(140), id.HasEncoding, encoding)
	types := NewTypes()
	value := dataValue(extension(400, []byte{7}))
	var unknown *UnknownTypeError
	if _, err := Of(value, types.Variable(node(1))); !errors.As(err, &unknown) || unknown.Lost {
		t.Fatalf("before: %v", err)
	}
	if news, err := types.Learn(t.Context(), s, unknown.Encoding, node(401)); !news || err != nil {
		t.Fatalf("learnt: %v, %v", news, err)
	}
	q, err := Of(value, types.Variable(node(1)))
	if err != nil || signalsJSON(t, &q, EnumBoth) != `{"x.A":7}` {
		t.Errorf("after: %s, %v", q.String(), err)
	}
	calls := s.calls
	if news, err := types.Learn(t.Context(), s, encoding, node(401)); news || err != nil || s.calls > calls {
		t.Errorf("asked again: %v, %v", news, err)
	}
	// The bytes of both are kept by the library from now on, known or not.
	for _, e := range []*ua.NodeID{encoding, node(401)} {
		head, err := (&ua.ExtensionObject{TypeID: &ua.ExpandedNodeID{NodeID: e}}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		head[len(head)-1] = ua.ExtensionObjectBinary
		var x ua.ExtensionObject
		if _, err := x.Decode(append(head, 2, 0, 0, 0, 8, 9)); err != nil {
			t.Fatal(err)
		}
		if raw, ok := x.Value.(*Raw); !ok || string(raw.Body) != "\x08\x09" {
			t.Errorf("%s: the library gives %#v", e, x.Value)
		}
	}
}

// TestValueTellsTheType of a variable of an abstract type, before it is subscribed to.
func TestValueTellsTheType(t *testing.T) {
	t.Parallel()
	for _, abstract := range []uint32{id.Structure, id.BaseDataType} {
		s := newFakeServer()
		s.dataType(node(140), "Found", id.Structure, structureDefinition(nil, structureField("A", ua.NewNumericNodeID(0, id.Byte), -1)))
		s.set(node(400), ua.AttributeIDBrowseName, &ua.QualifiedName{Name: "Default Binary"})
		s.refer(node(140), id.HasEncoding, node(400))
		s.variable(node(1), ua.NewNumericNodeID(0, abstract), -1)
		s.set(node(1), ua.AttributeIDValue, extension(400, []byte{7}))
		types := NewTypes()
		if err := types.Load(t.Context(), s, []*ua.NodeID{node(1)}); err != nil {
			t.Fatal(err)
		}
		q, err := Of(dataValue(extension(400, []byte{7})), types.Variable(node(1)))
		if err != nil || signalsJSON(t, &q, EnumBoth) != `{"x.A":7}` {
			t.Errorf("%d: %s, %v", abstract, q.String(), err)
		}
	}
}

// TestServerThatTellsNothing: types stay unknown, values are read as they come.
func TestServerThatTellsNothing(t *testing.T) {
	t.Parallel()
	s := newFakeServer()
	types := NewTypes()
	if err := types.Load(t.Context(), s, []*ua.NodeID{node(1)}); err != nil {
		t.Fatal(err)
	}
	if q, err := Of(dataValue(int32(1)), types.Variable(node(1))); err != nil || signalsJSON(t, &q, EnumBoth) != `{"x":1}` {
		t.Errorf("%s, %v", q.String(), err)
	}
	s.fail = ua.StatusBadUserAccessDenied
	if err := types.Load(t.Context(), s, []*ua.NodeID{node(2)}); !errors.Is(err, ua.StatusBadUserAccessDenied) {
		t.Errorf("a refusal is %v", err)
	}
}

// TestTypesWithoutEnd: a server that invents types for ever is left off.
func TestTypesWithoutEnd(t *testing.T) {
	t.Parallel()
	s := &endless{}
	types := NewTypes()
	if err := types.Load(t.Context(), s, []*ua.NodeID{node(1)}); err != nil {
		t.Fatal(err)
	}
	if len(types.byID) > maxTypes || s.calls > 10*maxRounds {
		t.Errorf("%d types by %d calls", len(types.byID), s.calls)
	}
}

// endless says of every data type that it has members of two others.
type endless struct {
	calls int
	next  uint32
}

func (e *endless) Send(_ context.Context, req ua.Request, h func(ua.Response) error) error {
	e.calls++
	switch r := req.(type) {
	case *ua.ReadRequest:
		res := &ua.ReadResponse{}
		for _, what := range r.NodesToRead {
			dv := dataValue(true)
			switch what.AttributeID {
			case ua.AttributeIDDataType:
				dv = dataValue(node(1_000_000))
			case ua.AttributeIDDataTypeDefinition:
				e.next += 2
				dv = dataValue(ua.NewExtensionObject(structureDefinition(node(3_000_000+e.next),
					structureField("A", node(1_000_000+e.next), -1), structureField("B", node(1_000_001+e.next), -1))))
			default:
			}
			res.Results = append(res.Results, dv)
		}
		return h(res)
	case *ua.BrowseRequest:
		return h(&ua.BrowseResponse{Results: make([]*ua.BrowseResult, len(r.NodesToBrowse))})
	}
	return nil
}

// TestStatesOfVariables: names that a variable itself has for its values.
func TestStatesOfVariables(t *testing.T) {
	t.Parallel()
	s := newFakeServer()
	property := func(of, n uint32, name string, value any) {
		s.set(node(n), ua.AttributeIDBrowseName, &ua.QualifiedName{Name: name})
		s.set(node(n), ua.AttributeIDValue, value)
		s.refer(node(of), id.HasProperty, node(n))
	}
	s.variable(node(1), ua.NewNumericNodeID(0, id.UInteger), -1)
	property(1, 11, "EnumStrings", []*ua.LocalizedText{ua.NewLocalizedText("Aus"), ua.NewLocalizedText("Ein")})
	s.variable(node(2), ua.NewNumericNodeID(0, id.Boolean), -1)
	property(2, 21, "TrueState", ua.NewLocalizedText("Open"))
	property(2, 22, "FalseState", ua.NewLocalizedText("Closed"))
	s.variable(node(3), ua.NewNumericNodeID(0, id.Int16), -1)
	property(3, 31, "EngineeringUnits", ua.NewExtensionObject(&ua.EUInformation{}))
	types := NewTypes()
	if err := types.Load(t.Context(), s, []*ua.NodeID{node(1), node(2), node(3)}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		node  uint32
		value any
		want  string
	}{
		{1, uint32(1), `{"x":1,"x.text":"Ein"}`},
		{1, uint32(9), `{"x":9,"x.text":null}`},
		{2, true, `{"x":true,"x.text":"Open"}`},
		{2, false, `{"x":false,"x.text":"Closed"}`},
		{3, int16(1), `{"x":1}`},
	} {
		q, err := Of(dataValue(tc.value), types.Variable(node(tc.node)))
		if err != nil || signalsJSON(t, &q, EnumBoth) != tc.want {
			t.Errorf("%v: %s, want %s (%v)", tc.value, signalsJSON(t, &q, EnumBoth), tc.want, err)
		}
	}
}
