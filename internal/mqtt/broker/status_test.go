package broker_test

import (
	"log/slog"
	"testing"

	"plantgate/internal/mes"
	"plantgate/internal/mqtt/mqtttest"
)

// TestStatusOfTheBroker: figures of the broker and of its subscription; what is being
// stored is in hand.
func TestStatusOfTheBroker(t *testing.T) {
	t.Parallel()
	ing := mqtttest.NewIngester()
	b := start(t, brokerConfig(), ing, slog.New(slog.DiscardHandler))
	c := mqtttest.Connect(t, options(b, "machine"))
	mqtttest.Publish(t, c, "plant/M1/data", 1, "poison")
	mqtttest.Publish(t, c, "other", 1, "of no subscription")
	release := ing.Hold()
	token := c.Publish("plant/M1/data", 1, false, "good")
	mqtttest.Eventually(t, "one in hand", func() bool { return b.Status().InHand == 1 })
	release()
	mqtttest.Wait(t, token)
	mqtttest.Eventually(t, "none in hand", func() bool { return b.Status().InHand == 0 })
	s := b.Status()
	if s.State != mes.AdapterRunning || len(s.Bindings) != 1 || s.Bindings[0].State != mes.BindingGranted || s.Bindings[0].Name != "plant/{machine}/data" {
		t.Fatalf("%+v", s)
	}
	for _, f := range []mes.Flow{s.Flow, s.Bindings[0].Flow} {
		if f.Received != 2 || f.Quarantined != 1 || f.Rate == 0 || f.LastMessage.IsZero() {
			t.Errorf("%+v", f)
		}
	}
}
