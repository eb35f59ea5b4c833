package sim

import (
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/server"
	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uasc"
)

// The object whose method sets MyStoredVariable, and gives back what it held before.
const (
	Folder    = "ns=1;s=Objects/MyFolder"
	SetStored = "ns=1;s=Objects/MyFolder/SetStored"
)

// addMethod adds SetStored with the description of its arguments.
func addMethod(ns *server.NodeNameSpace, folder *server.Node) {
	method := server.NewNode(ua.NewStringNodeID(ns.ID(), "Objects/MyFolder/SetStored"), server.Attributes{
		ua.AttributeIDExecutable:     server.DataValueFromValue(true),
		ua.AttributeIDUserExecutable: server.DataValueFromValue(true),
	}, nil, nil)
	method.SetNodeClass(ua.NodeClassMethod)
	method.SetBrowseName("SetStored")
	method.SetDisplayName("SetStored", "")
	method = ns.AddNode(method)
	folder.AddRef(method, server.RefTypeIDHasComponent, true)
	for property, argument := range map[string]string{"InputArguments": "Value", "OutputArguments": "Previous"} {
		list := []*ua.ExtensionObject{ua.NewExtensionObject(&ua.Argument{
			Name: argument, DataType: ua.NewNumericNodeID(0, id.Int32), ValueRank: -1, Description: &ua.LocalizedText{},
		})}
		node := server.NewVariableNode(ua.NewStringNodeID(ns.ID(), "Objects/MyFolder/SetStored/"+property), property, list)
		node = ns.AddNode(node)
		_ = node.SetAttribute(ua.AttributeIDBrowseName, server.DataValueFromValue(&ua.QualifiedName{Name: property}))
		_ = node.SetAttribute(ua.AttributeIDDataType, server.DataValueFromValue(ua.NewNumericNodeID(0, id.Argument)))
		method.AddRef(node, id.HasProperty, true)
	}
}

// call takes the place of the library's handler, which knows no methods.
func (s *Server) call(_ *uasc.SecureChannel, r ua.Request, _ uint32) (ua.Response, error) {
	req, ok := r.(*ua.CallRequest)
	if !ok {
		return nil, ua.StatusBadRequestTypeInvalid
	}
	if s.noCalls.Load() {
		return nil, ua.StatusBadServiceUnsupported
	}
	results := make([]*ua.CallMethodResult, len(req.MethodsToCall))
	for i, m := range req.MethodsToCall {
		results[i] = &ua.CallMethodResult{
			InputArgumentResults: []ua.StatusCode{}, InputArgumentDiagnosticInfos: []*ua.DiagnosticInfo{}, OutputArguments: []*ua.Variant{},
		}
		s.callOne(m, results[i])
	}
	return &ua.CallResponse{
		ResponseHeader: &ua.ResponseHeader{
			Timestamp:          time.Now(),
			RequestHandle:      req.RequestHeader.RequestHandle,
			ServiceDiagnostics: &ua.DiagnosticInfo{},
			StringTable:        []string{},
			AdditionalHeader:   ua.NewExtensionObject(nil),
		},
		Results:         results,
		DiagnosticInfos: []*ua.DiagnosticInfo{},
	}, nil
}

func (s *Server) callOne(m *ua.CallMethodRequest, result *ua.CallMethodResult) {
	switch {
	case m == nil || m.MethodID == nil || m.MethodID.String() != SetStored:
		result.StatusCode = ua.StatusBadMethodInvalid
		return
	case m.ObjectID == nil || m.ObjectID.String() != Folder:
		result.StatusCode = ua.StatusBadNodeIDUnknown
		return
	case len(m.InputArguments) != 1:
		result.StatusCode = ua.StatusBadArgumentsMissing
		return
	}
	value, ok := m.InputArguments[0].Value().(int32)
	if !ok {
		result.StatusCode = ua.StatusBadInvalidArgument
		result.InputArgumentResults = []ua.StatusCode{ua.StatusBadTypeMismatch}
		return
	}
	previous, nodeID := s.plant.swap(value)
	s.notify.reread(nodeID)
	result.InputArgumentResults = []ua.StatusCode{ua.StatusOK}
	result.OutputArguments = []*ua.Variant{ua.MustVariant(previous)}
}

// swap stores a value and returns the one before.
func (p *plant) swap(value int32) (previous int32, nodeID *ua.NodeID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.byID["Objects/MyFolder/MyStoredVariable"]
	previous, _ = v.value.(int32)
	v.value, v.time = value, p.now()
	return previous, v.nodeID
}
