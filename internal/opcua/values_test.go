package opcua

import (
	"context"
	"testing"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/vqt"
)

func oneBinding() *binding {
	return &binding{
		connection: "line1", siteID: "main", machineID: "M001", dataType: mes.Telemetry,
		signal: "x", nodeID: "ns=1;s=x",
		convert: conversion{status: map[string]mes.Status{"1": mes.Running, "true": mes.Idle}},
	}
}

func dataValue(v any) *ua.DataValue {
	dv := &ua.DataValue{Value: ua.MustVariant(v)}
	dv.UpdateMask()
	return dv
}

func TestMappedStatus(t *testing.T) {
	t.Parallel()
	bad := dataValue(int32(1))
	bad.Status = ua.StatusBadSensorFailure
	bad.UpdateMask()
	cases := map[string]struct {
		in   *ua.DataValue
		want mes.Status
	}{
		"number":         {dataValue(int32(1)), mes.Running},
		"double":         {dataValue(1.0), mes.Running},
		"boolean":        {dataValue(true), mes.Idle},
		"not in the map": {dataValue(int32(9)), ""},
		"bad quality":    {bad, ""},
		"no value":       {&ua.DataValue{}, ""},
		"nothing":        {nil, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := oneBinding().record(tc.in, nil, time.Now())
			if r.Status != tc.want || len(r.Signals) != 1 {
				t.Errorf("status %q with %d signals, want %q with the signal kept", r.Status, len(r.Signals), tc.want)
			}
		})
	}
}

func TestFirstNotificationThatSaysNothingNew(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)
	n := &node{binding: *oneBinding()}
	says := func(v any, source time.Time) bool {
		dv := dataValue(v)
		dv.SourceTimestamp = source
		dv.UpdateMask()
		r := n.record(dv, nil, at)
		return n.repeats(&r)
	}
	n.begin()
	if says(int32(1), time.Time{}) {
		t.Error("the very first value is held to be known")
	}
	if says(int32(1), time.Time{}) {
		t.Error("an equal value within a session is held to be known")
	}
	n.begin()
	if !says(int32(1), time.Time{}) {
		t.Error("an equal value without source time is new after a reconnect")
	}
	n.begin()
	if says(int32(2), time.Time{}) {
		t.Error("another value is held to be known")
	}
	n.begin()
	if says(int32(2), at) {
		t.Error("a value with source time is left out; its identity decides")
	}
}

// TestRecordSaysAllOfTheValue: time, quality and fault of a value are those of its record.
func TestRecordSaysAllOfTheValue(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 10, 15, 0, 123_456_700, time.UTC)
	dv := dataValue(int32(1))
	dv.Status, dv.SourceTimestamp, dv.ServerTimestamp = 0x40900580, at, at.Add(time.Second)
	dv.UpdateMask()
	r := oneBinding().record(dv, nil, at.Add(2*time.Second))
	if r.Time != at.Truncate(time.Microsecond) || r.TimeOrigin != mes.TimeSource || !r.ServerTime.Equal(at.Add(time.Second).Truncate(time.Microsecond)) ||
		r.StatusCode != 0x40900500 || !r.HasFlag(mes.FlagOverflow) || r.Fault != nil {
		t.Errorf("%+v", r)
	}
	dv.Value = ua.MustVariant(&ua.DiagnosticInfo{})
	r = oneBinding().record(dv, nil, at)
	if mes.ErrorCode(r.Fault) != mes.CodeUnsupported || len(r.Payload) == 0 || r.Time != at.Truncate(time.Microsecond) {
		t.Errorf("what has no form makes %+v", r)
	}
}

// TestEnumerationBecomesStatus: the map may name an enumeration's text, and takes the
// number before it.
func TestEnumerationBecomesStatus(t *testing.T) {
	t.Parallel()
	types := vqt.NewTypes()
	nodeID, mode := ua.NewStringNodeID(1, "x"), ua.NewNumericNodeID(1, 100)
	if err := types.Load(t.Context(), enumServer{mode}, []*ua.NodeID{nodeID}); err != nil {
		t.Fatal(err)
	}
	cfg := plantConfig("opc.tcp://127.0.0.1:4840")
	cfg.Machines[0].Nodes = []config.OPCUANode{{NodeID: "ns=1;s=x", Map: map[string]string{"Automatic": "Running", "Manual": "Idle", "0": "Stopped", "Off": "Maintenance"}}}
	for value, want := range map[int32]mes.Status{0: mes.Stopped, 1: mes.Idle, 2: mes.Running, 3: ""} {
		for form, signals := range map[string]int{"": 2, config.EnumBoth: 2, config.EnumNumber: 1, config.EnumText: 1} {
			cfg.Machines[0].Nodes[0].Enum = form
			b := bindingOf(cfg, cfg.Machines[0], cfg.Machines[0].Nodes[0], "main")
			r := b.record(dataValue(value), types.Variable(nodeID), time.Now())
			if r.Status != want || len(r.Signals) != signals || r.Fault != nil {
				t.Errorf("%d as %q: status %q with the signals %v, want %q with %d", value, form, r.Status, r.Signals, want, signals)
			}
		}
	}
}

// enumServer has variables of one enumeration.
type enumServer struct{ enum *ua.NodeID }

func (e enumServer) Send(_ context.Context, req ua.Request, h func(ua.Response) error) error {
	switch r := req.(type) {
	case *ua.ReadRequest:
		res := &ua.ReadResponse{}
		for _, what := range r.NodesToRead {
			v := map[ua.AttributeID]any{
				ua.AttributeIDDataType: e.enum, ua.AttributeIDValueRank: int32(-1), ua.AttributeIDIsAbstract: false,
				ua.AttributeIDBrowseName: &ua.QualifiedName{Name: "Mode"},
				ua.AttributeIDDataTypeDefinition: ua.NewExtensionObject(&ua.EnumDefinition{Fields: []*ua.EnumField{
					{Value: 0, Name: "Off"}, {Value: 1, Name: "Manual"}, {Value: 2, Name: "Automatic"},
				}}),
			}[what.AttributeID]
			res.Results = append(res.Results, dataValue(v))
		}
		return h(res)
	case *ua.BrowseRequest:
		res := &ua.BrowseResponse{}
		for _, what := range r.NodesToBrowse {
			found := &ua.BrowseResult{}
			if what.ReferenceTypeID.IntID() == id.HasSubtype {
				found.References = append(found.References, &ua.ReferenceDescription{NodeID: ua.NewNumericExpandedNodeID(0, id.Enumeration)})
			}
			res.Results = append(res.Results, found)
		}
		return h(res)
	}
	return nil
}
