//go:build integration

package mqtt_test

import (
	"testing"

	"plantgate/internal/mqtt/brokertest"
	"plantgate/internal/mqtt/mqtttest"
)

func TestProbe(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *brokertest.Broker{"mosquitto": brokertest.Mosquitto, "rabbitmq": brokertest.RabbitMQ} {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			c := mqtttest.Connect(t, mqtttest.Options(b.URL(), "x").SetUsername(b.Username).SetPassword(b.Password))
			mqtttest.Publish(t, c, "a/b", 1, "x")
			b.Restart(t)
		})
	}
}
