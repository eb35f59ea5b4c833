package explore

import (
	"context"
	"fmt"
	"strings"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

// Argument is an argument of a method.
type Argument struct {
	Name string
	Type Type
}

// plannedCall is a call whose arguments are made.
type plannedCall struct {
	object, method *ua.NodeID
	arguments      []*ua.Variant
	outputs        []*ua.Argument
	result         mes.UACalled
	known          bool
}

// argumentsOf reads the arguments of a method: its properties InputArguments and
// OutputArguments, which a method without arguments has not (OPC 10000-3, 5.7).
func (s *Session) argumentsOf(ctx context.Context, method *ua.NodeID) (in, out []*ua.Argument, err error) {
	properties, err := s.properties(ctx, method)
	if err != nil {
		return nil, nil, err
	}
	for name, list := range map[string]*[]*ua.Argument{"InputArguments": &in, "OutputArguments": &out} {
		n := properties[name]
		if n == nil {
			continue
		}
		values, err := s.read(ctx, []*ua.ReadValueID{readOf(n, ua.AttributeIDValue)})
		if err != nil {
			return nil, nil, served(err, "read the arguments of "+s.Name(method))
		}
		objects, _ := content(values[0]).([]*ua.ExtensionObject)
		for _, o := range objects {
			a, ok := extension(o).(*ua.Argument)
			if !ok || a.DataType == nil {
				return nil, nil, mes.Errorf(mes.CodeUnavailable, "the server does not tell the arguments of %s", s.Name(method))
			}
			*list = append(*list, a)
		}
	}
	return in, out, nil
}

// Arguments tells what a method takes.
func (s *Session) Arguments(ctx context.Context, method *ua.NodeID) ([]Argument, error) {
	in, _, err := s.argumentsOf(ctx, method)
	if err != nil {
		return nil, err
	}
	list := make([]Argument, len(in))
	for i, a := range in {
		if list[i].Type, err = s.valueType(ctx, a.DataType, a.ValueRank, a.ArrayDimensions, nil, ""); err != nil {
			return nil, err
		}
		list[i].Name = a.Name
	}
	return list, nil
}

// planCall reads what a method takes, and makes its arguments. fault is that of the
// arguments.
func (s *Session) planCall(ctx context.Context, call mes.UACall, values []Value) (p plannedCall, fault, err error) {
	p.result = mes.UACalled{Object: call.Object, Method: call.Method, Outcome: mes.UARefused, Outputs: []mes.UAArgument{}}
	for _, named := range []struct {
		text string
		node **ua.NodeID
	}{{call.Object, &p.object}, {call.Method, &p.method}} {
		if *named.node, err = s.Node(named.text); err != nil {
			p.result.UAStatus, p.result.Detail = nodeFault(err), err.Error()
			return p, nil, nil
		}
	}
	in, out, err := s.argumentsOf(ctx, p.method)
	if mes.ErrorCode(err) == mes.CodeNotFound {
		p.result.UAStatus, p.result.Detail = status(ua.StatusBadMethodInvalid), err.Error()
		return p, nil, nil
	}
	if err != nil {
		return p, nil, err
	}
	p.outputs = out
	types := make([]Argument, len(in))
	for i, a := range in {
		types[i].Name = a.Name
		if types[i].Type, err = s.valueType(ctx, a.DataType, a.ValueRank, a.ArrayDimensions, nil, ""); err != nil {
			return p, nil, err
		}
	}
	if len(values) != len(types) {
		return p, fmt.Errorf("the method takes %s, not %d", takes(types), len(values)), nil
	}
	for i, value := range values {
		v, err := value(types[i].Type)
		if err != nil {
			return p, fmt.Errorf("argument %s: %w", types[i].Name, err), nil
		}
		p.arguments = append(p.arguments, v)
	}
	p.known = true
	return p, nil, nil
}

func takes(types []Argument) string {
	if len(types) == 0 {
		return "no arguments"
	}
	var names []string
	for _, a := range types {
		names = append(names, a.Name+" ("+a.Type.String()+")")
	}
	if len(types) == 1 {
		return "one argument, " + names[0]
	}
	return fmt.Sprintf("%d arguments, %s", len(types), strings.Join(names, ", "))
}

// call calls what is planned, and tells whether the session is of no use any more.
func (s *Session) call(ctx context.Context, p *plannedCall) (isBroken bool) {
	if !p.known {
		return false
	}
	r := &p.result
	res, err := s.client.Call(ctx, &ua.CallMethodRequest{ObjectID: p.object, MethodID: p.method, InputArguments: p.arguments})
	if err == nil && res == nil {
		err = fmt.Errorf("the server gave no result")
	}
	if err != nil {
		r.Outcome, r.UAStatus, r.Detail = failed(err)
		return !isAnswer(err)
	}
	r.Outcome, r.UAStatus, r.Detail = outcome(res.StatusCode)
	for _, code := range res.InputArgumentResults {
		r.ArgumentStatus = append(r.ArgumentStatus, status(code))
	}
	for i, v := range res.OutputArguments {
		out := mes.UAArgument{Name: fmt.Sprintf("output %d", i+1), DataType: variantType(v)}
		if i < len(p.outputs) && p.outputs[i].Name != "" {
			out.Name = p.outputs[i].Name
		}
		if out.Value, err = valueOf(v); err != nil {
			out.Detail = err.Error()
		}
		r.Outputs = append(r.Outputs, out)
	}
	return false
}

// Call converts arguments to the types that the server tells, and calls a method of an
// object. The error is of CodeInvalid if the arguments do not fit; then nothing was called.
func (s *Session) Call(ctx context.Context, call mes.UACall, values []Value) (mes.UACalled, error) {
	p, fault, err := s.planCall(ctx, call, values)
	if err != nil {
		return p.result, err
	}
	if fault != nil {
		return p.result, mes.Errorf(mes.CodeInvalid, "%s", fault.Error())
	}
	s.call(ctx, &p)
	return p.result, nil
}
