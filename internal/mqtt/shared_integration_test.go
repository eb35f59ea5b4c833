//go:build integration

package mqtt_test

import (
	"fmt"
	"testing"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt/brokertest"
	"plantgate/internal/mqtt/mqtttest"
)

// TestSharedGroup: servers that share a group get each message once among them, and a
// server that was away gets what the broker kept for it. That RabbitMQ has no shared
// subscriptions, and does not say so, is here to be noticed when it changes.
func TestSharedGroup(t *testing.T) {
	for name, start := range realBrokers() {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			ingesters := []*mqtttest.Ingester{mqtttest.NewIngester(), mqtttest.NewIngester()}
			member := func(i int) (stop func()) {
				cfg := connectionTo(b)
				cfg.ClientID, cfg.SharedGroup = fmt.Sprintf("plantgate-%d", i), "plantgate"
				cfg.Subscriptions = []config.Subscription{{Topic: "numbers/{machine}"}}
				a := newAdapter(t, cfg, ingesters[i])
				stop = run(t, a)
				waitState(t, a, mes.AdapterRunning)
				return stop
			}
			member(0)
			stop := member(1)
			const n = 1000
			stored := func() map[string]int {
				times := map[string]int{}
				for _, ing := range ingesters {
					for _, p := range ing.Payloads() {
						times[p]++
					}
				}
				return times
			}
			if b.Name == brokertest.NameRabbitMQ {
				plain, control := connectionTo(b), mqtttest.NewIngester()
				plain.ClientID = "plantgate-plain"
				runUp(t, newAdapter(t, plain, control))
				publishPython(t, b.Addr(), b.Username, b.Password, "machines", numbers(10))()
				control.WaitRecords(t, 10)
				if got := stored(); len(got) > 0 {
					t.Errorf("RabbitMQ delivers by shared subscriptions now (%d of 10): say so in docs/mqtt.md", len(got))
				}
				return
			}
			publishPython(t, b.Addr(), b.Username, b.Password, "machines", numbers(n))()
			waitLong(t, "all messages", func() bool { return len(stored()) == n })
			for i, ing := range ingesters {
				if part := len(ing.Payloads()); part < n/4 || part > 3*n/4 {
					t.Errorf("server %d has got %d of %d", i, part, n)
				}
			}
			stop()
			publishPython(t, b.Addr(), b.Username, b.Password, "machines", numbers(2 * n)[n:])()
			member(1)
			waitLong(t, "what was published while one was away", func() bool { return len(stored()) == 2*n })
			for payload, times := range stored() {
				if times != 1 {
					t.Errorf("%s came %d times", payload, times)
				}
			}
		})
	}
}
