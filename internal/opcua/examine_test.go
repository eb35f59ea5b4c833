package opcua_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/doctor"
	"plantgate/internal/opcua"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/sim"
)

// TestDoctor: a server's security is compared with what is configured, and a dead port and
// one of something else are told apart.
func TestDoctor(t *testing.T) {
	t.Parallel()
	plc, err := sim.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plc.Close() })
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	go func() {
		for {
			c, err := other.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	for name, c := range map[string]struct {
		endpoint, policy, mode string
		check                  string
		level                  doctor.Level
		words                  string
	}{
		"none":        {plc.URL(), "None", "None", "security", doctor.OK, "None/None is offered"},
		"clock":       {plc.URL(), "None", "None", "clock", doctor.OK, "differs by"},
		"not offered": {plc.URL(), "Basic256Sha256", "SignAndEncrypt", "security", doctor.Fault, "only None/None"},
		"dead port":   {"opc.tcp://127.0.0.1:1", "None", "None", "tcp", doctor.Fault, "does not answer"},
		"other port":  {"opc.tcp://" + other.Addr().String(), "None", "None", "endpoints", doctor.Fault, "is this the port"},
		"no name":     {"opc.tcp://no-such-host.invalid:4840", "None", "None", "name", doctor.Fault, "can't be resolved"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := new(doctor.Report)
			opcua.Examine(t.Context(), config.OPCUAConnection{Name: "plc", Endpoint: c.endpoint, SecurityPolicy: c.policy, SecurityMode: c.mode}, link.Deps{Folder: t.TempDir(), Now: time.Now}, r)
			for _, f := range r.Findings {
				if f.Check == c.check && f.Level == c.level && strings.Contains(f.Detail+f.Advice, c.words) {
					return
				}
			}
			t.Errorf("no %s of %s in %+v", c.level, c.check, r.Findings)
		})
	}
}
