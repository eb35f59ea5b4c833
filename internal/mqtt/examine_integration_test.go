//go:build integration

package mqtt_test

import (
	"testing"

	"plantgate/internal/config"
	"plantgate/internal/doctor"
	"plantgate/internal/mqtt/brokertest"
)

// TestDoctorOfRealBrokers: what each broker does that a plant has to know of is found.
func TestDoctorOfRealBrokers(t *testing.T) {
	two := 2
	configured := func(b *brokertest.Broker) config.MQTTConnection {
		cfg := connectionTo(b)
		cfg.SharedGroup = "plantgate"
		cfg.Subscriptions = []config.Subscription{{Topic: "plant/v1.2/{machine}"}, {Topic: "exact", QoS: &two, MachineID: "press.1"}}
		return cfg
	}
	t.Run("mosquitto", func(t *testing.T) {
		found := examined(t, configured(brokertest.Mosquitto(t)))
		for _, check := range []string{
			"tcp", "connect", "subscription plant/v1.2/{machine}", "subscription exact", "delivery",
			"dots in topics", "shared subscriptions", "QoS 2", "retained messages", "largest message", "messages that wait",
		} {
			wantFinding(t, found, check, doctor.OK, "")
		}
	})
	t.Run("rabbitmq", func(t *testing.T) {
		found := examined(t, configured(brokertest.RabbitMQ(t)))
		wantFinding(t, found, "broker", doctor.Note, "RabbitMQ")
		wantFinding(t, found, "subscription plant/v1.2/{machine}", doctor.OK, "QoS 1")
		wantFinding(t, found, "subscription exact", doctor.Note, "QoS 1 granted, 2 asked for")
		wantFinding(t, found, "dots in topics", doctor.Warning, "topic plant/v1.2/{machine}, machine_id press.1")
		wantFinding(t, found, "shared subscriptions", doctor.Fault, "grants them and delivers nothing")
		wantFinding(t, found, "QoS 2", doctor.Note, "grants QoS 1 in its place")
		wantFinding(t, found, "retained messages", doctor.Note, "wildcards")
		wantFinding(t, found, "largest message", doctor.OK, "256 KiB")
		wantFinding(t, found, "messages that wait", doctor.OK, "")
		wantFinding(t, found, "delivery", doctor.OK, "")
	})
}
