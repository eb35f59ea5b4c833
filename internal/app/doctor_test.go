package app_test

import (
	"net"
	"testing"

	"plantgate/internal/app"
	"plantgate/internal/config"
	"plantgate/internal/doctor"
)

// TestDoctorTriesAddresses: one that is in use is worth to know, since the server itself may
// have it; one that this machine has not is a fault.
func TestDoctorTriesAddresses(t *testing.T) {
	t.Parallel()
	used, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = used.Close() }()
	cfg := config.Default()
	cfg.Store.DSN = "sqlite:" + t.TempDir() + "/plant.db"
	cfg.Server.Listen, cfg.Metrics.Listen = used.Addr().String(), "127.0.0.1:0"
	cfg.MQTT.Broker.Enabled, cfg.MQTT.Broker.Listen = true, "192.0.2.1:1883"
	want := map[string]doctor.Level{
		"server.listen": doctor.Note, "metrics.listen": doctor.OK, "mqtt.broker.listen": doctor.Fault,
	}
	for _, f := range app.Examine(t.Context(), cfg).Findings {
		if f.Subject != "addresses" {
			continue
		}
		if f.Level != want[f.Check] {
			t.Errorf("%s is %s: %s", f.Check, f.Level, f.Detail)
		}
		delete(want, f.Check)
	}
	if len(want) > 0 {
		t.Errorf("nothing is said of %v", want)
	}
}
