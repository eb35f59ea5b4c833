package opcua

import (
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/doctor"
	"plantgate/internal/opcua/address"
	"plantgate/internal/opcua/link"
)

func TestDoctorSaysWhatMayNotBeRead(t *testing.T) {
	t.Parallel()
	r := new(doctor.Report)
	e := &examination{subject: r.On("x")}
	e.one(&target{}, &address.Facts{Class: ua.NodeClassVariable, Readable: false})
	e.one(&target{}, &address.Facts{Class: ua.NodeClassVariable, Readable: true})
	if len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Detail, "may not read") {
		t.Errorf("%+v", r.Findings)
	}
}

// TestDoctorLooksAtNodes: what is not there, can't be read or does not fit is named.
func TestDoctorLooksAtNodes(t *testing.T) {
	t.Parallel()
	server := plantServer(t, "127.0.0.1:0")
	cfg := plantConfig(server.URL())
	cfg.Machines = append(cfg.Machines, config.OPCUAMachine{MachineID: "x", Nodes: []config.OPCUANode{
		{NodeID: "ns=1;s=Plant/MILL-01/Missing"},
		{NodeID: "ns=1;s=Plant/PRESS-01", Signal: "folder"},
		{NodeID: "ns=1;s=Plant/MILL-01/GoodCount", Role: "good_count"},
		{NodeID: "ns=1;s=Plant/MILL-01/SpindleTemperature", Deadband: "2%"},
		{NodeID: "ns=1;s=Plant/MILL-01/State", Map: map[string]string{"Executing": "Running"}},
		{NodeID: "i=2258", Signal: "clock", Scale: "2"},
		{Path: "/Objects/**/{area}/{signal}", Signal: "{area}.{signal}"},
		{Path: "/Objects/1:Nothing"},
		{Path: "/Objects/**/*-01/*:State", Signal: "state"},
	}})
	r := new(doctor.Report)
	Examine(t.Context(), cfg, link.Deps{Folder: t.TempDir(), Now: time.Now}, r)
	for _, want := range []struct {
		level doctor.Level
		check string
		words string
	}{
		{doctor.OK, "session", "open"},
		{doctor.Fault, "node", "Plant/MILL-01/Missing of x: The node id refers"},
		{doctor.Fault, "node", "Plant/PRESS-01 of x: it is no variable"},
		{doctor.Fault, "node", "the deadband 2% needs the property EURange"},
		{doctor.Fault, "node", "its value is no number"},
		{doctor.Fault, "node", "no node at /Objects/1:Nothing"},
		{doctor.Warning, "map", `no value is called "Executing"`},
		{doctor.Note, "pattern", "leads to 24 nodes"},
		{doctor.Note, "pattern", "leads to 3 nodes"},
		{doctor.OK, "nodes", "can be read"},
	} {
		ok := false
		for _, f := range r.Findings {
			ok = ok || f.Level == want.level && f.Check == want.check && strings.Contains(f.Detail, want.words)
		}
		if !ok {
			t.Errorf("no %s of %s with %q", want.level, want.check, want.words)
		}
	}
	for _, f := range r.Findings {
		if strings.Contains(f.Detail, "GoodCount") || strings.Contains(f.Detail, "MyStoredVariable") {
			t.Errorf("a good node is named: %+v", f)
		}
	}
	if t.Failed() {
		for _, f := range r.Findings {
			t.Logf("%+v", f)
		}
	}
}
