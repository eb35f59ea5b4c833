package explore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/vqt"
)

// attribute is one of OPC 10000-4, A.1.
type attribute struct {
	name string
	id   ua.AttributeID
}

// attributes are those that can be read, the value first.
func attributes() []attribute {
	return []attribute{
		{"Value", ua.AttributeIDValue}, {"NodeId", ua.AttributeIDNodeID}, {"NodeClass", ua.AttributeIDNodeClass},
		{"BrowseName", ua.AttributeIDBrowseName}, {"DisplayName", ua.AttributeIDDisplayName}, {"Description", ua.AttributeIDDescription},
		{"WriteMask", ua.AttributeIDWriteMask}, {"UserWriteMask", ua.AttributeIDUserWriteMask}, {"IsAbstract", ua.AttributeIDIsAbstract},
		{"Symmetric", ua.AttributeIDSymmetric}, {"InverseName", ua.AttributeIDInverseName}, {"ContainsNoLoops", ua.AttributeIDContainsNoLoops},
		{"EventNotifier", ua.AttributeIDEventNotifier}, {"DataType", ua.AttributeIDDataType}, {"ValueRank", ua.AttributeIDValueRank},
		{"ArrayDimensions", ua.AttributeIDArrayDimensions}, {"AccessLevel", ua.AttributeIDAccessLevel},
		{"UserAccessLevel", ua.AttributeIDUserAccessLevel}, {"MinimumSamplingInterval", ua.AttributeIDMinimumSamplingInterval},
		{"Historizing", ua.AttributeIDHistorizing}, {"Executable", ua.AttributeIDExecutable}, {"UserExecutable", ua.AttributeIDUserExecutable},
		{"DataTypeDefinition", ua.AttributeIDDataTypeDefinition}, {"RolePermissions", ua.AttributeIDRolePermissions},
		{"UserRolePermissions", ua.AttributeIDUserRolePermissions}, {"AccessRestrictions", ua.AttributeIDAccessRestrictions},
		{"AccessLevelEx", ua.AttributeIDAccessLevelEx},
	}
}

// Attributes names the attributes of nodes.
func Attributes() []string {
	var names []string
	for _, a := range attributes() {
		names = append(names, a.name)
	}
	return names
}

func attributeOf(name string) (attribute, error) {
	all := attributes()
	if name == "" {
		return all[0], nil
	}
	i := slices.IndexFunc(all, func(a attribute) bool { return strings.EqualFold(a.name, name) })
	if i < 0 {
		return attribute{}, mes.Errorf(mes.CodeInvalid, "%q is no attribute: one of %s", name, strings.Join(Attributes(), ", "))
	}
	return all[i], nil
}

// Read reads attributes of nodes. There is a result for each, in their order: a node that
// can't be read has its status. It fails if an attribute has no such name, or the server does
// not answer.
func (s *Session) Read(ctx context.Context, items []mes.UARead) ([]mes.UAValue, error) {
	results := make([]mes.UAValue, len(items))
	var reads []*ua.ReadValueID
	var places []int
	for i, item := range items {
		a, err := attributeOf(item.Attribute)
		if err != nil {
			return nil, err
		}
		results[i] = mes.UAValue{Node: item.Node, Attribute: a.name}
		n, err := s.Node(item.Node)
		if err != nil {
			results[i].Status, results[i].Detail = nodeFault(err), err.Error()
			continue
		}
		reads, places = append(reads, readOf(n, a.id)), append(places, i)
	}
	values, err := s.read(ctx, reads)
	if err != nil {
		return nil, served(err, "read")
	}
	for k, i := range places {
		s.fill(&results[i], values[k])
	}
	return results, nil
}

// nodeFault is the status of a node id that is none, or whose namespace is not there.
func nodeFault(err error) mes.UAStatus {
	if mes.ErrorCode(err) == mes.CodeNotFound {
		return status(ua.StatusBadNodeIDUnknown)
	}
	return status(ua.StatusBadNodeIDInvalid)
}

// fill takes over what the server says.
func (s *Session) fill(r *mes.UAValue, dv *ua.DataValue) {
	if dv == nil {
		r.Status, r.Detail = status(ua.StatusBadUnexpectedError), "the server gave no answer for it"
		return
	}
	v, err := vqt.Of(dv, nil)
	r.Status = status(ua.StatusCode(v.StatusCode))
	r.DataType = variantType(dv.Value)
	r.ServerTime = v.ServerTime
	if v.TimeOrigin == mes.TimeSource {
		r.SourceTime = v.Time
	}
	switch {
	case err != nil:
		r.Detail = err.Error()
	case r.Attribute == "DataType" || r.Attribute == "NodeId":
		r.Value = s.named(dv, shown(v))
	default:
		r.Value = shown(v)
	}
	if r.Attribute == "NodeClass" {
		if class, ok := content(dv).(int32); ok {
			r.Value = mes.String(className(ua.NodeClass(class)))
		}
	}
	if v.Overflow {
		r.Detail = "the server lost values before this one: its queue was full"
	}
	if isBad(dv.Status) && r.Detail == "" {
		r.Detail = meaning(dv.Status)
	}
}

// shown is a value; a structure is its text.
func shown(v vqt.VQT) mes.Value {
	if one := v.Value(); !one.IsNull() {
		return one
	}
	if text := v.String(); text != "" {
		return mes.String(text)
	}
	return mes.Value{}
}

// named shows a node id with the URI of its namespace.
func (s *Session) named(dv *ua.DataValue, otherwise mes.Value) mes.Value {
	if n, ok := content(dv).(*ua.NodeID); ok && n != nil {
		return mes.String(s.Name(n))
	}
	return otherwise
}

// valueOf shows a value that a method gave back.
func valueOf(v *ua.Variant) (mes.Value, error) {
	r, err := vqt.Of(&ua.DataValue{EncodingMask: ua.DataValueValue, Value: v}, nil)
	if err != nil {
		return mes.Value{}, fmt.Errorf("the value can't be shown: %w", err)
	}
	return shown(r), nil
}
