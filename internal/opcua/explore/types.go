package explore

import (
	"context"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

// maxSupertypes bounds the way from a data type up to one of the standard.
const maxSupertypes = 20

// dataType is what is known of a data type.
type dataType struct {
	name    string
	builtIn ua.TypeID
	choices []ua.TypeID
	enum    []EnumValue
	fault   string
}

// typeName names a data type; one that the server does not tell has its node id.
func (s *Session) typeName(ctx context.Context, t *ua.NodeID) string {
	if t.Namespace() == 0 {
		return standardName(t, nil)
	}
	d, err := s.dataType(ctx, t)
	if err != nil || d.name == "" {
		return s.Name(t)
	}
	return d.name
}

// dataType finds how values of a data type go over the wire: by its supertypes, up to one
// that the standard defines. What was found stays known for the session.
func (s *Session) dataType(ctx context.Context, t *ua.NodeID) (dataType, error) {
	key := t.String()
	s.mu.Lock()
	d, ok := s.types[key]
	s.mu.Unlock()
	if ok {
		return d, nil
	}
	d, err := s.askType(ctx, t)
	if err != nil {
		return d, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.types[key] = d
	return d, nil
}

func (s *Session) askType(ctx context.Context, t *ua.NodeID) (dataType, error) {
	d := dataType{name: standardName(t, s.client.Namespaces())}
	if t.Namespace() != 0 {
		values, err := s.read(ctx, []*ua.ReadValueID{readOf(t, ua.AttributeIDBrowseName)})
		if err != nil {
			return d, served(err, "read the data type "+s.Name(t))
		}
		if name, ok := content(values[0]).(*ua.QualifiedName); ok && name != nil && name.Name != "" {
			d.name = name.Name
		}
	}
	for at, i := t, 0; i < maxSupertypes; i++ {
		if d.settle(at) {
			break
		}
		up, err := s.follow(ctx, &ua.BrowseDescription{
			NodeID: at, BrowseDirection: ua.BrowseDirectionInverse, ReferenceTypeID: ua.NewNumericNodeID(0, id.HasSubtype),
			IncludeSubtypes: true, ResultMask: uint32(ua.BrowseResultMaskAll),
		})
		if err != nil && mes.ErrorCode(err) == mes.CodeUnavailable {
			return d, err
		}
		if err != nil || len(up) == 0 {
			d.fault = "the server does not tell how it is encoded"
			break
		}
		at = up[0].NodeID.NodeID
	}
	if d.builtIn == ua.TypeIDInt32 && d.enum != nil {
		var err error
		d.enum, err = s.enumValues(ctx, t)
		return d, err
	}
	return d, nil
}

// settle takes what the standard says of a data type, and tells whether that is all.
func (d *dataType) settle(t *ua.NodeID) bool {
	if t.Namespace() != 0 || t.StringID() != "" {
		return false
	}
	n := t.IntID()
	switch choices, abstract := abstractTypes()[n]; {
	case abstract:
		d.choices = choices
	case n == id.Enumeration:
		d.builtIn, d.enum = ua.TypeIDInt32, []EnumValue{}
	case n == id.Structure:
		d.fault = "it is a structure"
	case n == id.DataValue || n == id.DiagnosticInfo:
		d.fault = "it has no text form"
	default:
		if _, known := builtInOf(ua.TypeID(n)); n > 25 || !known {
			return false
		}
		d.builtIn = ua.TypeID(n)
	}
	return true
}

// enumValues reads the texts of an enumeration, nil where the server tells none. They
// stand in a property, EnumStrings or EnumValues (OPC 10000-3, 8.14).
func (s *Session) enumValues(ctx context.Context, t *ua.NodeID) ([]EnumValue, error) {
	properties, err := s.properties(ctx, t)
	if err != nil {
		return nil, err
	}
	var list []EnumValue
	for _, name := range []string{"EnumValues", "EnumStrings"} {
		n := properties[name]
		if n == nil {
			continue
		}
		values, err := s.read(ctx, []*ua.ReadValueID{readOf(n, ua.AttributeIDValue)})
		if err != nil {
			return nil, served(err, "read the texts of "+s.Name(t))
		}
		switch v := content(values[0]).(type) {
		case []*ua.ExtensionObject:
			for _, o := range v {
				if e, ok := extension(o).(*ua.EnumValueType); ok && e.DisplayName != nil {
					list = append(list, EnumValue{e.Value, e.DisplayName.Text})
				}
			}
		case []*ua.LocalizedText:
			for i, text := range v {
				if text != nil {
					list = append(list, EnumValue{int64(i), text.Text})
				}
			}
		}
		if list != nil {
			break
		}
	}
	return list, nil
}

func extension(o *ua.ExtensionObject) any {
	if o == nil {
		return nil
	}
	return o.Value
}

// properties are those of a node by their browse names.
func (s *Session) properties(ctx context.Context, n *ua.NodeID) (map[string]*ua.NodeID, error) {
	references, err := s.follow(ctx, &ua.BrowseDescription{
		NodeID: n, BrowseDirection: ua.BrowseDirectionForward, ReferenceTypeID: ua.NewNumericNodeID(0, id.HasProperty),
		IncludeSubtypes: true, ResultMask: uint32(ua.BrowseResultMaskAll),
	})
	if err != nil {
		return nil, err
	}
	found := map[string]*ua.NodeID{}
	for _, r := range references {
		if r.BrowseName != nil && r.BrowseName.NamespaceIndex == 0 {
			found[r.BrowseName.Name] = r.NodeID.NodeID
		}
	}
	return found, nil
}

// valueType is the type of values of a data type, rank and dimensions. present is a value
// of it, which tells what an abstract type is now; it may be nil. named is a built-in type
// that the caller names for an abstract one; "" is none.
func (s *Session) valueType(ctx context.Context, dataType *ua.NodeID, rank int32, dimensions []uint32, present *ua.Variant, named string) (Type, error) {
	d, err := s.dataType(ctx, dataType)
	if err != nil {
		return Type{}, err
	}
	t := Type{
		Name: d.name, BuiltIn: d.builtIn, Choices: d.choices, Rank: rank, Dimensions: dimensions, Enum: d.enum, Unwritable: d.fault,
		namespaces: s.client.Namespaces(),
	}
	if named != "" {
		return t, t.name(named)
	}
	if t.Choices != nil && present != nil {
		if _, ok := builtInOf(present.Type()); ok {
			t.BuiltIn = present.Type()
			t.Name = typeIDName(t.BuiltIn)
		}
	}
	return t, nil
}

// name makes an abstract type one that the caller names.
func (t *Type) name(named string) error {
	b, ok := builtInNamed(named)
	if !ok {
		return mes.Errorf(mes.CodeInvalid, "%q is no data type: one of %s", named, builtInNames())
	}
	for _, c := range t.Choices {
		if c == b.id {
			t.BuiltIn, t.Name = b.id, b.name
			return nil
		}
	}
	if t.BuiltIn == b.id {
		return nil
	}
	return mes.Errorf(mes.CodeInvalid, "the variable's data type is %s, not %s", t.Name, b.name)
}
