//go:build integration

package mqtt_test

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"plantgate/internal/config"
	"plantgate/internal/mqtt/broker"
	"plantgate/internal/mqtt/mqtttest"
)

// TestRate measures how fast messages are stored when a commit takes 1 ms:
// those that a full session kept, and those that come live from many senders.
func TestRate(t *testing.T) {
	const n = 5000
	for name, start := range realBrokers() {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			cfg := connectionTo(b)
			primed(t, cfg)
			publishPython(t, b.Addr(), b.Username, b.Password, "machines", numbers(n))()
			ing := mqtttest.NewIngester()
			ing.Delay = time.Millisecond
			began := time.Now()
			run(t, newAdapter(t, cfg, ing))
			ing.WaitDistinct(t, n)
			report(t, "kept", n, time.Since(began), ing.Calls())

			before := ing.Calls()
			began = time.Now()
			publishAhead(t, b.URL(), b.Username, b.Password, n)
			ing.WaitDistinct(t, 2*n)
			report(t, "live", n, time.Since(began), ing.Calls()-before)
		})
	}
	t.Run("own", func(t *testing.T) {
		cfg := config.Default().MQTT.Broker
		cfg.Listen = "127.0.0.1:0"
		cfg.Users = []config.BrokerUser{{Username: "plant", Password: "plant-secret"}}
		cfg.Subscriptions = contractSubscriptions()
		ing := mqtttest.NewIngester()
		ing.Delay = time.Millisecond
		b, err := broker.Start(cfg, broker.Deps{Ingester: ing, Decoder: mqtttest.Decoder{}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		publishAhead(t, b.URL(), "plant", "plant-secret", n)
		report(t, "live", n, time.Since(began), ing.Calls())
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

// publishAhead publishes n numbers from eight clients that don't wait for each
// acknowledgement, but for all at the end.
func publishAhead(t *testing.T, url, user, password string, n int) {
	t.Helper()
	const clients = 8
	var wg sync.WaitGroup
	for i := range clients {
		c := mqtttest.Connect(t, mqtttest.Options(url, fmt.Sprint("ahead-", i)).SetUsername(user).SetPassword(password))
		wg.Go(func() {
			var tokens []paho.Token
			for j := i; j < n; j += clients {
				tokens = append(tokens, c.Publish("numbers/M1", 1, false, fmt.Sprint("live ", j)))
			}
			for _, token := range tokens {
				mqtttest.Wait(t, token)
			}
		})
	}
	wg.Wait()
}

func report(t *testing.T, what string, n int, took time.Duration, commits int) {
	t.Helper()
	t.Logf("%s: %d messages of QoS 1 in %s: %.0f a second, %d commits", what, n, took, float64(n)/took.Seconds(), commits)
}
